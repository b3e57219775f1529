"""POST sign-in."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.test import override_settings
from django.views.debug import SafeExceptionReporterFilter

from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, ApiClient, code, connected

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

CREDENTIALS = {"username": "ada", "password": PASSWORD}


class NobodyBackend:
    """Stops every sign-in, as a lockout package does."""

    def authenticate(self, request, **credentials):
        raise PermissionDenied


class InsistentBackend:
    """Knows a user by something else than the model's name for it, inactive or not."""

    def authenticate(self, request, username=None, password=None):
        return User.objects.filter(email=username).first()

    def get_user(self, user_id):
        return User.objects.filter(pk=user_id).first()


class ByAddressBackend(InsistentBackend):
    """Takes an address under its own name, as allauth's and many a project's backend do."""

    def authenticate(self, request, email=None, password=None):
        user = User.objects.filter(email=email).first()
        return user if user is not None and user.check_password(password) else None


def csrf_token(browser: ApiClient) -> dict[str, str]:
    browser.send("get", "session")
    return {"X-CSRFToken": browser.cookies["csrftoken"].value}


def test_by_cookie_it_sets_the_cookie_and_tells_no_token(client, ada):
    answer = client.sign_in()
    assert answer.status_code == 200
    assert answer.json().keys() == {"session", "user"}
    assert answer.json()["user"]["id"] == ada.pk
    assert answer.cookies["sessionid"].value == client.cookies["sessionid"].value
    assert client.get("/plain").json() == {"user": "ada"}


def test_what_the_answer_tells_is_what_is_stored(clock, client):
    session = client.sign_in(remember=False).json()["session"]
    assert client.send("get", "session").json()["session"] == session


def test_by_cookie_it_needs_the_csrf_token_although_nobody_is_signed_in(browser):
    answer = browser.sign_in()
    assert (answer.status_code, code(answer)) == (403, "csrf_failed")
    assert not Session.objects.exists()


def test_without_the_csrf_token_nothing_tells_whether_the_password_is_right(browser):
    failed: list[object] = []

    def listen(**kwargs: object) -> None:
        failed.append(kwargs)

    with connected(user_login_failed, listen):
        right, wrong = browser.sign_in(), browser.sign_in(password="wrong")
    assert right.json() == wrong.json()
    assert failed == []


def test_by_cookie_it_takes_the_csrf_token_that_the_session_handed_out(browser):
    answer = browser.send("post", "sign-in", CREDENTIALS, headers=csrf_token(browser))
    assert answer.status_code == 200


def test_a_foreign_origin_is_refused_even_with_the_csrf_token(browser, caplog):
    headers = {**csrf_token(browser), "Origin": "https://evil.example"}
    answer = browser.send("post", "sign-in", CREDENTIALS, headers=headers)
    assert (answer.status_code, code(answer)) == (403, "csrf_failed")
    assert "evil" not in answer.content.decode()
    assert "evil.example" in caplog.text


def test_a_bearer_header_does_not_open_a_way_around_csrf(browser, app):
    answer = browser.send(
        "post", "sign-in", CREDENTIALS, headers={"Authorization": f"Bearer {app.token}"}
    )
    assert (answer.status_code, code(answer)) == (403, "csrf_failed")


def test_by_bearer_it_tells_the_token_and_sets_no_cookie(browser, ada):
    answer = browser.sign_in(transport="bearer")
    assert answer.status_code == 200
    assert answer.json().keys() == {"session", "user", "token"}
    assert not answer.cookies
    browser.token = answer.json()["token"]
    assert browser.send("get", "session").json()["user"]["id"] == ada.pk


def test_by_bearer_it_leaves_the_cookies_session_alone(by_cookie):
    cookie = by_cookie.cookies["sessionid"].value
    first = by_cookie.send("get", "session").json()["session"]["id"]
    answer = by_cookie.sign_in(transport="bearer")
    assert not answer.cookies
    assert answer.json()["session"]["id"] != first
    assert answer.json()["token"] != cookie
    assert by_cookie.send("get", "session").json()["session"]["id"] == first


