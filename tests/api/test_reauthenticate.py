"""POST reauthenticate."""

import django
import pytest
from django.contrib.auth import authenticate as real_authenticate
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.test import override_settings

from django_sessions_plus.accounts import reauthentication
from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, code, grow_stale
from tests.api.test_sign_in import csrf_token

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]


class EveBackend:
    """Gives everybody eve."""

    def authenticate(self, request, username=None, password=None):
        return User.objects.get(username="eve")


def reauthenticate(client, password=PASSWORD, **extra):
    return client.send("post", "reauthenticate", {"password": password}, **extra)


def test_it_makes_the_session_fresh_again(signed_in, ada, make_session):
    other = make_session(ada)
    grow_stale()
    assert code(signed_in.send("delete", f"sessions/{other.pk}")) == "reauthentication_required"
    answer = reauthenticate(signed_in)
    assert answer.status_code == 200
    signed_in.take(answer)
    assert signed_in.send("delete", f"sessions/{other.pk}").status_code == 204


def test_it_tells_the_session_as_it_now_is(signed_in):
    grow_stale()
    before = Session.objects.get()
    answer = reauthenticate(signed_in).json()
    after = Session.objects.get()
    assert after.pk == before.pk
    assert before.authenticated_at
    assert after.authenticated_at
    assert after.authenticated_at > before.authenticated_at
    assert answer["session"]["id"] == str(after.pk)
    assert answer["session"]["authenticated_at"] > before.authenticated_at.isoformat()
    assert answer["user"]["username"] == "ada"


def test_by_cookie_the_token_is_rotated_and_not_told(by_cookie, ada):
    old = by_cookie.cookies["sessionid"].value
    answer = reauthenticate(by_cookie)
    assert answer.json().keys() == {"session", "user"}
    new = by_cookie.cookies["sessionid"].value
    assert new != old
    assert by_cookie.get("/plain").json() == {"user": "ada"}
    by_cookie.cookies["sessionid"] = old
    assert by_cookie.get("/plain").json() == {"user": ""}


def test_by_bearer_the_new_token_is_told_and_the_old_one_dead(app):
    old = app.token
    answer = reauthenticate(app)
    assert answer.json().keys() == {"session", "user", "token"}
    assert not answer.cookies
    app.token = answer.json()["token"]
    assert app.token != old
    assert app.send("get", "session").status_code == 200
    app.token = old
    assert code(app.send("get", "session")) == "session_ended"


def test_a_wrong_password_is_403_and_changes_nothing(signed_in):
    grow_stale()
    before = Session.objects.get()
    answer = reauthenticate(signed_in, "wrong")
    assert (answer.status_code, code(answer)) == (403, "invalid_credentials")
    assert "WWW-Authenticate" not in answer
    after = Session.objects.get()
    assert after.authenticated_at == before.authenticated_at
    assert after.token_digest == before.token_digest
    assert signed_in.send("get", "session").json()["user"]["username"] == "ada"


def test_the_password_must_be_ones_own(signed_in, eve):
    eve.set_password("of eve")
    eve.save()
    answer = signed_in.send("post", "reauthenticate", {"username": "eve", "password": "of eve"})
    assert code(answer) == "invalid_credentials"


def test_a_backend_that_finds_somebody_else_does_not_count(signed_in, eve):
    backends = ["django.contrib.auth.backends.ModelBackend", f"{__name__}.EveBackend"]
    with override_settings(AUTHENTICATION_BACKENDS=backends):
        assert code(reauthenticate(signed_in, "wrong")) == "invalid_credentials"


def test_it_is_not_for_anonymous_visitors(client):
    answer = reauthenticate(client)
    assert (answer.status_code, code(answer)) == (401, "not_authenticated")


def test_by_cookie_it_needs_the_csrf_token(browser, by_cookie):
    browser.cookies["sessionid"] = by_cookie.cookies["sessionid"].value
    assert code(reauthenticate(browser)) == "csrf_failed"
    assert reauthenticate(browser, headers=csrf_token(browser)).status_code == 200


def test_a_session_not_to_be_remembered_stays_so(client):
    client.sign_in(remember=False)
    assert reauthenticate(client).json()["session"]["remember"] is False
    assert Session.objects.get().remember is False


@pytest.mark.parametrize("save_every_request", [False, True])
@pytest.mark.parametrize("name", ["by_cookie", "app", "service"])
def test_a_session_that_ends_meanwhile_is_neither_saved_nor_is_its_cookie_dropped(
    request, name, monkeypatch, settings, save_every_request
):
    signed_in = request.getfixturevalue(name)
    settings.SESSION_SAVE_EVERY_REQUEST = save_every_request

    def authenticate(*args, **kwargs):
        Session.objects.all().end(reason="revoked")
        return real_authenticate(*args, **kwargs)

    monkeypatch.setattr(reauthentication, "authenticate", authenticate)
    answer = reauthenticate(signed_in)
    assert (answer.status_code, code(answer)) == (400, "session_interrupted")
    assert "another user signed in to it" in answer.json()["detail"]
    assert not answer.cookies
    assert Session.objects.get().end_reason == "revoked"


@pytest.mark.django_db(transaction=True)
def test_by_access_token_it_counts_although_a_browser_rotated_the_session_token(
    service, monkeypatch
):
    def authenticate(*args, **kwargs):
        Session.objects.update(token_digest="0" * 64)
        return real_authenticate(*args, **kwargs)

    grow_stale()
    monkeypatch.setattr(reauthentication, "authenticate", authenticate)
    assert service.take(reauthenticate(service)).status_code == 200
    assert service.send("get", "/sensitive").status_code == 200
    assert Session.objects.get().token_digest != "0" * 64


@pytest.mark.skipif(django.VERSION >= (6, 1), reason="Django's own sign-in demands it from 6.1 on")
def test_a_user_model_without_an_auth_hash_will_do(request, monkeypatch):
    """As Django's own sign-in and its check of every request allow for."""
    monkeypatch.delattr(AbstractBaseUser, "get_session_auth_hash")
    by_cookie = request.getfixturevalue("by_cookie")
    before = by_cookie.cookies["sessionid"].value
    assert reauthenticate(by_cookie).status_code == 200
    assert by_cookie.cookies["sessionid"].value != before
