"""Refresh tokens of simplejwt as it is, which are exchanged once, and its access tokens until they expire.

Run with the packages installed::

    python -m pytest -m neighbours --ds tests.neighbours.simplejwt_settings tests/neighbours/test_simplejwt.py
"""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.db import DatabaseError, connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import override_settings
from django.utils import timezone

if not apps.is_installed("rest_framework_simplejwt.token_blacklist"):
    pytest.skip("needs tests.neighbours.simplejwt_settings", allow_module_level=True)

from dj_rest_auth.app_settings import api_settings as rest_auth
from rest_framework_simplejwt import backends, serializers, tokens
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.state import token_backend
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from django_sessions_plus import sessions, signals
from django_sessions_plus.contrib import simplejwt
from django_sessions_plus.models import Session
from django_sessions_plus.switching import exchanging, importing
from django_sessions_plus.switching.models import ImportBarrier, ImportedKey
from tests.backends.racing import racers, shared_database
from tests.failing import FailingAt

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db(transaction=True)]

PASSWORD = "lovelace-1815"
ATTEMPT = "0123456789abcdef" * 2
NO_GRACE = override_settings(SESSIONS_PLUS_REFRESH_GRACE=timedelta(0))


@pytest.fixture(autouse=True)
def ada(transactional_db: None) -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def rotating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings with which simplejwt itself takes a refresh token once."""
    monkeypatch.setattr(api_settings, "ROTATE_REFRESH_TOKENS", True)
    monkeypatch.setattr(api_settings, "BLACKLIST_AFTER_ROTATION", True)


def post(path: str, client: Client | None = None, **body: Any) -> Any:
    return (client or Client()).post(path, body, content_type="application/json")


def exchange(token: str, **body: Any) -> Any:
    return post("/auth/token/refresh", refresh=token, **body)


def exchanged(token: str, **body: Any) -> dict[str, Any]:
    answer = exchange(token, **body)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code")


def who(access: str) -> tuple[int, Any]:
    answer = Client().get("/who", headers={"authorization": f"Bearer {access}"})
    return answer.status_code, answer.json()


def refresh_of(user: User, **claims: Any) -> str:
    """Return a refresh token of simplejwt with these claims besides; None leaves one out."""
    token = tokens.RefreshToken.for_user(user)
    for name, value in claims.items():
        if value is None:
            del token[name]
        else:
            token[name] = value
    return str(token)


# What an exchange gives


def test_a_refresh_token_is_exchanged_for_a_session_and_its_pair(ada: User):
    token = tokens.RefreshToken.for_user(ada)
    token.set_iat(at_time=timezone.now() - timedelta(hours=3))
    token.set_exp(from_time=token.current_time, lifetime=timedelta(hours=20))
    # Without it, the expiry moves by the first use, as that of every session.
    pair = exchanged(str(token), passive=True)
    assert pair.keys() == {"access", "refresh", "expires_in", "refresh_expires_at"}
    row = Session.objects.get()
    assert (row.user, row.transport, row.authenticated_at) == (ada, "jwt", None)
    assert row.created_at == datetime.fromtimestamp(token["iat"], UTC)
    assert row.expires_at == datetime.fromtimestamp(token["exp"], UTC)
    assert row.imported_at is not None
    assert row.ip_address == "127.0.0.1"
    assert not row.is_fresh()
    assert who(pair["access"]) == (200, "ada")
    assert ImportedKey.objects.get().source == "simplejwt"
    # The next refresh is one like any other.
    assert who(exchanged(pair["refresh"])["access"]) == (200, "ada")
    assert Session.objects.count() == 1


def test_a_session_lives_no_longer_than_those_of_this_site(ada: User):
    token = tokens.RefreshToken.for_user(ada)
    token.set_exp(lifetime=timedelta(days=400))
    exchanged(str(token))
    limit = timezone.now() + timedelta(seconds=django_settings.SESSION_COOKIE_AGE)
    assert Session.objects.get().expires_at <= limit


def test_the_import_is_logged_and_no_sign_in_is_reported(ada: User, caplog: Any):
    token = refresh_of(ada)
    started: list[Any] = []
    signals.session_started.connect(started.append)
    with caplog.at_level(logging.INFO, logger="django_sessions_plus"):
        exchanged(token)
    names = [getattr(record, "event", "") for record in caplog.records]
    assert names.count("session_imported") == 1
    assert not started


@override_settings(SESSIONS_PLUS_MAX_PER_USER=2)
def test_the_limit_counts_exchanged_sessions(ada: User):
    first, *others = [refresh_of(ada) for _ in range(3)]
    exchanged(first)
    for token in others:
        exchanged(token)
    assert Session.objects.active().count() == 2
    assert code_of(exchange(first)) == (401, "session_ended")


def test_the_user_goes_on_after_the_name_is_taken_out(ada: User):
    token = refresh_of(ada)
    pair = exchanged(token)
    with override_settings(SESSIONS_PLUS_IMPORT_FROM=[]):
        assert who(exchanged(pair["refresh"])["access"]) == (200, "ada")
        assert code_of(exchange(token)) == (401, "invalid_token")


@pytest.mark.parametrize("claim", ["id", "username", "email"])
def test_the_user_is_found_as_simplejwt_is_told_to(ada: User, claim: str, monkeypatch: Any):
    monkeypatch.setattr(api_settings, "USER_ID_FIELD", claim)
    monkeypatch.setattr(api_settings, "USER_ID_CLAIM", "who")
    exchanged(str(tokens.RefreshToken.for_user(ada)))
    assert Session.objects.get().user == ada


class DeviceToken(tokens.RefreshToken):  # type: ignore[misc]  # its types are not used
    """A project's own."""

    token_type = "device"

    def verify(self, *args: Any, **kwargs: Any) -> None:
        super().verify(*args, **kwargs)
        if "device" not in self:
            raise TokenError("no device")


