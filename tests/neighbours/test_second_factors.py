"""allauth and django-otp as they are: a password alone signs nobody in who has more to show.

Run with the packages installed::

    python -m pytest -m neighbours --ds tests.neighbours.second_factor_settings tests/neighbours/test_second_factors.py
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core import checks
from django.test import Client

from django_sessions_plus.models import Session
from django_sessions_plus.signals import credential_changed

if not (apps.is_installed("allauth.mfa") and apps.is_installed("django_otp")):
    pytest.skip("needs tests.neighbours.second_factor_settings", allow_module_level=True)

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django_otp.plugins.otp_totp.models import TOTPDevice

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db]

PASSWORD = "correct horse"
TRANSPORTS = [
    {"transport": "cookie"},
    {"transport": "bearer"},
    {"transport": "jwt"},
    {"transport": "jwt", "refresh_cookie": True},
]


@pytest.fixture
def ada() -> User:
    ada = User.objects.create_user("ada", "ada@example.com", PASSWORD)
    EmailAddress.objects.create(user=ada, email=ada.email, verified=True, primary=True)
    return ada


def sign_in(**more: Any) -> Any:
    body = {"username": "ada", "password": PASSWORD, **more}
    return Client().post("/auth/sign-in", body, content_type="application/json")


@pytest.mark.parametrize("name", ["email", "username"])
def test_an_address_signs_in_where_allauth_takes_it(ada: User, settings: Any, name: str):
    def answer_of(address: str) -> Any:
        body = {name: address, "password": PASSWORD}
        return Client().post("/auth/sign-in", body, content_type="application/json")

    assert answer_of("ada@example.com").json()["code"] == "invalid_credentials"
    settings.ACCOUNT_LOGIN_METHODS = {"email"}
    answer = answer_of("ada@example.com")
    assert (answer.status_code, answer.json()["user"]["id"]) == (200, ada.pk)
    assert answer_of("eve@example.com").status_code == 401


def totp_of_allauth(user: User) -> None:
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": "x"})


def key_of_allauth(user: User) -> None:
    Authenticator.objects.create(user=user, type=Authenticator.Type.WEBAUTHN, data={})


def device_of_otp(user: User) -> None:
    TOTPDevice.objects.create(user=user, confirmed=True)


def unconfirmed_address(user: User) -> None:
    EmailAddress.objects.update(verified=False)


MORE = [
    (totp_of_allauth, "second_factor_required"),
    (key_of_allauth, "second_factor_required"),
    (device_of_otp, "second_factor_required"),
    (unconfirmed_address, "verification_required"),
]


@pytest.mark.parametrize("wanted", TRANSPORTS, ids=str)
def test_a_user_without_more_signs_in(ada, wanted):
    assert sign_in(**wanted).status_code == 200
    assert Session.objects.get().user == ada


@pytest.mark.parametrize("wanted", TRANSPORTS, ids=str)
@pytest.mark.parametrize(("have", "code"), MORE)
def test_a_user_with_more_is_refused(ada, have, code, wanted):
    have(ada)
    answer = sign_in(**wanted)
    assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert not {"sessionid", "refresh_token"} & answer.cookies.keys()
    assert not Session.objects.filter(user=ada).exists()
    assert sign_in(password="wrong").json()["code"] == "invalid_credentials"


@pytest.mark.parametrize(("have", "code"), MORE)
def test_a_password_makes_no_session_fresh_either(ada, have, code):
    browser = Client()
    browser.force_login(ada, "django.contrib.auth.backends.ModelBackend")
    have(ada)
    before = Session.objects.get()
    body = {"password": PASSWORD}
    answer = browser.post("/auth/reauthenticate", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, code)
    page = browser.post("/account/devices/confirm-password/", body).content.decode()
    assert "The password alone is not enough" in page
    after = Session.objects.get()
    assert after.token_digest == before.token_digest
    assert after.authenticated_at == before.authenticated_at


def test_the_sites_own_page_asks_for_the_factor_where_the_api_refuses(ada):
    totp_of_allauth(ada)
    browser = Client()
    answer = browser.post("/accounts/login/", {"login": "ada", "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/2fa/authenticate/")
    assert not Session.objects.filter(user=ada).exists()


def test_recovery_codes_and_devices_that_are_not_confirmed_are_no_factors(ada):
    Authenticator.objects.create(user=ada, type=Authenticator.Type.RECOVERY_CODES, data={})
    TOTPDevice.objects.create(user=ada, confirmed=False)
    assert sign_in().status_code == 200


def test_the_check_says_who_is_refused():
    found = [message for message in checks.run_checks() if str(message.id).endswith(".I007")]
    assert len(found) == 1
    assert "allauth.mfa, allauth.account, django_otp" in found[0].msg


@pytest.fixture
def changes(
    django_capture_on_commit_callbacks: Any, ada: User
) -> Iterator[Callable[[Any], list[str]]]:
    told: list[str] = []

    def hear(user: User, credential: str, **kwargs: Any) -> None:
        # A receiver's own failure would be swallowed.
        told.append(credential if user.username == "ada" else user.username)

    def of(change: Callable[[], Any]) -> list[str]:
        told.clear()
        with django_capture_on_commit_callbacks(execute=True):
            change()
        return [*told]

    credential_changed.connect(hear)
    yield of
    credential_changed.disconnect(hear)


def test_a_factor_of_allauth_that_is_added_or_removed_is_a_changed_credential(
    ada: User, changes: Any, settings: Any, mailoutbox: list[Any]
):
    settings.SESSIONS_PLUS_CREDENTIAL_EMAIL = True
    assert changes(partial(totp_of_allauth, ada)) == ["totp"]
    assert [mail.to for mail in mailoutbox] == [["ada@example.com"]]
    authenticator = Authenticator.objects.get()
    # Its use is recorded, which changes nothing.
    assert changes(authenticator.record_usage) == []
    assert changes(authenticator.delete) == ["totp"]


def test_a_page_of_allauth_removes_one(ada: User, changes: Any):
    client = Client()
    client.force_login(ada)
    totp_of_allauth(ada)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    remove = partial(client.post, "/accounts/2fa/totp/deactivate/")
    assert (changes(remove), Authenticator.objects.count()) == (["totp"], 0)


def test_a_device_of_otp_is_one_from_its_confirmation_on(ada: User, changes: Any):
    assert changes(partial(TOTPDevice.objects.create, user=ada, confirmed=False)) == []
    device = TOTPDevice.objects.get()
    assert changes(device.save) == []
    device.confirmed = True
    assert changes(device.save) == ["totpdevice"]
    # As each use of it does.
    assert changes(device.save) == []
    assert changes(TOTPDevice.objects.defer("confirmed").get().save) == []
    assert changes(TOTPDevice.objects.all().delete) == ["totpdevice"]
    assert changes(partial(TOTPDevice.objects.create, user=ada)) == ["totpdevice"]


def test_what_goes_with_a_deleted_user_is_none(ada: User, changes: Any):
    device_of_otp(ada)
    totp_of_allauth(ada)
    assert changes(ada.delete) == []
