"""Tokens of rest_framework.authtoken, djoser and django-rest-knox that go on as sessions of this package.

Run with the packages installed::

    python -m pytest -m neighbours --ds tests.neighbours.tokens_settings tests/neighbours/test_tokens.py
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.core import checks
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import OperationalError, connection, models
from django.http import Http404
from django.test import Client, RequestFactory, override_settings
from django.views.debug import ExceptionReporter

if not apps.is_installed("djoser"):
    pytest.skip("needs tests.neighbours.tokens_settings", allow_module_level=True)

from knox.models import AuthToken
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import PermissionDenied
from rest_framework.test import APIRequestFactory

from django_sessions_plus import sessions
from django_sessions_plus.backends import foreign
from django_sessions_plus.backends.caching import circuit
from django_sessions_plus.models import Session
from django_sessions_plus.switching import mirroring, token_import
from django_sessions_plus.switching.asking import unknown_tokens
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sources.tokens import TokenSource
from tests.backends.racing import racers, shared_database
from tests.neighbours.tokens_urls import CLASSES, ApiToken, Device, DeviceToken, Who

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db(transaction=True)]

DAY = timedelta(days=1)
STOCK = {
    "SESSION_ENGINE": "django.contrib.sessions.backends.cache",
    "MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware"],
}


@dataclass(frozen=True)
class Kind:
    """A package, with what differs between the two."""

    name: str
    model: Any
    mint: Callable[[User], str]

    def headers(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Token {token}"}

    def get(self, token: str, *, plain: bool = False) -> Any:
        path = f"/{'plain-' if plain else ''}{self.name}/who"
        return Client(raise_request_exception=False).get(path, headers=self.headers(token))

    def who(self, token: str, *, plain: bool = False) -> str:
        """Return who is signed in by this token, in a process that has never seen it; "" for a 401."""
        unknown_tokens.clear()
        answer = self.get(token, plain=plain)
        assert answer.status_code in {200, 401}
        return str(answer.json()["user"]) if answer.status_code == 200 else ""

    def act(self, token: str, what: str) -> Any:
        client = Client(raise_request_exception=False)
        return client.post(f"/{self.name}/act/{what}", headers=self.headers(token))


def mint_authtoken(user: User) -> str:
    return str(Token.objects.get_or_create(user=user)[0].key)


def mint_knox(user: User) -> str:
    return str(AuthToken.objects.create(user=user)[1])


AUTHTOKEN = Kind("authtoken", Token, mint_authtoken)
KNOX = Kind("knox", AuthToken, mint_knox)


@pytest.fixture(params=[AUTHTOKEN, KNOX], ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(autouse=True)
def _forget() -> None:
    unknown_tokens.clear()
    circuit._circuits.clear()


# The import


def test_an_old_token_opens_a_session_that_is_listed(alice, kind):
    token = kind.mint(alice)
    created = kind.model.objects.get().created
    kind.model.objects.update(created=created - 40 * DAY)
    answer = kind.get(token).json()
    row = sessions.list_for(alice).get()
    assert answer == {"user": "alice", "session": str(row.pk), "is_its_session": True}
    assert (row.transport, row.authenticated_at, row.is_fresh()) == ("token", None, False)
    assert row.created_at == created - 40 * DAY
    assert row.imported_at is not None
    assert kind.get(token).json()["session"] == str(row.pk)
    assert Session.objects.count() == 1
    # The package's own views go on with its row.
    assert kind.model.objects.count() == 1
    assert kind.who(token, plain=True) == "alice"


def test_the_second_request_takes_one_query(alice, kind, django_assert_num_queries):
    token = kind.mint(alice)
    assert kind.who(token) == "alice"
    with django_assert_num_queries(1):
        assert kind.who(token) == "alice"


def test_a_token_of_authtoken_lasts_until_it_is_ended(alice, clock):
    token = AUTHTOKEN.mint(alice)
    assert AUTHTOKEN.who(token) == "alice"
    for _ in range(3):
        clock.advance(days=1000)
        assert AUTHTOKEN.who(token) == "alice"
        assert sessions.list_for(alice).count() == 1
        sessions.new_store().clear_expired()
    expires_at = Session.objects.get().expires_at
    assert expires_at > clock.moment + 33_000 * DAY


def test_a_timeout_for_such_tokens_counts_from_the_import(alice, clock):
    token = AUTHTOKEN.mint(alice)
    with override_settings(SESSIONS_PLUS_LIFETIMES={"token": {"absolute": 5 * DAY}}):
        assert AUTHTOKEN.who(token) == "alice"
        clock.advance(days=4)
        assert AUTHTOKEN.who(token) == "alice"
        clock.advance(days=2)
        assert AUTHTOKEN.who(token) == ""
        # The sign-in of the package does not return that token again.
        assert AUTHTOKEN.mint(alice) != token


def test_a_token_of_knox_expires_as_it_would_have(alice, clock):
    token = KNOX.mint(alice)
    expiry = AuthToken.objects.get().expiry
    assert KNOX.who(token) == "alice"
    assert Session.objects.get().expires_at == expiry
    clock.advance(hours=9)
    assert KNOX.who(token) == "alice"
    assert Session.objects.get().expires_at == expiry
    clock.advance(hours=2)
    assert KNOX.who(token) == ""
    assert not sessions.list_for(alice).exists()


def test_an_expired_token_of_knox_is_not_imported(alice, clock):
    token = KNOX.mint(alice)
    clock.advance(hours=11)
    assert KNOX.who(token) == ""
    assert not Session.objects.exists()


def test_a_token_of_knox_without_an_expiry_lasts(alice, clock):
    token = str(AuthToken.objects.create(user=alice, expiry=None)[1])
    assert KNOX.who(token) == "alice"
    clock.advance(days=1000)
    with override_settings(REST_KNOX={"AUTO_REFRESH": True}):
        assert KNOX.who(token) == "alice"
    assert AuthToken.objects.get().expiry is None


def test_knox_auto_refresh_moves_the_expiry_of_both_up_to_its_limit(alice, clock):
    settings = {"AUTO_REFRESH": True, "AUTO_REFRESH_MAX_TTL": timedelta(hours=24)}
    with override_settings(REST_KNOX=settings):
        token = KNOX.mint(alice)
        began = AuthToken.objects.get().created
        for hours in (0, 9, 9, 5):
            clock.advance(hours=hours)
            assert KNOX.who(token) == "alice"
            expected = min(clock.moment + timedelta(hours=10), began + timedelta(hours=24))
            assert Session.objects.get().expires_at == AuthToken.objects.get().expiry == expected
        clock.advance(hours=2)
        assert KNOX.who(token) == ""


def test_what_a_subclass_of_the_project_judges_is_asked_at_the_import(alice):
    class Keyed(CLASSES["authtoken"][0]):
        keyword = "Api-Key"

        def authenticate_credentials(self, key: str) -> Any:
            user, token = super().authenticate_credentials(key)
            seen.append(token)
            return user, token

        def expiry_of(self, token: Any) -> Any:
            return token.created + DAY

    seen: list[Any] = []
    token = Token.objects.get(key=AUTHTOKEN.mint(alice))
    for scheme, expected in (("Api-Key", "alice"), ("Token", "")):
        answer = authenticated(Keyed, f"{scheme} {token.key}")
        assert answer == expected
    assert seen == [token]
    assert Session.objects.get().expires_at == token.created + DAY


def test_a_request_that_a_class_of_the_project_refuses_delays_no_other_import(alice, bob):
    class Choosy(CLASSES["authtoken"][0]):
        refusal: Exception

        def authenticate_credentials(self, key: str) -> Any:
            user, token = super().authenticate_credentials(key)
            if user == bob:
                raise self.refusal
            return user, token

    refusals = (PermissionDenied(), DjangoPermissionDenied(), Http404())
    for refusal, expected in zip(refusals, (403, 403, 404), strict=True):
        Choosy.refusal = refusal
        request = APIRequestFactory().get("/", headers=AUTHTOKEN.headers(AUTHTOKEN.mint(bob)))
        answer = Who.as_view(authentication_classes=[Choosy])(request)
        assert answer.status_code == expected
    assert authenticated(Choosy, f"Token {AUTHTOKEN.mint(alice)}") == "alice"


def test_a_proxy_model_has_the_tokens_of_its_table(alice):
    for model in (Token, ApiToken):
        token = AUTHTOKEN.mint(alice)
        headers = AUTHTOKEN.headers(token)
        sessions_found = {
            Client().get(f"/{name}/who", headers=headers).json()["session"]
            for name in ("proxy", "authtoken")
        }
        assert sessions_found == {str(sessions.list_for(alice).get().pk)}
        model.objects.filter(user=alice).delete()
        unknown_tokens.clear()
        assert Client().get("/proxy/who", headers=headers).status_code == 401
        assert not sessions.list_for(alice).exists()


def test_tokens_that_are_not_of_users_are_left_to_their_package(alice):
    device = Device.objects.create(pk=alice.pk)
    DeviceToken.objects.create(key="d" * 40, user=device)
    for end in (lambda: None, lambda: sessions.revoke_all(alice), sessions.revoke_everyone):
        end()
        answer = Client().get("/device/who", headers=AUTHTOKEN.headers("d" * 40))
        assert answer.json() == {"user": "a device", "session": None, "is_its_session": False}
    assert not Session.objects.exists()


def test_without_the_app_of_the_package_tokens_are_refused_and_nothing_fails(db):
    class Abstract(models.Model):
        key = models.CharField(max_length=40)
        user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)

        class Meta:
            abstract = True
            app_label = "removed"

    class OfRemovedApp(CLASSES["authtoken"][0]):
        def token_model(self) -> Any:
            return Abstract

    with override_settings(SESSIONS_PLUS_IMPORT_FROM=[]):
        request = APIRequestFactory().get("/", headers=AUTHTOKEN.headers("0" * 40))
        assert Who.as_view(authentication_classes=[OfRemovedApp])(request).status_code == 401


def test_who_is_no_user_never_gets_the_session_of_a_user(alice):
    class OfDevices(CLASSES["authtoken"][0]):
        def authenticate_credentials(self, key: str) -> Any:
            user, token = super().authenticate_credentials(key)
            return Device(pk=user.pk), token

    token = AUTHTOKEN.mint(alice)
    request = APIRequestFactory().get("/", headers=AUTHTOKEN.headers(token))
    answer = Who.as_view(authentication_classes=[OfDevices])(request)
    assert answer.status_code == 401
    assert not Session.objects.exists()
    assert Token.objects.filter(key=token).exists()


def authenticated(kind: Any, header: str) -> str:
    request = APIRequestFactory().get("/", headers={"Authorization": header})
    answer = Who.as_view(authentication_classes=[kind])(request)
    return str(answer.data["user"])


# What a view does with the session


@pytest.mark.parametrize("what", ["cycle", "sign-in", "write", "password"])
def test_no_view_makes_the_token_invalid_that_did_not_end_the_session(alice, kind, what):
    token = kind.mint(alice)
    for _ in range(2):
        answer = kind.act(token, what)
        assert answer.status_code == 200
        assert "Session-Token" not in answer.headers
        assert "sessionid" not in answer.cookies
        assert kind.who(token) == kind.who(token, plain=True) == "alice"
    row = Session.objects.get()
    assert row.is_fresh() is (what == "sign-in")
    assert ("basket" in row.get_decoded()) is (what == "write")


def test_what_a_failed_view_has_undone_is_imported_again(alice, kind, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    token = kind.mint(alice)
    answer = kind.act(token, "write-and-fail")
    assert (answer.status_code, answer.json()) == (400, ["wrong"])
    assert Session.objects.get().get_decoded()["basket"] == 1
    assert ImportedKey.objects.count() == 1
    assert kind.who(token) == "alice"


@pytest.mark.parametrize("what", ["sign-in-bob", "take-over"])
def test_a_token_never_becomes_that_of_another_user(alice, bob, kind, what):
    token = kind.mint(alice)
    answer = kind.act(token, what)
    assert "sessionid" not in answer.cookies
    # Django's login() ends the session of the user before.
    assert kind.who(token) == ("" if what == "sign-in-bob" else "alice")
    assert Session.objects.get().user == alice


def test_another_secret_key_ends_nothing_while_the_former_one_is_a_fallback(alice, kind, settings):
    token = kind.mint(alice)
    assert kind.who(token) == "alice"
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key of the tests, with as many characters as it takes"
    assert kind.who(token) == "alice"
    settings.SECRET_KEY_FALLBACKS = []
    assert kind.who(token) == "alice"


# Attacks


def test_a_token_is_good_under_its_own_scheme_alone(alice, kind):
    token = kind.mint(alice)
    for _ in range(2):
        for path in ("/ours/who", "/auth/session"):
            for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"sessionid={token}"}):
                answer = Client().get(path, headers=headers)
                assert "alice" not in answer.content.decode()
        answer = Client().post("/auth/token/refresh", {"refresh": token}, "application/json")
        assert answer.status_code == 401
        assert kind.who(token) == "alice"


def test_nothing_of_ours_is_a_token_of_a_package(alice, kind):
    token = kind.mint(alice)
    assert kind.who(token) == "alice"
    row, key = Session.objects.get(), ImportedKey.objects.get()
    store = sessions.start(alice)
    pair = sessions.issue_tokens(store.row)
    values = [store.session_key, pair.access, pair.refresh, row.token_digest, str(row.pk)]
    values += [key.digest, key.sealed_key, key.sealed_key[: len(token)]]
    assert [kind.who(str(each)) for each in values] == [""] * len(values)


def test_the_digest_of_a_token_of_knox_opens_nothing(alice):
    token = KNOX.mint(alice)
    stored = AuthToken.objects.get()
    values = [stored.digest, stored.token_key, stored.token_key + token[15:-1] + "x", token[:-1]]
    for expected in ("alice", "alice"):
        assert [KNOX.who(each) for each in values] == [""] * len(values)
        assert KNOX.who(token) == expected


def test_a_key_in_another_case_or_of_the_other_package_opens_nothing(alice):
    token, other = AUTHTOKEN.mint(alice), KNOX.mint(alice)
    assert [AUTHTOKEN.who(each) for each in (token.upper(), other)] == ["", ""]
    assert [KNOX.who(each) for each in (other.upper(), token)] == ["", ""]
    assert not Session.objects.exists()


@pytest.mark.parametrize("token", ["\u00e9", "a\x00b", "x" * 257, "\x7f"], ids=ascii)
def test_junk_costs_no_query(db, kind, token, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert kind.get(token).status_code == 401


@pytest.mark.db_engine
def test_an_unknown_token_is_asked_for_once_and_always_logged(db, kind, statements, caplog):
    for expected in (2, 1):
        caplog.clear()
        with statements() as found:
            assert kind.get("0" * 40).status_code == 401
        assert len(found) == expected
        assert "A credential that opens nothing was refused" in caplog.text


def test_a_header_that_the_package_refuses_is_refused_in_its_words(db, kind):
    for header, words in (("Token", "No credentials"), ("Token a b", "not contain spaces")):
        answer = Client().get(f"/{kind.name}/who", headers={"Authorization": header})
        assert (answer.status_code, words in answer.json()["detail"]) == (401, True)
    assert kind.get("x").headers["WWW-Authenticate"] == "Token"


def test_an_inactive_user_is_refused_and_comes_back_with_the_account(alice, kind):
    token = kind.mint(alice)
    assert kind.who(token) == "alice"
    # By SQL, so that nothing ends.
    users = User.objects.filter(pk=alice.pk)
    users.update(is_active=False)
    assert kind.who(token) == ""
    users.update(is_active=True)
    assert kind.who(token) == kind.who(token, plain=True) == "alice"


def test_a_user_whom_no_backend_has_is_not_imported(alice, kind, settings):
    settings.AUTHENTICATION_BACKENDS = []
    assert kind.who(kind.mint(alice)) == ""
    assert not Session.objects.exists()


def test_twenty_first_requests_import_a_token_once(alice, kind, tmp_path):
    token = kind.mint(alice)
    with shared_database(tmp_path), racers(20) as racing:
        found = racing.run(*[lambda: kind.get(token).json()] * 20)
        assert {each["user"] for each in found} == {"alice"}
        assert {each["session"] for each in found} == {str(Session.objects.get().pk)}
        assert ImportedKey.objects.count() == 1


def test_a_sign_out_during_the_import_ends_it(alice, kind, monkeypatch):
    token = kind.mint(alice)
    write = token_import.write

    def write_late(*args: Any) -> bool:
        sessions.revoke_all(alice)
        return bool(write(*args))

    monkeypatch.setattr(token_import, "write", write_late)
    kind.get(token)
    assert not sessions.list_for(alice).exists()
    assert kind.who(token) == ""


def test_a_table_that_cannot_be_read_is_no_refusal(alice, kind, monkeypatch):
    token = kind.mint(alice)
    package_class = next(
        each for each in CLASSES[kind.name][0].__mro__ if "contrib" not in each.__module__
    )

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("connection lost")

    with monkeypatch.context() as broken:
        broken.setattr(package_class, "authenticate_credentials", fail)
        for _ in range(2):
            answer = kind.get(token)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    circuit._circuits.clear()
    assert kind.who(token) == "alice"


def test_a_table_that_answers_again_is_asked_again_although_it_refuses_junk(
    alice, kind, monkeypatch
):
    monkeypatch.setattr(circuit, "FIRST_DELAY", 0.0)
    with monkeypatch.context() as broken:
        broken.setattr(TokenSource, "alias", "no such database")
        assert kind.get(kind.mint(alice)).status_code == 503
    (found,) = circuit._circuits.values()
    assert not found.is_healthy
    assert kind.who("0" * 40) == ""
    assert found.is_healthy


def test_while_our_table_cannot_be_written_to_tokens_are_answered(alice, kind, monkeypatch):
    token = kind.mint(alice)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("read-only")

    with monkeypatch.context() as broken:
        broken.setattr(ImportedKey, "save", fail)
        assert kind.who(token) == "alice"
        assert not Session.objects.exists()
    assert kind.who(token) == "alice"
    assert Session.objects.exists()


@pytest.mark.parametrize("broken", [None, "read", "write"])
def test_the_token_is_in_no_log_no_table_and_no_error_report(
    alice, kind, broken, caplog, monkeypatch
):
    token = kind.mint(alice)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("broken")

    if broken is not None:
        monkeypatch.setattr(
            *((foreign, "find") if broken == "read" else (token_import, "write")), fail
        )
    with caplog.at_level(logging.DEBUG):
        assert kind.get(token).status_code == (200 if broken is None else 500)
    assert token not in caplog.text
    reports = [
        ExceptionReporter(RequestFactory().get("/"), *record.exc_info)
        for record in caplog.records
        if record.exc_info
    ]
    assert bool(reports) is (broken is not None)
    for report in reports:
        ours = [
            frame
            for frame in report.get_traceback_frames()
            if "django_sessions_plus" in frame["filename"]
        ]
        assert ours
        assert token not in repr([frame["vars"] for frame in ours])
    assert token not in str([*Session.objects.values(), *ImportedKey.objects.values()])


# Side by side with processes of the previous engine


def test_before_the_switch_the_package_answers_and_imported_tokens_stay_valid(alice, bob, kind):
    token, other = kind.mint(alice), kind.mint(bob)
    with override_settings(**STOCK):
        assert kind.get(token).json()["session"] is None
    assert kind.who(token) == "alice"
    with override_settings(**STOCK):
        assert (kind.who(token), kind.who(other)) == ("alice", "bob")
    assert sessions.revoke(sessions.list_for(alice).get())
    with override_settings(**STOCK):
        assert (kind.who(token), kind.who(other)) == ("", "bob")


# Such a process does not know of the cache.
@pytest.mark.db_engine
def test_a_sign_out_in_a_process_of_the_previous_engine_ends_the_session(alice, kind):
    token = kind.mint(alice)
    assert kind.who(token) == "alice"
    with override_settings(**STOCK):
        log_out(kind, alice, token)
    assert kind.who(token) == ""
    assert not sessions.list_for(alice).exists()


def test_what_could_not_be_deleted_in_the_table_is_deleted_later(alice, kind, monkeypatch):
    token = kind.mint(alice)
    assert kind.who(token) == "alice"
    with monkeypatch.context() as broken:
        broken.setattr(TokenSource, "delete", lambda *args: 1 / 0)
        assert sessions.revoke(sessions.list_for(alice).get())
    assert kind.who(token, plain=True) == "alice"
    mirroring.delete_ended(using="default")
    assert kind.who(token, plain=True) == ""


# The window


def test_a_key_that_the_old_sign_in_makes_after_the_switch_is_imported_too(alice):
    body = {"username": "alice", "password": "wonderland"}
    for path, name in (("/login/", "token"), ("/djoser/token/login/", "auth_token")):
        token = Client().post(path, body).json()[name]
        assert AUTHTOKEN.who(token) == "alice"
        assert sessions.revoke(Session.objects.get(ended_at=None))


def test_after_the_window_imported_tokens_go_on_and_no_other_is_asked_for(
    alice, bob, kind, django_assert_num_queries
):
    token, other = kind.mint(alice), kind.mint(bob)
    assert kind.who(token) == "alice"
    with override_settings(SESSIONS_PLUS_IMPORT_FROM=[]):
        assert kind.who(token) == "alice"
        with django_assert_num_queries(1):
            assert kind.who(other) == ""
        # What the package ends, ends here.
        kind.model.objects.filter(user=alice).delete()
        assert kind.who(token) == ""


def test_the_limit_per_user_is_left_to_the_next_sign_in(alice, kind):
    browser = Client()
    browser.force_login(alice)
    token = kind.mint(alice)
    with override_settings(SESSIONS_PLUS_MAX_PER_USER=1):
        assert kind.who(token) == "alice"
        assert sessions.list_for(alice).count() == 2
        body = {"username": "alice", "password": "wonderland", "transport": "bearer"}
        Client().post("/auth/sign-in", body, content_type="application/json")
        assert sessions.list_for(alice).count() == 1


# Ending it


def end_here(kind: Kind, user: User, token: str) -> None:
    assert sessions.revoke(sessions.list_for(user).get())


def sign_out_everywhere(kind: Kind, user: User, token: str) -> None:
    sessions.revoke_all(user)


def sign_everyone_out(kind: Kind, user: User, token: str) -> None:
    sessions.revoke_everyone()


def change_password(kind: Kind, user: User, token: str) -> None:
    user.set_password("another")
    user.save()


def deactivate(kind: Kind, user: User, token: str) -> None:
    user.is_active = False
    user.save()


def activate_again(kind: Kind, user: User, token: str) -> None:
    deactivate(kind, user, token)
    user.is_active = True
    user.save()


def delete_user(kind: Kind, user: User, token: str) -> None:
    user.delete()


def flush(kind: Kind, user: User, token: str) -> None:
    kind.act(token, "flush")


def delete_auth(kind: Kind, user: User, token: str) -> None:
    assert kind.act(token, "delete-auth").status_code == 200


def delete_all_of_user(kind: Kind, user: User, token: str) -> None:
    kind.model.objects.filter(user=user).delete()


def log_out(kind: Kind, user: User, token: str) -> None:
    paths = {"authtoken": "/djoser/token/logout/", "knox": "/knox/logout/"}
    answer = Client().post(paths[kind.name], headers=kind.headers(token))
    assert answer.status_code == 204


def log_out_everywhere(kind: Kind, user: User, token: str) -> None:
    if kind is AUTHTOKEN:
        assert kind.act(token, "delete").status_code == 200
        return
    answer = Client().post("/knox/logoutall/", headers=kind.headers(token))
    assert answer.status_code == 204


ENDS = [
    *(end_here, sign_out_everywhere, sign_everyone_out, change_password, deactivate),
    *(activate_again, delete_user, flush, delete_auth, delete_all_of_user, log_out),
    log_out_everywhere,
]
UNUSED = [end for end in ENDS if end not in (end_here, flush, delete_auth)]


@pytest.mark.parametrize("end", ENDS)
def test_a_token_that_has_ended_opens_nothing_here_nor_there(alice, bob, kind, end):
    token, other = kind.mint(alice), kind.mint(bob)
    assert (kind.who(token), kind.who(other)) == ("alice", "bob")
    end(kind, alice, token)
    assert kind.who(token) == ""
    assert kind.who(token, plain=True) == ""
    assert not sessions.list_for(alice.pk or 0).exists()
    expected = "" if end is sign_everyone_out else "bob"
    assert kind.who(other) == kind.who(other, plain=True) == expected
    Session.objects.filter(user=alice.pk).delete()
    assert kind.who(token) == ""


@pytest.mark.parametrize("end", UNUSED)
def test_a_token_that_was_not_used_since_the_switch_ends_too(alice, kind, end):
    token = kind.mint(alice)
    end(kind, alice, token)
    assert kind.who(token) == ""
    assert not sessions.list_for(alice.pk or 0).exists()


@pytest.mark.parametrize("end", [each for each in ENDS if each not in (delete_user, deactivate)])
@pytest.mark.parametrize("used", [True, False])
def test_afterwards_the_sign_in_of_the_package_makes_a_token_that_opens(alice, kind, end, used):
    token = kind.mint(alice)
    if used:
        assert kind.who(token) == "alice"
    elif end not in UNUSED:
        return
    end(kind, alice, token)
    again = kind.mint(alice)
    assert again != token
    assert kind.who(again) == "alice"


def test_signing_out_the_others_keeps_the_token_of_the_request(alice, kind):
    token = kind.mint(alice)
    row = Session.objects.get(pk=kind.get(token).json()["session"])
    sessions.revoke_others(alice, keep=row)
    assert kind.who(token) == kind.who(token, plain=True) == "alice"


@pytest.mark.parametrize("urls", ["tests.urls", "tests.neighbours.tokens_urls"])
def test_a_check_finds_packages_whose_tokens_no_view_reads(urls):
    with override_settings(ROOT_URLCONF=urls):
        found = checks.run_checks(tags=["django_sessions_plus"])
    texts = [each.msg for each in found if each.id == "django_sessions_plus.W044"]
    assert ["'knox'" in each for each in texts] == ([True] if urls == "tests.urls" else [])