class DeviceSerializer(serializers.TokenRefreshSerializer):  # type: ignore[misc]  # its types are not used
    token_class = DeviceToken


def test_a_projects_own_class_verifies_its_tokens(ada: User, monkeypatch: Any):
    path = f"{__name__}.DeviceSerializer"
    monkeypatch.setattr(api_settings, "TOKEN_REFRESH_SERIALIZER", path)
    token = DeviceToken.for_user(ada)
    assert code_of(exchange(str(token))) == (401, "invalid_token")
    token["device"] = "phone"
    exchanged(str(token))
    assert code_of(exchange(refresh_of(ada, device="phone"))) == (401, "invalid_token")


def test_tokens_without_an_identifier_are_told_apart_by_their_claims(ada: User, monkeypatch: Any):
    first, second = refresh_of(ada, jti=None), refresh_of(ada, jti=None, device=2)
    assert code_of(exchange(first)) == (401, "invalid_token")
    monkeypatch.setattr(api_settings, "JTI_CLAIM", None)
    pairs = [exchanged(token) for token in (first, second, first)]
    assert pairs[0]["refresh"] == pairs[2]["refresh"] != pairs[1]["refresh"]
    assert Session.objects.count() == 2


# The second time


def test_parallel_requests_and_lost_answers_get_the_same_successor(ada: User):
    token = refresh_of(ada)
    first, again = exchanged(token), exchanged(token)
    assert first["refresh"] == again["refresh"]
    assert who(first["access"]) == who(again["access"]) == (200, "ada")
    assert Session.objects.count() == ImportedKey.objects.count() == 1


@NO_GRACE
@pytest.mark.usefixtures("rotating")
def test_a_token_that_simplejwt_takes_once_is_taken_once(ada: User):
    token = refresh_of(ada)
    reports: list[Any] = []

    def report(session: Session, **arguments: Any) -> None:
        reports.append(session)

    signals.refresh_token_reused.connect(report)
    pair = exchanged(token)
    assert code_of(exchange(token)) == (401, "session_ended")
    assert len(reports) == 1
    assert Session.objects.get().end_reason == "refresh_reused"
    assert who(pair["access"])[0] == 401
    for each in (token, pair["refresh"]):
        assert code_of(exchange(each)) == (401, "session_ended")
    assert len(reports) == 1


@NO_GRACE
@pytest.mark.usefixtures("rotating")
def test_a_retry_with_the_attempt_of_the_exchange_is_answered(ada: User):
    token = refresh_of(ada)
    first = exchanged(token, attempt=ATTEMPT)
    assert exchanged(token, attempt=ATTEMPT)["refresh"] == first["refresh"]
    assert code_of(exchange(token, attempt=ATTEMPT[::-1])) == (401, "session_ended")


@NO_GRACE
def test_a_client_that_never_replaces_its_token_goes_on_until_it_expires(ada: User):
    token = refresh_of(ada)
    answers = [exchanged(token) for _ in range(3)]
    assert len({answer["refresh"] for answer in answers}) == 1
    assert all(who(answer["access"]) == (200, "ada") for answer in answers)
    assert Session.objects.count() == 1


@NO_GRACE
def test_whoever_presents_the_token_when_its_successor_was_used_has_a_copy(ada: User):
    token = refresh_of(ada)
    second = exchanged(exchanged(token)["refresh"])
    assert code_of(exchange(token)) == (401, "session_ended")
    assert Session.objects.get().end_reason == "refresh_reused"
    assert code_of(exchange(second["refresh"])) == (401, "session_ended")


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("revoke", [False, True])
@NO_GRACE
def test_a_token_is_taken_once_only_if_simplejwt_does_so(
    ada: User, rotate: bool, revoke: bool, monkeypatch: Any
):
    monkeypatch.setattr(api_settings, "ROTATE_REFRESH_TOKENS", rotate)
    monkeypatch.setattr(api_settings, "BLACKLIST_AFTER_ROTATION", revoke)
    token = refresh_of(ada)
    assert post("/theirs/token/refresh/", refresh=token).status_code == 200
    is_refused = post("/theirs/token/refresh/", refresh=token).status_code == 401
    token = refresh_of(ada)
    exchanged(token)
    assert (exchange(token).status_code == 401) == is_refused