def test_by_bearer_a_wrong_password_leaves_the_cookie_alone(by_cookie):
    assert not by_cookie.sign_in(password="wrong", transport="bearer").cookies
    assert by_cookie.get("/plain").json() == {"user": "ada"}


def test_by_bearer_the_device_is_recorded(browser):
    answer = browser.send(
        "post",
        "sign-in",
        {**CREDENTIALS, "transport": "bearer"},
        headers={"User-Agent": "App/1"},
        REMOTE_ADDR="192.0.2.7",
    )
    session = answer.json()["session"]
    assert (session["ip_address"], session["user_agent"]) == ("192.0.2.7", "App/1")


@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_a_session_not_to_be_remembered_is_short(client, transport, settings):
    settings.SESSIONS_PLUS_UNREMEMBERED_AGE = timedelta(hours=1)
    session = client.sign_in(transport=transport, remember=False).json()["session"]
    row = Session.objects.get()
    assert (session["remember"], row.remember) == (False, False)
    assert row.expires_at - row.created_at < timedelta(hours=1, minutes=1)


def test_a_cookie_not_to_be_remembered_ends_with_the_browser(client):
    assert client.sign_in(remember=False).cookies["sessionid"]["max-age"] == ""


def test_a_cookie_to_be_remembered_has_an_age(clock, client, settings):
    age = client.sign_in().cookies["sessionid"]["max-age"]
    assert age == settings.SESSION_COOKIE_AGE


def test_signing_in_again_rotates_the_token_on_the_same_row(by_cookie):
    before = by_cookie.cookies["sessionid"].value
    first = Session.objects.get().pk
    assert by_cookie.sign_in().status_code == 200
    assert by_cookie.cookies["sessionid"].value != before
    assert Session.objects.active().get().pk == first


def test_signing_in_as_somebody_else_ends_the_first_ones_session(by_cookie, eve):
    first = Session.objects.get().pk
    answer = by_cookie.sign_in("eve")
    assert answer.json()["user"]["id"] == eve.pk
    assert Session.objects.active().get().user == eve
    assert Session.objects.ended().get().pk == first


@pytest.mark.parametrize(
    ("username", "password"), [("ada", "wrong"), ("nobody", PASSWORD), ("ada", " " + PASSWORD)]
)
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_wrong_credentials_are_refused_all_alike(client, username, password, transport):
    answer = client.sign_in(username, password, transport=transport)
    assert (answer.status_code, code(answer)) == (401, "invalid_credentials")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
    assert "sessionid" not in answer.cookies
    assert not Session.objects.exists()


def test_an_inactive_user_gets_the_same_answer_as_a_wrong_password(client, ada):
    wrong = client.sign_in(password="wrong")
    User.objects.update(is_active=False)
    inactive = client.sign_in()
    assert (inactive.status_code, inactive.json()) == (wrong.status_code, wrong.json())


@override_settings(AUTHENTICATION_BACKENDS=[f"{__name__}.InsistentBackend"])
def test_an_inactive_user_is_refused_even_if_the_backend_is_not_strict(client):
    assert client.sign_in("ada@example.com").status_code == 200
    User.objects.update(is_active=False)
    assert code(client.sign_in("ada@example.com")) == "invalid_credentials"


@override_settings(
    AUTHENTICATION_BACKENDS=[
        f"{__name__}.NobodyBackend",
        "django.contrib.auth.backends.ModelBackend",
    ]
)
def test_a_backend_that_forbids_the_sign_in_is_obeyed(client):
    assert code(client.sign_in()) == "invalid_credentials"


def test_a_failure_is_announced_with_djangos_request_and_without_the_password(client):
    seen: list[dict[str, Any]] = []

    def listen(**kwargs: object) -> None:
        seen.append(kwargs)

    with connected(user_login_failed, listen):
        client.sign_in(password="wrong")
    (announced,) = seen
    assert type(announced["request"]).__name__ == "WSGIRequest"
    assert announced["credentials"]["username"] == "ada"
    assert "wrong" not in str(announced["credentials"])


