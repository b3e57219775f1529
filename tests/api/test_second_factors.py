"""What a password alone is good for, where ``SESSIONS_PLUS_SIGN_IN`` says that it is not enough."""

import importlib
import json
import sys
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.test import Client, RequestFactory, override_settings
from django.urls import NoReverseMatch, reverse

from django_sessions_plus.accounts.second_factors import (
    SECOND_FACTOR_REQUIRED,
    VERIFICATION_REQUIRED,
    SignInRefusal,
    acheck_sign_in,
    check_sign_in,
    refuse_incomplete_sign_in,
)
from django_sessions_plus.api import urls
from django_sessions_plus.exceptions import ConfigurationError, IncompleteSignInError
from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, ApiClient, code, connected, grow_stale

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

BODY = {"username": "ada", "password": PASSWORD}
PHONE = {"phone": {"required": True}}
TRANSPORTS = [
    {"transport": "cookie"},
    {"transport": "bearer"},
    {"transport": "jwt"},
    {"transport": "jwt", "refresh_cookie": True},
]


def require_factor(request: Any, user: Any) -> SignInRefusal | None:
    """Refuse ada, who has a second factor, and nobody else."""
    return SECOND_FACTOR_REQUIRED if user.username == "ada" else None


def require_terms(request: Any, user: Any) -> SignInRefusal:
    return SignInRefusal("terms_required", "Agree to the new terms first.")


def let_in(request: Any, user: Any) -> None:
    """Let everybody in."""


def returns_true(request: Any, user: Any) -> Any:
    return True


def fails(request: Any, user: Any) -> None:
    raise DatabaseError("unplugged")


def forbids(request: Any, user: Any) -> None:
    raise PermissionDenied


@pytest.fixture
def with_factor(settings):
    settings.SESSIONS_PLUS_SIGN_IN = f"{__name__}.require_factor"


class TestSignIn:
    @pytest.mark.parametrize("wanted", TRANSPORTS, ids=str)
    def test_the_password_alone_starts_no_session(self, with_factor, client, wanted):
        sent: list[Any] = []
        with connected(user_logged_in, lambda **said: sent.append(said)):
            answer = client.sign_in(**wanted)
        assert (answer.status_code, code(answer)) == (403, "second_factor_required")
        assert answer.json().keys() == {"code", "detail"}
        assert not {"sessionid", "refresh_token"} & answer.cookies.keys()
        assert not Session.objects.exists()
        assert sent == []
        assert User.objects.get().last_login is None

    def test_a_wrong_password_tells_nothing_of_the_factor(self, with_factor, client):
        answer = client.sign_in(password="wrong")
        assert (answer.status_code, code(answer)) == (401, "invalid_credentials")

    def test_it_counts_as_an_attempt(self, with_factor, client, settings):
        settings.SESSIONS_PLUS_RATES = {"sign_in": "2/h"}
        assert [client.sign_in().status_code for _ in range(3)] == [403, 403, 429]

    def test_it_is_logged_as_a_sign_in_that_was_refused(self, with_factor, client, caplog):
        client.sign_in()
        (record,) = (r for r in caplog.records if getattr(r, "event", "") == "sign_in_failed")
        assert record.reason == "second_factor_required"
        assert record.user_id == str(User.objects.get().pk)
        assert PASSWORD not in caplog.text

    def test_an_open_session_goes_on_as_it_was(self, client, with_factor, settings):
        settings.SESSIONS_PLUS_SIGN_IN = let_in
        client.sign_in()
        before = Session.objects.get()
        settings.SESSIONS_PLUS_SIGN_IN = require_factor
        assert client.sign_in().status_code == 403
        assert Session.objects.get().authenticated_at == before.authenticated_at
        assert Session.objects.get().token_digest == before.token_digest
        assert client.get("/plain").json() == {"user": "ada"}

    def test_who_has_no_second_factor_signs_in(self, with_factor, client):
        User.objects.create_user("eve", password=PASSWORD)
        assert client.sign_in("eve").status_code == 200

    def test_a_refusal_of_the_projects_own_has_its_code_and_words(self, ada, settings):
        settings.SESSIONS_PLUS_SIGN_IN = require_terms
        answer = Client().post("/auth/sign-in", BODY, content_type="application/json")
        assert answer.status_code == 403
        assert answer.json() == {
            "code": "terms_required",
            "detail": "Agree to the new terms first.",
        }

    @pytest.mark.parametrize(
        "hook", [fails, returns_true, f"{__name__}.nowhere"], ids=("fails", "true", "nowhere")
    )
    def test_a_hook_that_fails_lets_nobody_in(self, ada, settings, hook):
        settings.SESSIONS_PLUS_SIGN_IN = hook
        client = Client(raise_request_exception=False)
        answer = client.post("/auth/sign-in", BODY, content_type="application/json")
        assert answer.status_code >= 500
        assert not Session.objects.exists()

    def test_a_hook_that_forbids_is_obeyed(self, client, settings):
        settings.SESSIONS_PLUS_SIGN_IN = forbids
        assert code(client.sign_in()) == "permission_denied"
        assert not Session.objects.exists()