def test_simplejwt_refuses_what_was_exchanged(ada: User):
    token = refresh_of(ada)
    kept = OutstandingToken._default_manager.get()
    exchanged(token)
    answer = post("/theirs/token/refresh/", refresh=token)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")
    assert BlacklistedToken._default_manager.get().token == kept


def test_a_token_that_simplejwt_has_not_listed_is_refused_there_and_not_stored(ada: User):
    token = refresh_of(ada)
    OutstandingToken._default_manager.all().delete()
    exchanged(token)
    assert post("/theirs/token/refresh/", refresh=token).status_code == 401
    assert OutstandingToken._default_manager.get().token == ""


def test_a_new_secret_key_changes_no_successor(ada: User):
    token = refresh_of(ada)
    first = exchanged(token)
    with override_settings(
        SECRET_KEY="another key, known to everybody as well, and long enough for a test",
        SECRET_KEY_FALLBACKS=[django_settings.SECRET_KEY],
    ):
        assert exchange(token).status_code == 200
        assert who(exchanged(first["refresh"])["access"]) == (200, "ada")


# What is refused


def encoded(claims: dict[str, Any], key: Any = None, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key or str(token_backend.signing_key), algorithm=algorithm)


def unsigned(claims: dict[str, Any]) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def other_last_character(token: str) -> str:
    """Return another text with the same signature: its last character has two bits that do not count."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = alphabet[alphabet.index(token[-1]) ^ 1]
    return token[:-1] + other


REFUSED: dict[str, Callable[[User], str]] = {
    "access": lambda ada: str(tokens.AccessToken.for_user(ada)),
    "sliding": lambda ada: str(tokens.SlidingToken.for_user(ada)),
    "another key": lambda ada: encoded(claims_of(refresh_of(ada)), "x" * 64),
    "no signature": lambda ada: unsigned(claims_of(refresh_of(ada))),
    "another algorithm": lambda ada: encoded(claims_of(refresh_of(ada)), algorithm="HS512"),
    "expired": lambda ada: refresh_of(ada, exp=1),
    "no expiry": lambda ada: refresh_of(ada, exp=None),
    "an expiry that is none": lambda ada: refresh_of(ada, exp=10**30),
    "a kind that is none": lambda ada: refresh_of(ada, token_type=["refresh"]),
    "no kind": lambda ada: refresh_of(ada, token_type=None),
    "no identifier": lambda ada: refresh_of(ada, jti=None),
    "not yet": lambda ada: refresh_of(ada, nbf=2**33),
    "issued in the future": lambda ada: refresh_of(ada, iat=2**33),
    "no user": lambda ada: refresh_of(ada, user_id=None),
    "another user": lambda ada: refresh_of(ada, user_id="12345"),
    "a user that is none": lambda ada: refresh_of(ada, user_id={"pk": 1}),
    "a user beyond the database": lambda ada: refresh_of(ada, user_id="9" * 400),
    "a user with a zero byte": lambda ada: refresh_of(ada, user_id="1\x00"),
    "another text": lambda ada: other_last_character(refresh_of(ada)),
    "a space": lambda ada: refresh_of(ada) + " ",
    "too long": lambda ada: refresh_of(ada, padding="x" * 9000),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_refresh_token_of_simplejwt_is_refused(ada: User, name: str):
    token = REFUSED[name](ada)
    assert code_of(exchange(token)) == (401, "invalid_token")
    assert not Session.objects.exists()
    assert not ImportedKey.objects.exists()
    assert not BlacklistedToken._default_manager.exists()


@pytest.mark.parametrize(
    ("name", "most"), [("another key", 0), ("access", 0), ("expired", 0), ("no user", 2)]
)
def test_what_is_refused_costs_few_queries(ada: User, name: str, most: int, statements: Any):
    token = REFUSED[name](ada)
    with statements() as found:
        assert exchange(token).status_code == 401
    assert len(found) <= most, found


@pytest.fixture
def backend(monkeypatch: Any) -> Callable[..., Any]:
    """Have simplejwt sign and verify in another way."""

    def use(*arguments: Any) -> Any:
        made = backends.TokenBackend(*arguments)
        monkeypatch.setattr(tokens.Token, "_token_backend", made)
        return made

    return use


def test_tokens_of_another_issuer_or_audience_are_refused(ada: User, backend: Any):
    key = token_backend.signing_key
    foreign = []
    for audience, issuer in (("shop", "them"), ("theirs", "us"), (None, "us"), ("shop", None)):
        backend("HS256", key, "", audience, issuer)
        foreign.append(refresh_of(ada))
    backend("HS256", key, "", "shop", "us")
    assert [exchange(token).status_code for token in foreign] == [401] * 4
    exchanged(refresh_of(ada))


def test_the_public_key_is_no_secret(ada: User, backend: Any):
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    backend("RS256", private.decode(), public.decode())
    claims = claims_of(refresh_of(ada))
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    message = header + b"." + body
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    forged = message + b"." + base64.urlsafe_b64encode(signature.sign(message, public)).rstrip(b"=")
    for token in (forged.decode(), unsigned(claims), encoded(claims, "x" * 64)):
        assert code_of(exchange(token)) == (401, "invalid_token")
    exchanged(refresh_of(ada))


def test_a_token_that_was_revoked_at_simplejwt_is_refused(ada: User):
    token = refresh_of(ada)
    verified: Any = tokens.RefreshToken(token)
    verified.blacklist()
    assert code_of(exchange(token)) == (401, "invalid_token")
    assert not Session.objects.exists()


def test_a_token_that_simplejwt_has_rotated_is_refused_and_the_next_one_taken(
    ada: User, rotating: None
):
    token = refresh_of(ada)
    following = post("/theirs/token/refresh/", refresh=token).json()["refresh"]
    assert code_of(exchange(token)) == (401, "invalid_token")
    exchanged(following)


def deactivate(ada: User) -> None:
    ada.is_active = False
    ada.save()


def set_password(ada: User) -> None:
    ada.set_password("another")
    ada.save()


ENDS: dict[str, Callable[[User], Any]] = {
    "signed out everywhere": sessions.revoke_all,
    "everyone signed out": lambda ada: sessions.revoke_everyone(),
    "another password": set_password,
    "deactivated": deactivate,
    "deleted": lambda ada: ada.delete(),
}


@pytest.mark.parametrize("is_exchanged", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_what_ends_all_sessions_of_a_user_ends_its_tokens(ada: User, end: str, is_exchanged: bool):
    token, access = refresh_of(ada), str(tokens.AccessToken.for_user(ada))
    if is_exchanged:
        exchanged(token)
    assert who(access) == (200, "ada")
    ENDS[end](ada)
    assert exchange(token).status_code == 401
    assert not Session.objects.active().exists()
    assert who(access)[0] == 401
    ada.is_active = True
    if end == "deactivated":
        ada.save()
        # As with sessions: who is active again signs in again.
        assert code_of(exchange(token)) == (401, "session_ended")
        assert who(access)[0] == 401


def test_tokens_that_are_newer_are_taken(ada: User):
    sessions.revoke_all(ada)
    ImportBarrier.objects.update(before=timezone.now() - timedelta(seconds=5))
    exchanged(refresh_of(ada))
    assert who(str(tokens.AccessToken.for_user(ada))) == (200, "ada")


def test_a_token_without_a_date_is_refused_where_a_barrier_stands(ada: User):
    token = refresh_of(ada, iat=None)
    other = refresh_of(ada, iat=None)
    exchanged(token)
    sessions.revoke_all(User.objects.create_user("bob"))
    exchanged(token)
    sessions.revoke_all(ada)
    assert code_of(exchange(other)) == (401, "session_ended")


@pytest.mark.parametrize("is_purged", [False, True])
def test_a_token_whose_session_has_ended_opens_nothing(ada: User, is_purged: bool):
    token = refresh_of(ada)
    pair = exchanged(token)
    assert (
        Client()
        .post("/auth/sign-out", headers={"authorization": f"Bearer {pair['access']}"})
        .status_code
        == 204
    )
    if is_purged:
        Session.objects.all().delete()
    for _ in range(2):
        assert code_of(exchange(token)) == (401, "session_ended")
    assert not Session.objects.active().exists()
    assert post("/theirs/token/refresh/", refresh=token).status_code == 401


def test_another_sign_in_in_the_session_replaces_the_token(ada: User):
    token = refresh_of(ada)
    pair = exchanged(token)
    Client().post(
        "/auth/reauthenticate",
        {"password": PASSWORD},
        content_type="application/json",
        headers={"authorization": f"Bearer {pair['access']}"},
    )
    assert Session.objects.get().authenticated_at is not None
    assert code_of(exchange(token)) == (401, "invalid_token")
    assert Session.objects.active().count() == 1


def test_simplejwt_may_refuse_a_user_by_a_rule_of_the_project(ada: User, monkeypatch: Any):
    monkeypatch.setattr(api_settings, "USER_AUTHENTICATION_RULE", lambda user: user.is_staff)
    assert code_of(exchange(refresh_of(ada))) == (401, "invalid_token")
    User.objects.update(is_staff=True)
    exchanged(refresh_of(ada))


def test_the_password_in_the_token_has_to_be_the_present_one(ada: User, monkeypatch: Any):
    monkeypatch.setattr(api_settings, "CHECK_REVOKE_TOKEN", True)
    token, other = refresh_of(ada), refresh_of(ada)
    exchanged(token)
    # Without a signal, so that there is no barrier.
    ada.set_password("another")
    User.objects.update(password=ada.password)
    assert code_of(exchange(other)) == (401, "invalid_token")


def test_no_password_that_changes_without_a_signal_leaves_the_session(ada: User):
    token = refresh_of(ada)
    exchanged(token)
    ada.set_password("another")
    User.objects.update(password=ada.password)
    assert code_of(exchange(token)) == (401, "session_ended")


def test_tokens_of_this_site_open_nothing_at_simplejwt(ada: User):
    pair = exchanged(refresh_of(ada))
    for token in pair["refresh"], pair["access"]:
        assert post("/theirs/token/refresh/", refresh=token).status_code == 401
    assert code_of(exchange(pair["access"])) == (401, "invalid_token")


def test_an_old_token_opens_nothing_but_the_refresh(ada: User):
    token = refresh_of(ada)
    exchanged(token)
    assert who(token)[0] == 401
    browser = Client()
    browser.cookies["sessionid"] = token
    assert browser.get("/auth/session").json()["user"] is None
    imported = ImportedKey.objects.get()
    for value in (imported.digest, imported.digest[:32], str(Session.objects.get().pk)):
        assert exchange(value).status_code == 401
        browser.cookies["sessionid"] = value
        assert browser.get("/auth/session").json()["user"] is None


# Secrets


def test_what_is_kept_of_a_token_does_not_show_it(ada: User):
    token = refresh_of(ada)
    old = simplejwt.read(token)
    assert old is not None
    for shown in (old, old.with_attempt(ATTEMPT), old.claims, vars(old.claims)):
        assert token not in repr(shown)
    for secret in (token, ATTEMPT, old.digest, old.key, repr(old.secret)):
        assert secret not in repr(old.with_attempt(ATTEMPT))


@pytest.mark.parametrize("is_exchanged", [False, True])
def test_no_token_is_in_a_frame_a_page_or_a_log_whichever_statement_fails(
    ada: User, is_exchanged: bool, caplog: Any
):
    caplog.set_level(logging.DEBUG, logger="django_sessions_plus")
    failed, token = 0, ""
    for number in range(1, 60):
        token = refresh_of(ada)
        if is_exchanged:
            exchanged(token)
        client = Client(raise_request_exception=False)
        failing = FailingAt(number, DatabaseError)
        with connection.execute_wrapper(failing):
            answer = post("/auth/token/refresh", client, refresh=token, attempt=ATTEMPT)
        if failing.remaining > 0:
            break
        assert token not in answer.content.decode()
        if answer.status_code == 500:
            failed += 1
            for frame, _ in traceback.walk_tb(answer.exc_info[1].__traceback__):
                shown = {n: v for n, v in frame.f_locals.items() if not isinstance(v, HttpRequest)}
                assert token not in repr(shown), frame.f_code.co_qualname
                assert ATTEMPT not in repr(shown), frame.f_code.co_qualname
            # Nothing is half done: the next request is answered.
            exchanged(token)
    assert failed >= (2 if is_exchanged else 8)
    for record in caplog.records:
        assert token not in logging.Formatter().format(record)


def test_a_copy_of_the_database_opens_nothing(ada: User):
    token = refresh_of(ada)
    # Its own table has the whole token.
    OutstandingToken._default_manager.update(token="")
    pair = exchanged(token)
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for value in {str(value) for row in cursor.fetchall() for value in row}:
                for secret in (token, pair["refresh"], pair["access"]):
                    assert secret not in value
                assert exchange(value).status_code in {400, 401}


# Many at once


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[None]:
    with shared_database(tmp_path):
        yield


@pytest.mark.usefixtures("shared")
@override_settings(SESSIONS_PLUS_RATES={"refresh": None})
def test_of_20_parallel_exchanges_one_writes_and_all_get_the_same_successor(ada: User):
    rounds = 3 if connection.vendor == "sqlite" else 20
    held = [refresh_of(ada) for _ in range(rounds)]
    with racers(20) as racing:
        for token in held:
            pairs = racing.run(*[partial(exchanged, token)] * 20)
            assert len({pair["refresh"] for pair in pairs}) == 1
            assert who(pairs[-1]["access"]) == (200, "ada")
    assert Session.objects.active().count() == ImportedKey.objects.count() == rounds
    assert BlacklistedToken._default_manager.count() == rounds


@pytest.mark.usefixtures("shared")
@override_settings(SESSIONS_PLUS_RATES={"refresh": None})
def test_whoever_signs_out_everywhere_leaves_nothing_that_was_exchanged_meanwhile(ada: User):
    with racers(5) as racing:
        for _ in range(3 if connection.vendor == "sqlite" else 20):
            held = [refresh_of(ada) for _ in range(4)]
            racing.run(
                *(partial(exchange, token) for token in held), partial(sessions.revoke_all, ada)
            )
            assert [exchange(token).status_code for token in held] == [401] * 4
            assert not Session.objects.active().exists()
            ImportBarrier.objects.all().delete()


# A process before the switch, and the way back


BEFORE = partial(override_settings, SESSION_ENGINE="django.contrib.sessions.backends.db")
AFTER = partial(override_settings, SESSION_ENGINE=django_settings.SESSION_ENGINE)


def at_old_address(token: str) -> Any:
    return post("/api/token/refresh/", refresh=token)


def test_before_the_switch_simplejwt_answers(ada: User):
    token = refresh_of(ada)
    with BEFORE():
        answer = at_old_address(token)
        assert (answer.status_code, answer.json().keys()) == (200, {"access"})
        assert who(answer.json()["access"]) == (200, "ada")
        refused = [at_old_address(make(ada)) for make in REFUSED.values()]
        assert {code_of(each) for each in refused} == {(401, "invalid_token")}
    assert not Session.objects.exists()
    assert not ImportedKey.objects.exists()
    exchanged(token)


@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("is_rotating", [False, True])
@pytest.mark.parametrize("order", [(BEFORE, AFTER), (AFTER, BEFORE)], ids=["old", "new"])
def test_a_client_that_meets_both_kinds_of_process_stays_signed_in(
    ada: User, order: Any, replaces: bool, is_rotating: bool, request: Any
):
    if is_rotating:
        request.getfixturevalue("rotating")
    if is_rotating and not replaces:
        pytest.skip("simplejwt itself signs out such a client")
    token = refresh_of(ada)
    for process in order * 3:
        with process():
            answer = at_old_address(token)
        assert answer.status_code == 200, answer.content
        if replaces:
            token = answer.json().get("refresh", token)
        for other in order:
            with other():
                assert who(answer.json()["access"]) == (200, "ada")
    assert Session.objects.active().count() == 1


@pytest.mark.parametrize("is_purged", [False, True])
def test_whoever_signs_out_in_one_is_signed_out_in_both(ada: User, is_purged: bool):
    token = refresh_of(ada)
    pair = exchanged(token)
    sessions.revoke(Session.objects.get())
    if is_purged:
        Session.objects.all().delete()
    with BEFORE():
        for each in (token, pair["refresh"]):
            assert code_of(at_old_address(each)) == (401, "session_ended")
        assert who(pair["access"])[0] == 401


def test_who_has_signed_out_everywhere_is_signed_out_in_both(ada: User):
    token, access = refresh_of(ada), str(tokens.AccessToken.for_user(ada))
    sessions.revoke_all(ada)
    with BEFORE():
        assert code_of(at_old_address(token)) == (401, "session_ended")
        assert who(access)[0] == 401


@NO_GRACE
@pytest.mark.usefixtures("rotating")
def test_a_copy_is_noticed_before_the_switch_too(ada: User):
    token = refresh_of(ada)
    exchanged(token)
    with BEFORE():
        assert code_of(at_old_address(token)) == (401, "session_ended")
    assert Session.objects.get().end_reason == "refresh_reused"


def test_the_other_endpoints_are_not_in_use_before_the_switch(ada: User):
    pair = exchanged(refresh_of(ada))
    with BEFORE():
        assert Client().get("/auth/session").json()["code"] == "not_in_use"
        with override_settings(SESSIONS_PLUS_IMPORT_FROM=[]):
            for answer in (exchange(pair["refresh"]), exchange(refresh_of(ada))):
                assert code_of(answer) == (503, "not_in_use")
            assert who(pair["access"])[0] == 503


# The cookies of dj-rest-auth


CSRF = "x" * 32


def signed_in_there(**options: Any) -> Client:
    """Return a browser that has signed in by dj-rest-auth, and has its two cookies."""
    browser = Client(enforce_csrf_checks=True, **options)
    assert post("/rest/login/", browser, username="ada", password=PASSWORD).status_code == 200
    assert {"app-auth", "app-refresh"} <= browser.cookies.keys()
    browser.cookies["csrftoken"] = CSRF
    return browser


def by_cookie(browser: Client, path: str = "/auth/token/refresh") -> Any:
    return browser.generic("POST", path, headers={"x-csrftoken": CSRF})


def sign_out(browser: Client) -> Any:
    return browser.generic("POST", "/auth/sign-out", headers={"x-csrftoken": CSRF})


@pytest.mark.parametrize(
    ("path", "domain"), [("/", None), ("/auth", "testserver"), ("/auth/token", None)]
)
def test_the_cookie_of_dj_rest_auth_is_exchanged_for_ours(
    ada: User, path: str, domain: str | None, monkeypatch: Any
):
    monkeypatch.setattr(rest_auth, "JWT_AUTH_REFRESH_COOKIE_PATH", path)
    monkeypatch.setattr(rest_auth, "JWT_AUTH_COOKIE_DOMAIN", domain)
    browser = signed_in_there()
    token = browser.cookies["app-refresh"].value
    answer = by_cookie(browser)
    assert answer.status_code == 200, answer.content
    assert answer.json().keys() == {"access", "expires_in", "refresh_expires_at"}
    assert who(answer.json()["access"]) == (200, "ada")
    ours = answer.cookies["refresh_token"]
    assert (ours["path"], ours["httponly"]) == ("/auth", True)
    for name, where in (("app-refresh", path), ("app-auth", "/")):
        deleted = answer.cookies[name]
        assert (deleted.value, deleted["max-age"], deleted["path"]) == ("", 0, where)
        assert deleted["domain"] == (domain or "")
    # Another tab may have sent the old one at the same time.
    assert exchange(token).status_code == 200
    # From here on the browser has ours alone.
    del browser.cookies["app-refresh"]
    again = by_cookie(browser)
    assert again.status_code == 200
    assert "app-refresh" not in again.cookies
    assert Session.objects.count() == 1


def test_the_cookie_needs_the_csrf_token(ada: User):
    browser = signed_in_there()
    for headers in ({}, {"x-csrftoken": "y" * 32}):
        answer = browser.generic("POST", "/auth/token/refresh", headers=headers)
        assert code_of(answer) == (403, "csrf_failed")
    assert not Session.objects.exists()


@pytest.mark.parametrize("path", ["/api/token/refresh/", "/auth-too/refresh"])
def test_the_cookie_is_not_read_where_ours_would_not_be_sent(ada: User, path: str):
    browser = signed_in_there()
    assert code_of(by_cookie(browser, path)) == (400, "invalid")
    assert not Session.objects.exists()


def test_our_own_cookie_is_read_first(ada: User):
    browser = signed_in_there()
    token = browser.cookies["app-refresh"].value
    assert by_cookie(browser).status_code == 200
    browser.cookies["app-refresh"] = "junk"
    answer = by_cookie(browser)
    assert (answer.status_code, "app-refresh" in answer.cookies) == (200, False)
    browser.cookies["refresh_token"] = "junk"
    browser.cookies["app-refresh"] = token
    assert by_cookie(browser).status_code == 401


def test_a_token_in_the_body_is_read_before_any_cookie(ada: User):
    browser = signed_in_there()
    answer = browser.post(
        "/auth/token/refresh", {"refresh": refresh_of(ada)}, content_type="application/json"
    )
    assert answer.json().keys() >= {"refresh", "access"}
    assert not answer.cookies.keys() & {"app-refresh", "app-auth", "refresh_token"}


def test_the_cookie_is_left_alone_where_the_browser_would_not_send_ours(ada: User):
    answer = by_cookie(signed_in_there(), "/api/token/refresh/")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert not answer.cookies.keys() & {"app-refresh", "app-auth", "refresh_token"}
    assert not Session.objects.exists()


@pytest.mark.urls("tests.neighbours.simplejwt_refresh_urls")
def test_the_refresh_may_be_mounted_alone(ada: User):
    browser = Client()
    browser.cookies["app-refresh"] = refresh_of(ada)
    assert code_of(by_cookie(browser, "/api/token/refresh/")) == (400, "invalid")
    token = refresh_of(ada)
    for process in (AFTER, BEFORE, AFTER):
        with process():
            answer = at_old_address(token)
            assert answer.status_code == 200
            assert who(answer.json()["access"]) == (200, "ada")


def test_the_cookie_is_left_alone_while_it_is_not_asked_for(ada: User):
    browser = signed_in_there()
    with override_settings(SESSIONS_PLUS_IMPORT_FROM=[]):
        assert by_cookie(browser).status_code == 400
        assert sign_out(browser).status_code == 204
    with BEFORE():
        assert by_cookie(browser).status_code == 400
    assert by_cookie(browser).status_code == 200


def test_a_cookie_that_is_refused_stays(ada: User):
    browser = signed_in_there()
    ada.delete()
    answer = by_cookie(browser)
    assert answer.status_code == 401
    assert not answer.cookies


@pytest.mark.parametrize("is_exchanged", [False, True])
def test_signing_out_ends_the_token_in_the_cookie(ada: User, is_exchanged: bool):
    browser = signed_in_there()
    token = browser.cookies["app-refresh"].value
    if is_exchanged:
        exchanged(token)
    users: list[User] = []

    def note(user: Any, **arguments: Any) -> None:
        users.extend(filter(None, [user]))

    user_logged_out.connect(note)
    answer = sign_out(browser)
    assert answer.status_code == 204
    assert {"app-auth", "app-refresh"} <= answer.cookies.keys()
    assert users == [ada]
    assert code_of(exchange(token)) == (401, "session_ended")
    assert post("/theirs/token/refresh/", refresh=token).status_code == 401
    # Once more changes nothing.
    browser.cookies["app-refresh"] = token
    assert sign_out(browser).status_code == 204
    assert users == [ada]
    assert not Session.objects.active().exists()


def test_signing_out_with_a_cookie_that_is_no_token_is_no_error(ada: User):
    browser = signed_in_there()
    for value in ("junk", refresh_of(ada, user_id="12345")):
        browser.cookies["app-refresh"] = value
        assert sign_out(browser).status_code == 204


def test_who_has_signed_out_there_is_not_let_in_here(ada: User):
    browser = signed_in_there()
    token = browser.cookies["app-refresh"].value
    assert post("/rest/logout/", browser).status_code == 200
    assert code_of(exchange(token)) == (401, "invalid_token")


def test_the_access_cookie_is_good_until_all_sessions_of_the_user_end(ada: User):
    browser = signed_in_there()
    assert browser.get("/who-by-cookie").json() == "ada"
    with BEFORE():
        assert browser.get("/who-by-cookie").json() == "ada"
    sessions.revoke_all(ada)
    assert browser.get("/who-by-cookie").status_code == 401
    with override_settings(SESSIONS_PLUS_IMPORT_FROM=[]):
        assert browser.get("/who-by-cookie").json() == "ada"


def test_an_access_token_costs_one_query_more_than_at_simplejwt(ada: User, statements: Any):
    access = str(tokens.AccessToken.for_user(ada))
    with statements() as found:
        assert who(access) == (200, "ada")
    assert len(found) == 2
    with statements() as found:
        assert who(access[:-4] + "AAAA")[0] == 401
    assert not found


def test_who_signs_out_everywhere_between_the_look_and_the_import_is_signed_out(
    ada: User, monkeypatch: Any
):
    token = refresh_of(ada)

    def write(rows: Any, row: Any, key: Any) -> bool:
        sessions.revoke_all(ada)
        return importing.write(rows, row, key)

    monkeypatch.setattr(exchanging, "write", write)
    assert code_of(exchange(token)) == (401, "session_ended")
    assert not Session.objects.active().exists()
    assert Session.objects.count() == 1


def test_a_token_that_expires_during_the_leeway_of_simplejwt_begins_no_session(
    ada: User, backend: Any
):
    backend("HS256", token_backend.signing_key, "", None, None, None, 3600)
    token = refresh_of(ada, exp=int(timezone.now().timestamp()) - 60)
    assert code_of(exchange(token)) == (401, "invalid_token")
    assert not Session.objects.exists()
    assert not BlacklistedToken._default_manager.exists()


# With the source kept


KEPT = override_settings(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=True)


def at_simplejwt(token: str) -> int:
    status: int = post("/theirs/token/refresh/", refresh=token).status_code
    return status


@pytest.mark.parametrize("end", ["signed out", *ENDS])
@KEPT
def test_simplejwt_takes_a_token_that_was_left_to_it_until_its_session_ends(ada: User, end: str):
    token, other = refresh_of(ada), refresh_of(User.objects.create_user("bob"))
    for each in (token, other):
        exchanged(each)
        assert at_simplejwt(each) == 200
    sealed = ImportedKey.objects.exclude(sealed_key="")
    assert sealed.count() == 2
    assert claims_of(token)["jti"] not in "".join(sealed.values_list("sealed_key", flat=True))
    if end == "signed out":
        at_old_sign_out(token)
    else:
        ENDS[end](ada)
    assert at_simplejwt(token) == 401
    assert at_simplejwt(other) == (401 if end == "everyone signed out" else 200)


@NO_GRACE
@KEPT
def test_who_signs_out_at_simplejwt_with_a_token_that_was_left_to_it_is_signed_out(ada: User):
    token, other = refresh_of(ada), refresh_of(ada)
    pair = exchanged(token)
    exchanged(other)
    verified: Any = tokens.RefreshToken(token)
    verified.blacklist()
    assert code_of(exchange(token)) == (401, "session_ended")
    assert code_of(exchange(pair["refresh"])) == (401, "session_ended")
    exchanged(other)
    assert Session.objects.get(ended_at__isnull=False).end_reason == "signed_out"


@NO_GRACE
def test_a_token_that_was_revoked_before_the_source_was_kept_goes_on(ada: User):
    token = refresh_of(ada)
    exchanged(token)
    with KEPT:
        exchanged(token)


@KEPT
def test_a_token_that_simplejwt_has_not_listed_is_refused_there_when_its_session_ends(ada: User):
    token = refresh_of(ada)
    OutstandingToken._default_manager.all().delete()
    exchanged(token)
    sessions.revoke_all(ada)
    assert at_simplejwt(token) == 401
    assert OutstandingToken._default_manager.get().token == ""


# Where apps sign out


def at_old_sign_out(token: Any) -> Any:
    return post("/api/token/blacklist/", refresh=token)


@pytest.mark.parametrize("which", ["old", "old and exchanged", "ours"])
def test_an_app_signs_out_at_the_old_address_with_the_token_it_has(ada: User, which: str):
    token = held = refresh_of(ada)
    pair: dict[str, Any] = {}
    if which != "old":
        pair = exchanged(token)
        held = pair["refresh"] if which == "ours" else token
    answer = at_old_sign_out(held)
    assert (answer.status_code, answer.json()) == (200, {})
    assert not Session.objects.active().exists()
    for each in (token, held):
        assert code_of(exchange(each)) == (401, "session_ended")
    assert post("/theirs/token/refresh/", refresh=token).status_code == 401
    if which != "old":
        assert Session.objects.get().end_reason == "signed_out"
        assert who(pair["access"])[0] == 401


def test_signing_out_with_a_copy_is_noticed(ada: User):
    pair = exchanged(refresh_of(ada))
    exchanged(exchanged(pair["refresh"])["refresh"])
    at_old_sign_out(pair["refresh"])
    assert Session.objects.get().end_reason == "refresh_reused"


@pytest.mark.parametrize("token", [None, "", "junk", 7, ["x"], {}])
def test_what_is_no_token_signs_nobody_out(ada: User, token: Any):
    exchanged(refresh_of(ada))
    at_old_sign_out(token)
    assert Session.objects.active().count() == 1


@override_settings(SESSIONS_PLUS_RATES={"refresh": "2/min"})
def test_presenting_a_token_is_limited_and_junk_is_not_counted(ada: User):
    token, other = refresh_of(ada), refresh_of(ada)
    assert [exchange(token).status_code for _ in range(3)] == [200, 200, 429]
    assert exchange(other).status_code == 200
    forged = encoded(claims_of(other), "x" * 64)
    assert [exchange(forged).status_code for _ in range(4)] == [401] * 4
    assert exchange(other).status_code == 200