@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_a_receiver_that_refuses_is_answered_with_403(client, transport):
    def refuse(**kwargs: object) -> None:
        raise PermissionDenied("for ada only")

    with connected(user_logged_in, refuse):
        answer = client.sign_in(transport=transport)
    assert (answer.status_code, code(answer)) == (403, "permission_denied")


def test_the_name_is_normalized_as_in_djangos_forms(client):
    assert client.sign_in("\uff41\uff44\uff41").status_code == 200


@pytest.mark.parametrize("extra", [{"transport": "JWT"}, {"transport": "carrier pigeon"}])
def test_a_transport_that_does_not_exist_is_refused(client, extra):
    answer = client.sign_in(**extra)
    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert answer.json()["fields"].keys() == {"transport"}


@pytest.mark.parametrize("backend", ["InsistentBackend", "ByAddressBackend"])
def test_an_address_signs_in_where_a_backend_knows_it(client, settings, ada, backend):
    model_backend = "django.contrib.auth.backends.ModelBackend"
    settings.AUTHENTICATION_BACKENDS = [model_backend, f"{__name__}.{backend}"]
    body = {"email": "ada@example.com", "password": PASSWORD}
    answer = client.send("post", "sign-in", body)
    assert (answer.status_code, answer.json()["user"]["id"]) == (200, ada.pk)
    # The name goes on working beside it.
    assert client.sign_in().status_code == 200


def test_the_name_may_come_under_that_of_the_user_model(client, ada, monkeypatch):
    monkeypatch.setattr(User, "USERNAME_FIELD", "first_name")
    User.objects.update(first_name="countess")
    body = {"first_name": "countess", "password": PASSWORD}
    answer = client.send("post", "sign-in", body)
    assert (answer.status_code, answer.json()["user"]["id"]) == (200, ada.pk)


def test_an_address_is_wrong_where_no_backend_knows_it(client):
    body = {"email": "ada@example.com", "password": PASSWORD}
    assert code(client.send("post", "sign-in", body)) == "invalid_credentials"


def test_a_name_comes_before_an_address(client, ada):
    body = {"username": "ada", "email": "eve@example.com", "password": PASSWORD}
    assert client.send("post", "sign-in", body).json()["user"]["id"] == ada.pk


def test_an_address_that_is_no_text_is_refused(client):
    answer = client.send("post", "sign-in", {"email": ["ada"], "password": PASSWORD})
    assert (answer.status_code, code(answer)) == (400, "invalid")


def test_a_dead_token_in_the_header_does_not_keep_anybody_from_signing_in(browser):
    browser.token = "x" * 32
    assert browser.sign_in(transport="bearer").status_code == 200


@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_it_works_within_the_requests_transaction(transactional_db, ada, transport, monkeypatch):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    client = ApiClient()
    assert code(client.sign_in(password="wrong")) == "invalid_credentials"
    answer = client.sign_in(transport=transport)
    assert answer.status_code == 200
    client.token = answer.json().get("token")
    assert client.send("get", "session").json()["user"]["id"] == ada.pk


def test_what_a_lockout_package_records_survives_the_refusal(transactional_db, ada, monkeypatch):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)

    def record(**kwargs: object) -> None:
        User.objects.filter(username="ada").update(first_name="failed once")

    with connected(user_login_failed, record):
        answer = ApiClient().sign_in(password="wrong")
    assert code(answer) == "invalid_credentials"
    assert User.objects.get().first_name == "failed once"


def test_error_reports_hide_the_password(client, monkeypatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a defect")

    with connected(user_logged_in, fail):
        client.raise_request_exception = False
        with override_settings(DEBUG=False):
            answer = client.sign_in()
    frames = []
    _, _, trace = answer.exc_info
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    shown = str(
        [
            SafeExceptionReporterFilter().get_traceback_frame_variables(None, frame)
            for frame in frames
            if "django_sessions_plus/api" in frame.f_code.co_filename
        ]
    )
    assert len(shown) > 10
    assert PASSWORD not in shown