class TestReauthenticate:
    def test_the_password_alone_makes_no_session_fresh(self, signed_in, settings):
        settings.SESSIONS_PLUS_SIGN_IN = require_factor
        grow_stale()
        before = Session.objects.get()
        answer = signed_in.send("post", "reauthenticate", {"password": PASSWORD})
        assert (answer.status_code, code(answer)) == (403, "second_factor_required")
        after = Session.objects.get()
        assert after.authenticated_at == before.authenticated_at
        assert after.token_digest == before.token_digest
        assert signed_in.send("get", "session").json()["user"]["username"] == "ada"
        assert signed_in.send("get", "/sensitive").status_code == 403

    def test_a_wrong_password_tells_nothing_of_the_factor(self, signed_in, settings):
        settings.SESSIONS_PLUS_SIGN_IN = require_factor
        answer = signed_in.send("post", "reauthenticate", {"password": "wrong"})
        assert code(answer) == "invalid_credentials"

    def test_the_question_is_also_asked_where_the_endpoint_sign_in_is_left_out(
        self, signed_in, settings, monkeypatch
    ):
        settings.SESSIONS_PLUS_SIGN_IN = False
        install(monkeypatch, "django_otp", user_has_device=lambda user: True, Device=object)
        answer = signed_in.send("post", "reauthenticate", {"password": PASSWORD})
        assert code(answer) == "second_factor_required"


@pytest.mark.urls("tests.pages_urls")
class TestThePage:
    def confirm(self, user: User, password: str) -> Any:
        browser = Client()
        browser.force_login(user)
        grow_stale()
        return browser.post("/account/devices/confirm-password/", {"password": password})

    def test_the_password_alone_makes_no_session_fresh(self, with_factor, ada):
        answer = self.confirm(ada, PASSWORD)
        page = answer.content.decode()
        assert answer.status_code == 200
        assert "The password alone is not enough" in page
        assert 'type="password"' not in page
        assert "Sign out and in again" in page
        row = Session.objects.get()
        assert not row.is_fresh()

    def test_a_wrong_password_tells_nothing_of_the_factor(self, with_factor, ada):
        page = self.confirm(ada, "wrong").content.decode()
        assert "The password alone" not in page
        assert 'type="password"' in page


class TestLeftOut:
    @pytest.mark.parametrize("method", ["get", "post", "delete", "options"])
    def test_the_setting_is_asked_at_each_request(self, ada, method):
        for _ in range(2):
            with override_settings(SESSIONS_PLUS_SIGN_IN=False):
                answer = Client().generic(
                    method.upper(),
                    "/auth/sign-in",
                    json.dumps(BODY),
                    content_type="application/json",
                )
            assert (answer.status_code, code(answer)) == (404, "not_found")
            assert not Session.objects.exists()
            answer = ApiClient().sign_in()
            assert answer.status_code == 200
            Session.objects.all().delete()

    def test_nothing_is_read_when_the_addresses_are(self, settings):
        before = [pattern.name for pattern in urls.urlpatterns]
        settings.SESSIONS_PLUS_SIGN_IN = False
        importlib.reload(urls)
        assert [pattern.name for pattern in urls.urlpatterns] == before

    def test_the_default_has_the_address(self):
        assert reverse("django_sessions_plus_api:sign-in") == "/auth/sign-in"
        with pytest.raises(NoReverseMatch):
            reverse("django_sessions_plus_api:nothing")


def install(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    """Pretend that a package is installed, of which the modules have these attributes."""
    real = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda app: app == name or real(app))
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        parent = ".".join(parts[:length])
        if parent not in sys.modules:
            monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    for module in [name, *(f"{name}.{end}" for end in ("adapter", "app_settings", "models"))]:
        if module not in sys.modules:
            monkeypatch.setitem(sys.modules, module, ModuleType(module))
        for attribute, value in attributes.items():
            monkeypatch.setattr(sys.modules[module], attribute, value, raising=False)
    monkeypatch.delitem(sys.modules, f"django_sessions_plus.contrib.{name}", raising=False)


