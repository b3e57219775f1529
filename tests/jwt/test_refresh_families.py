"""What ends a family of refresh tokens although its session lives, and what no late statement undoes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import HASH_SESSION_KEY, get_user, update_session_auth_hash
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import override_settings

from django_sessions_plus import sessions
from django_sessions_plus.backends.user_check import ending_as
from django_sessions_plus.exceptions import InactiveSessionError, StaleSessionError, TokenError
from django_sessions_plus.jwt import refresh as refreshing
from django_sessions_plus.jwt import verdicts
from django_sessions_plus.jwt.issuing import IssuedTokens
from django_sessions_plus.models import Session
from django_sessions_plus.signals import refresh_token_reused, session_ended
from tests.backends.drivers import SyncSession, identity, sign_in
from tests.conftest import Clock, OpenSession, Told

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def signed_in(clock: Clock, open_session: OpenSession, alice: User) -> SyncSession:
    session = open_session()
    sign_in(session, alice)
    return session


@pytest.fixture
def pair(signed_in: SyncSession, clock: Clock) -> IssuedTokens:
    pair = sessions.issue_tokens(signed_in.row)
    clock.advance(minutes=5)
    return pair


def stored() -> Session:
    return Session.objects.get()


def refusal_of(pair: IssuedTokens) -> str | None:
    """Return the code a refresh token is refused with; None for one that is good."""
    try:
        refreshing.refresh(pair.refresh)
    except (TokenError, InactiveSessionError) as error:
        return error.code
    return None


def new_hash(user: User) -> dict[str, str]:
    user.set_password("another")
    User.objects.filter(pk=user.pk).update(password=user.password)
    return {HASH_SESSION_KEY: user.get_session_auth_hash()}


class Interrupted:
    """Run something once, between a decision about a refresh token and what is written for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.decide = verdicts.decide

    def by(self, act: Callable[[], Any]) -> None:
        def decide(*args: Any, **kwargs: Any) -> Any:
            verdict = self.decide(*args, **kwargs)
            self.monkeypatch.setattr(verdicts, "decide", self.decide)
            act()
            return verdict

        self.monkeypatch.setattr(verdicts, "decide", decide)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    return Interrupted(monkeypatch)


# The person authenticates again


def test_who_authenticates_again_ends_the_family(
    pair: IssuedTokens, signed_in: SyncSession, alice: User, clock: Clock
):
    rotated = refreshing.refresh(pair.refresh)
    clock.advance(minutes=5)
    signed_in.mark_authenticated(alice)
    signed_in.save()
    for copied in (pair, rotated):
        assert refusal_of(copied) == "invalid_token"
    row = stored()
    assert row.is_active()
    assert (row.refresh_digest, row.refresh_started_at, row.refreshed_at) == (None, None, None)


def test_who_signs_in_again_ends_the_family_also_after_a_rotation_of_ones_own(
    pair: IssuedTokens, signed_in: SyncSession, alice: User
):
    signed_in.cycle_key()
    signed_in.mark_authenticated(alice)
    signed_in.save()
    assert refusal_of(pair) == "invalid_token"


def test_a_family_that_began_since_the_row_was_read_ends_too(
    signed_in: SyncSession, alice: User, clock: Clock
):
    pair = sessions.issue_tokens(stored())
    assert signed_in.row.refresh_digest is None
    signed_in.mark_authenticated(alice)
    signed_in.save()
    assert refusal_of(pair) == "invalid_token"


def test_a_save_that_is_overtaken_ends_the_family_too(
    pair: IssuedTokens, signed_in: SyncSession, open_session: OpenSession, alice: User
):
    other = open_session(signed_in.token)
    other.set("size", 1)
    other.save()
    signed_in.set("colour", "red")
    signed_in.mark_authenticated(alice)
    signed_in.save()
    assert refusal_of(pair) == "invalid_token"


def test_the_family_and_the_token_end_in_one_statement(
    pair: IssuedTokens, signed_in: SyncSession, alice: User, statements: Any
):
    signed_in.mark_authenticated(alice)
    with statements() as executed:
        signed_in.save()
    assert {"token_digest", "refresh_digest", "authenticated_at"} <= executed.written_columns


def test_a_refresh_that_is_overtaken_by_it_yields_nothing(
    pair: IssuedTokens, signed_in: SyncSession, alice: User, interrupted: Interrupted
):
    def authenticate() -> None:
        signed_in.mark_authenticated(alice)
        signed_in.save()

    interrupted.by(authenticate)
    assert refusal_of(pair) == "invalid_token"
    assert stored().refresh_digest is None


def test_no_family_begins_for_whoever_had_the_session_before_it(
    signed_in: SyncSession, alice: User, clock: Clock
):
    before = stored()
    clock.advance(minutes=5)
    signed_in.mark_authenticated(alice)
    signed_in.save()
    with pytest.raises(StaleSessionError):
        sessions.issue_tokens(before)
    assert stored().refresh_digest is None
    assert refusal_of(sessions.issue_tokens(signed_in.row)) is None


def test_no_family_begins_for_whoever_was_there_before_somebody_else(
    signed_in: SyncSession, bob: User
):
    before = stored()
    signed_in.update(identity(bob))
    signed_in.save()
    assert stored().token_digest == before.token_digest
    with pytest.raises(StaleSessionError):
        sessions.issue_tokens(before)
    assert stored().refresh_digest is None


def test_a_rotation_is_of_the_same_person(pair: IssuedTokens, bob: User, interrupted: Interrupted):
    """Whoever puts another user there by SQL clears no column."""
    interrupted.by(lambda: Session.objects.update(user=bob))
    assert refusal_of(pair) == "session_ended"
    assert stored().refreshed_at is None