class FakeAddresses:
    """What ``EmailAddress.objects`` answers."""

    def __init__(self, confirmed: bool) -> None:
        self.confirmed = confirmed

    def filter(self, **conditions: Any) -> "FakeAddresses":
        assert conditions.keys() == {"user_id", "verified"}
        return self

    def exists(self) -> bool:
        return self.confirmed


class FakeAdapter:
    """The adapters of allauth, as far as they are asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def is_mfa_enabled(self, user: Any, types: list[str]) -> bool:
        return bool(set(types) & set(self.answers["factors"]))

    def get_phone(self, user: Any) -> Any:
        return self.answers["phone"]


class TestTheDefault:
    """With the smallest part of each package; tests/neighbours has the packages themselves."""

    def ask(self) -> SignInRefusal | None:
        return refuse_incomplete_sign_in(RequestFactory().get("/"), User(pk=1, username="ada"))

    def test_it_lets_everybody_in_where_no_such_package_is_installed(self):
        assert self.ask() is None

    @pytest.mark.parametrize(("has", "refusal"), [(True, SECOND_FACTOR_REQUIRED), (False, None)])
    def test_django_otp_is_asked_for_a_device(self, monkeypatch, has, refusal):
        install(monkeypatch, "django_otp", user_has_device=lambda user: has, Device=object)
        assert self.ask() is refusal

    @pytest.mark.parametrize(
        ("factors", "refusal"),
        [
            ([], None),
            (["recovery_codes"], None),
            (["totp"], SECOND_FACTOR_REQUIRED),
            (["webauthn", "recovery_codes"], SECOND_FACTOR_REQUIRED),
        ],
    )
    def test_allauth_is_asked_for_a_factor(self, monkeypatch, factors, refusal):
        install(
            monkeypatch,
            "allauth.mfa",
            get_adapter=lambda: FakeAdapter(factors=factors),
            Authenticator=object,
        )
        assert self.ask() is refusal

    @pytest.mark.parametrize(
        ("values", "confirmed", "phone", "refusal"),
        [
            ({}, False, None, VERIFICATION_REQUIRED),
            ({}, True, None, None),
            ({"EMAIL_VERIFICATION": "optional"}, False, None, None),
            ({"LOGIN_BY_CODE_REQUIRED": True}, True, None, SECOND_FACTOR_REQUIRED),
            ({"SIGNUP_FIELDS": PHONE}, True, ("+49", False), VERIFICATION_REQUIRED),
            ({"SIGNUP_FIELDS": PHONE}, True, ("+49", True), None),
            ({"SIGNUP_FIELDS": PHONE}, True, None, VERIFICATION_REQUIRED),
            ({"SIGNUP_FIELDS": {"phone": {"required": False}}}, True, None, None),
        ],
    )
    def test_allauth_is_asked_for_a_confirmed_address(
        self, monkeypatch, values, confirmed, phone, refusal
    ):
        class EmailVerificationMethod:
            MANDATORY = "mandatory"

        answers = {
            "EMAIL_VERIFICATION": "mandatory",
            "LOGIN_BY_CODE_REQUIRED": False,
            "PHONE_VERIFICATION_ENABLED": True,
            "SIGNUP_FIELDS": {},
            "EmailVerificationMethod": EmailVerificationMethod,
        } | values
        app_settings = type("AppSettings", (), answers)
        address = type("EmailAddress", (), {"objects": FakeAddresses(confirmed)})
        install(
            monkeypatch,
            "allauth.account",
            app_settings=app_settings,
            EmailAddress=address,
            get_adapter=lambda: FakeAdapter(phone=phone),
        )
        assert self.ask() is refusal


def test_what_the_hook_returns_is_not_quoted(settings):
    settings.SESSIONS_PLUS_SIGN_IN = lambda request, user: "correct horse"
    with pytest.raises(ConfigurationError) as caught:
        check_sign_in(RequestFactory().get("/"), User(pk=1))
    assert "correct horse" not in str(caught.value)


@pytest.mark.parametrize("check", [check_sign_in, async_to_sync(acheck_sign_in)])
def test_the_refusal_is_raised_for_views_of_the_projects_own(ada, settings, check):
    def require_terms_of_ada(request: Any, user: Any) -> Any:
        # A hook may ask the database, whatever the view is.
        return require_terms(request, User.objects.get(pk=user.pk))

    settings.SESSIONS_PLUS_SIGN_IN = require_terms_of_ada
    with pytest.raises(IncompleteSignInError) as caught:
        check(RequestFactory().get("/"), ada)
    assert caught.value.code == "terms_required"
    settings.SESSIONS_PLUS_SIGN_IN = lambda request, user: None
    assert check(RequestFactory().get("/"), ada) is None