# The password changes


def test_a_password_changed_in_the_session_ends_the_family(
    pair: IssuedTokens, signed_in: SyncSession, alice: User
):
    signed_in.cycle_key()
    signed_in.update(new_hash(alice))
    signed_in.save()
    assert refusal_of(pair) == "invalid_token"
    assert stored().is_active()
    assert refusal_of(sessions.issue_tokens(signed_in.row)) is None


def test_a_family_that_began_since_ends_with_the_old_password(signed_in: SyncSession, alice: User):
    signed_in.get("colour")
    pair = sessions.issue_tokens(stored())
    signed_in.update(new_hash(alice))
    signed_in.save()
    assert refusal_of(pair) == "invalid_token"


def test_data_too_long_to_be_stored_plainly_makes_no_difference(
    signed_in: SyncSession, alice: User
):
    signed_in.set("essay", "x" * 5000)
    signed_in.save()
    pair = sessions.issue_tokens(signed_in.row)
    signed_in.set("size", 1)
    signed_in.save()
    assert refusal_of(pair) is None
    pair = sessions.issue_tokens(signed_in.row)
    signed_in.update(new_hash(alice))
    signed_in.save()
    assert refusal_of(pair) == "invalid_token"


def test_a_user_who_was_read_before_the_change_hides_nothing(signed_in: SyncSession, alice: User):
    """Also while a former SECRET_KEY is still known."""
    with override_settings(SECRET_KEY="old"):
        signed_in.update(identity(alice))
        signed_in.save()
        signed_in.row.user = User.objects.get()
        pair = sessions.issue_tokens(signed_in.row)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert signed_in.row.user.check_password("wonderland")
        signed_in.cycle_key()
        signed_in.update(new_hash(alice))
        signed_in.save()
        assert refusal_of(pair) == "invalid_token"


def test_a_new_secret_key_ends_no_family_of_a_session_a_browser_uses(
    signed_in: SyncSession, open_session: OpenSession, alice: User
):
    with override_settings(SECRET_KEY="old"):
        signed_in.update(identity(alice))
        signed_in.save()
        pair = sessions.issue_tokens(signed_in.row)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        browser = open_session(signed_in.token)
        browser.store.wants_user = True
        request = HttpRequest()
        request.session = browser.store
        assert get_user(request) == alice
        browser.save()
        assert browser.token != signed_in.token
        assert refusal_of(pair) is None


def test_djangos_own_verb_is_such_a_change(pair: IssuedTokens, signed_in: SyncSession, alice: User):
    request = HttpRequest()
    request.session, request.user = signed_in.store, alice
    new_hash(alice)
    update_session_auth_hash(request, alice)
    signed_in.save()
    assert refusal_of(pair) == "invalid_token"


def test_a_refresh_that_is_overtaken_by_a_new_password_yields_nothing(
    pair: IssuedTokens, signed_in: SyncSession, alice: User, interrupted: Interrupted
):
    def change_the_password() -> None:
        signed_in.cycle_key()
        signed_in.update(new_hash(alice))
        signed_in.save()

    interrupted.by(change_the_password)
    assert refusal_of(pair) == "invalid_token"
    assert stored().refresh_digest is None


def test_an_end_for_a_changed_password_is_of_the_auth_hash_it_was_judged_by(
    signed_in: SyncSession, open_session: OpenSession, alice: User
):
    """Whoever changes it stores the user first and the session last, and others look in between."""
    late = open_session(signed_in.token)
    late.get("colour")
    signed_in.update(new_hash(alice))
    signed_in.save()
    with ending_as(late.store, "password_changed"):
        late.flush()
    assert stored().is_active()
    late = open_session(signed_in.token)
    late.get("colour")
    with ending_as(late.store, "password_changed"):
        late.flush()
    assert stored().end_reason == "password_changed"


# What a refresh must not undo


@pytest.mark.parametrize("moved", [timedelta(hours=1), timedelta(days=20)])
def test_a_refresh_does_not_undo_what_set_expiry_has_just_asked_for(
    pair: IssuedTokens,
    signed_in: SyncSession,
    clock: Clock,
    interrupted: Interrupted,
    moved: timedelta,
):
    now = clock.advance(days=2)

    def set_expiry() -> None:
        signed_in.set_expiry(moved)
        signed_in.save()

    interrupted.by(set_expiry)
    again = refreshing.refresh(pair.refresh)
    assert stored().expires_at == again.refresh_expires_at == now + moved
    assert stored().refreshed_at == now
    assert refusal_of(again) is None


@pytest.mark.db_engine
def test_to_see_to_that_costs_an_undisturbed_refresh_nothing(
    pair: IssuedTokens, clock: Clock, statements: Any
):
    clock.advance(days=2)
    with statements() as executed:
        refreshing.refresh(pair.refresh)
    assert [sql.partition(" ")[0] for sql in executed] == ["SELECT", "UPDATE"]


@committed
def test_a_reuse_of_a_family_that_is_over_by_then_ends_nothing(
    pair: IssuedTokens, signed_in: SyncSession, clock: Clock, told: Told, interrupted: Interrupted
):
    refreshing.refresh(pair.refresh)
    clock.advance(minutes=2)
    begun: list[IssuedTokens] = []
    interrupted.by(lambda: begun.append(sessions.issue_tokens(stored())))
    assert refusal_of(pair) == "invalid_token"
    assert told.of(session_ended) == told.of(refresh_token_reused) == []
    assert refusal_of(begun[0]) is None
