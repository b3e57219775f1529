"""A refresh is one idempotent attempt: a lost answer is no theft, and a thief gains nothing by that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import override_settings

from django_sessions_plus import sessions
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.exceptions import InactiveSessionError, TokenError
from django_sessions_plus.jwt import access, refresh_token, verdicts
from django_sessions_plus.jwt import refresh as refreshing
from django_sessions_plus.jwt.issuing import IssuedTokens
from django_sessions_plus.models import Session
from django_sessions_plus.signals import refresh_token_reused
from tests.backends.drivers import SyncSession, sign_in
from tests.conftest import Clock, Told

META = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "Firefox"}
ELSEWHERE = {"REMOTE_ADDR": "198.51.100.9", "HTTP_USER_AGENT": "curl"}
MINE, OTHER = "0123456789abcdef" * 2, "f" * 32
# The grace and the leeway, and a second.
LATER = timedelta(seconds=91)

Verb = Callable[..., IssuedTokens]

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["sync", "async"])
def refresh(request: pytest.FixtureRequest) -> Verb:
    """Refresh as a request with this META does; without one, as a script."""
    verb = refreshing.refresh
    if request.param == "async":
        verb = async_to_sync(refreshing.arefresh)

    def call(token: str, attempt: str | None = None, meta: Any = None, **more: Any) -> IssuedTokens:
        if meta is not None:
            more["store"] = new_store()
            more["store"].meta = meta
        return verb(token, attempt=attempt, **more)

    return call


@pytest.fixture
def pair(clock: Clock, alice: User) -> IssuedTokens:
    clock.moment = clock.moment.replace(microsecond=123457)
    session = SyncSession(meta=META)
    sign_in(session, alice)
    return sessions.issue_tokens(session.row)


def stored() -> Session:
    return Session.objects.get()


def use(access_token: str) -> None:
    """Use an access token as a request does whose row is asked, and touch the session after it."""
    claims = access.verify(access_token)
    store = new_store()
    store.access_issued_at = claims.all["iat"]
    assert store.open_by_id(claims.session_id)
    store.touch()


def outcome(refresh: Verb, *args: Any) -> str:
    """Return the refresh token that is answered, or the code of the refusal."""
    try:
        return refresh(*args).refresh
    except (TokenError, InactiveSessionError) as error:
        return error.code


# The client's side


@pytest.mark.parametrize("later", [timedelta(0), timedelta(seconds=12), LATER, timedelta(hours=20)])
def test_a_lost_answer_is_asked_for_again(pair: IssuedTokens, refresh: Verb, clock: Clock, later):
    lost = refresh(pair.refresh, MINE)
    clock.moment += later
    again = refresh(pair.refresh, MINE)
    assert again.refresh == lost.refresh
    clock.moment += LATER
    assert access.verify(again.access).session_id == stored().pk
    assert outcome(refresh, again.refresh, OTHER).startswith("rt1.")
    assert stored().is_active()


def test_a_replay_never_moves_the_expiry(pair: IssuedTokens, refresh: Verb, clock: Clock):
    clock.advance(days=2)
    refresh(pair.refresh, MINE)
    before = stored()
    clock.advance(hours=23)
    with override_settings(SESSIONS_PLUS_UPDATE_AGE=timedelta(0)):
        store = new_store()
        store.meta = META
        refresh(pair.refresh, MINE, store=store)
        store.touch()
    row = stored()
    assert (row.expires_at, row.updated_at) == (before.expires_at, before.updated_at)
    assert row.refresh_digest == before.refresh_digest
    assert row.last_seen_at == clock.moment
    assert row.refresh_replays_left == 4


@pytest.mark.db_engine
def test_a_replay_takes_two_statements(
    pair: IssuedTokens, refresh: Verb, clock: Clock, statements: Any
):
    refresh(pair.refresh, MINE)
    clock.moment += LATER
    with statements() as executed:
        refresh(pair.refresh, MINE)
    assert [sql.partition(" ")[0] for sql in executed] == ["SELECT", "UPDATE"]


@pytest.mark.db_engine
def test_a_rotation_with_an_attempt_takes_two_statements(
    pair: IssuedTokens, refresh: Verb, statements: Any
):
    with statements() as executed:
        refresh(pair.refresh, MINE)
    assert [sql.partition(" ")[0] for sql in executed] == ["SELECT", "UPDATE"]
    assert executed.written_columns >= {"refresh_attempt", "refresh_replays_left"}


def test_each_replay_is_logged(
    pair: IssuedTokens,
    refresh: Verb,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Any,
):
    refresh(pair.refresh, MINE, META)
    with (
        caplog.at_level(logging.INFO, logger="django_sessions_plus"),
        django_capture_on_commit_callbacks(execute=True),
    ):
        for _ in range(2):
            clock.moment += LATER
            refresh(pair.refresh, MINE, ELSEWHERE)
    found = [vars(r) for r in caplog.records if getattr(r, "event", "") == "refresh_replayed"]
    assert [one["replays_left"] for one in found] == [4, 3]
    assert [one["since_rotation"] for one in found] == [91.0, 182.0]
    assert [one["changed"] for one in found] == ["ip_address,user_agent", ""]
    for secret in (MINE, pair.refresh, str(stored().refresh_attempt)):
        assert secret not in repr(found)


def test_an_answer_within_the_grace_is_no_replay(pair: IssuedTokens, refresh: Verb, clock: Clock):
    refresh(pair.refresh, MINE)
    before = stored()
    for attempt in (MINE, OTHER, None) * 3:
        refresh(pair.refresh, attempt)
    row = stored()
    assert (row.refresh_attempt, row.refresh_replays_left) == (before.refresh_attempt, 5)


def test_a_use_of_an_earlier_access_token_is_none_of_the_successor(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    clock.advance(minutes=1)
    lost = refresh(pair.refresh, MINE)
    clock.advance(minutes=6)
    use(pair.access)
    assert stored().last_seen_at == clock.moment
    assert outcome(refresh, pair.refresh, MINE) == lost.refresh


def test_a_use_whose_note_comes_late_is_of_its_own_rotation(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    """A long view that was asked before a rotation saves the session after it."""
    clock.advance(minutes=1)
    second = refresh(pair.refresh, OTHER)
    clock.advance(minutes=6)
    store = new_store()
    store.access_issued_at = access.verify(second.access).all["iat"]
    assert store.open_by_id(stored().pk)
    lost = refresh(second.refresh, MINE)
    store["colour"] = "red"
    store.save()
    clock.moment += LATER
    assert outcome(refresh, second.refresh, MINE) == lost.refresh


def test_the_attempt_works_after_a_change_of_the_secret_key(
    pair: IssuedTokens, refresh: Verb, clock: Clock, settings: Any
):
    lost = refresh(pair.refresh, MINE)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one, of which nobody has heard before"
    clock.moment += LATER
    again = refresh(pair.refresh, MINE)
    digests = {refresh_token.parse(each.refresh).digest() for each in (lost, again)}  # type: ignore[union-attr]
    assert digests == {stored().refresh_digest}


@pytest.mark.parametrize(
    "attempt", ["", "x", MINE.upper(), MINE[:-1], MINE + "0", MINE + "\n", "é" * 32, 5]
)
def test_a_malformed_attempt_rotates_nothing(pair: IssuedTokens, refresh: Verb, attempt: Any):
    with pytest.raises(ValueError, match="hexadecimal"):
        refresh(pair.refresh, attempt)
    assert stored().refreshed_at is None


def test_the_row_keeps_no_attempt(pair: IssuedTokens, refresh: Verb):
    refresh(pair.refresh, MINE)
    row = stored()
    assert row.refresh_attempt is not None
    assert MINE not in row.refresh_attempt
    presented = refresh_token.parse(pair.refresh)
    assert presented is not None
    assert str(row.refresh_attempt) not in repr(presented.with_attempt(MINE))


# The thief's side


def test_with_the_token_alone_it_is_as_before(pair: IssuedTokens, refresh: Verb, clock: Clock):
    lost = refresh(pair.refresh, MINE)
    assert outcome(refresh, pair.refresh) == lost.refresh
    clock.moment += LATER
    assert outcome(refresh, pair.refresh) == "session_ended"
    assert stored().end_reason == "refresh_reused"


@pytest.mark.parametrize("attempt", [OTHER, "0" * 32])
def test_with_the_token_and_another_attempt_it_is_as_before(
    pair: IssuedTokens, refresh: Verb, clock: Clock, attempt: str
):
    lost = refresh(pair.refresh, MINE)
    assert outcome(refresh, pair.refresh, attempt) == lost.refresh
    clock.moment += LATER
    assert outcome(refresh, pair.refresh, attempt) == "session_ended"
    assert stored().end_reason == "refresh_reused"


def test_an_attempt_sent_in_the_grace_neither_adds_nor_replaces_one(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    refresh(pair.refresh)
    refresh(pair.refresh, MINE)
    assert stored().refresh_attempt is None
    clock.moment += LATER
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"


def test_with_both_once_the_successor_was_refreshed_the_session_ends(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    second = refresh(pair.refresh, MINE)
    refresh(second.refresh, OTHER)
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"
    assert stored().end_reason == "refresh_reused"


def test_with_both_once_its_access_token_was_used_the_session_ends(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    second = refresh(pair.refresh, MINE)
    clock.advance(minutes=6)
    use(second.access)
    assert stored().confirmed_refreshed_at == stored().refreshed_at
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"
    assert stored().end_reason == "refresh_reused"


def test_the_use_is_noted_with_the_touch_and_costs_no_write_of_its_own(
    pair: IssuedTokens, refresh: Verb, clock: Clock, statements: Any
):
    second = refresh(pair.refresh, MINE)
    clock.advance(minutes=4)
    with statements() as executed:
        use(second.access)
    assert executed.writes == []
    # Not noted yet: to repeat the refresh is no theft, and the next one reveals a copy.
    assert outcome(refresh, pair.refresh, MINE) == second.refresh
    clock.advance(minutes=6)
    with statements() as executed:
        use(second.access)
    assert "confirmed_refreshed_at" in executed.written_columns
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"


def test_a_save_notes_the_use_too(pair: IssuedTokens, refresh: Verb, clock: Clock):
    second = refresh(pair.refresh, MINE)
    clock.advance(minutes=6)
    store = new_store()
    store.access_issued_at = access.verify(second.access).all["iat"]
    assert store.open_by_id(stored().pk)
    store["colour"] = "red"
    store.save()
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"


def test_who_repeats_with_both_is_found_out_by_the_owners_next_refresh(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    owners = refresh(pair.refresh, MINE)
    clock.moment += LATER
    stolen = refresh(pair.refresh, MINE, ELSEWHERE)
    assert stolen.refresh == owners.refresh
    refresh(stolen.refresh, OTHER)
    clock.moment += LATER
    assert outcome(refresh, owners.refresh, "1" * 32) == "session_ended"
    assert stored().end_reason == "refresh_reused"


def test_nobody_stays_one_step_behind(pair: IssuedTokens, refresh: Verb, clock: Clock):
    """The owner goes on; whoever follows with the tokens and attempts of before is told apart at once."""
    token, attempts = pair.refresh, iter(f"{number:032x}" for number in range(9))
    attempt = next(attempts)
    successor = refresh(token, attempt).refresh
    clock.moment += LATER
    assert outcome(refresh, token, attempt) == successor
    refresh(successor, next(attempts))
    clock.moment += LATER
    assert outcome(refresh, token, attempt) == "session_ended"


def test_five_replays_and_no_more(pair: IssuedTokens, refresh: Verb, clock: Clock):
    lost = refresh(pair.refresh, MINE)
    for _ in range(5):
        clock.moment += LATER
        assert outcome(refresh, pair.refresh, MINE) == lost.refresh
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"
    assert stored().end_reason == "refresh_reused"


@pytest.mark.parametrize("age", [timedelta(days=1), timedelta(hours=1)])
def test_the_retries_are_bounded_by_the_setting(
    pair: IssuedTokens, refresh: Verb, clock: Clock, settings: Any, age: timedelta
):
    settings.SESSIONS_PLUS_REFRESH_RETRY_AGE = age
    lost = refresh(pair.refresh, MINE)
    clock.moment += age
    assert outcome(refresh, pair.refresh, MINE) == lost.refresh
    clock.advance(seconds=61)
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"


def test_zero_switches_retries_off(pair: IssuedTokens, refresh: Verb, clock: Clock, settings: Any):
    settings.SESSIONS_PLUS_REFRESH_RETRY_AGE = timedelta(0)
    refresh(pair.refresh, MINE)
    clock.moment += LATER
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"


def test_the_retries_are_bounded_by_what_is_left_of_the_session(
    pair: IssuedTokens, refresh: Verb, clock: Clock, settings: Any
):
    settings.SESSION_COOKIE_AGE = 600
    Session.objects.update(expires_at=clock.moment + timedelta(minutes=10))
    refresh(pair.refresh, MINE)
    clock.advance(minutes=11)
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"
    assert stored().end_reason != "refresh_reused"


def test_an_attempt_that_comes_with_every_token_proves_nothing(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    token, lost = pair.refresh, ""
    for number in range(4):
        before, token = token, refresh(token, MINE).refresh
        assert stored().refresh_replays_left == (0 if number else 5)
        lost = before
    clock.moment += LATER
    assert outcome(refresh, lost, MINE) == "session_ended"


def test_a_new_line_knows_no_attempt_of_the_one_before(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    refresh(pair.refresh, MINE)
    clock.advance(seconds=1)
    sessions.issue_tokens(stored())
    row = stored()
    assert (row.refresh_attempt, row.refresh_replays_left) == (None, 0)
    clock.moment += LATER
    assert outcome(refresh, pair.refresh, MINE) == "invalid_token"


def test_an_end_is_final_for_both(pair: IssuedTokens, refresh: Verb, clock: Clock):
    refresh(pair.refresh, MINE)
    sessions.revoke(stored().pk)
    clock.moment += LATER
    with pytest.raises(InactiveSessionError) as caught:
        refresh(pair.refresh, MINE)
    assert caught.value.reason == "revoked"
    with pytest.raises(InactiveSessionError) as caught:
        refresh(pair.refresh, OTHER)
    assert caught.value.reason is None


@pytest.mark.parametrize("policy", ["notice", "reauthenticate", "end"])
def test_a_replay_is_judged_by_where_it_comes_from(
    pair: IssuedTokens, refresh: Verb, clock: Clock, settings: Any, policy: str
):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = policy
    lost = refresh(pair.refresh, MINE, META)
    clock.moment += LATER
    found = outcome(refresh, pair.refresh, MINE, ELSEWHERE)
    row = stored()
    if policy == "end":
        assert (found, row.end_reason) == ("session_ended", "context_changed")
        return
    assert found == lost.refresh
    assert (row.ip_address, row.previous_ip_address) == ("198.51.100.9", "192.0.2.1")
    assert row.is_fresh() is (policy == "notice")


def test_a_database_dump_and_the_attempt_are_worth_nothing(pair: IssuedTokens, refresh: Verb):
    """What the row keeps is made with a secret that is not in it."""
    refresh(pair.refresh, MINE)
    row = stored()
    assert row.refresh_attempt is not None
    digest = bytes.fromhex(str(row.refresh_digest))
    for key in (digest, row.pk.bytes, b""):
        assert refresh_token._attempt_digest(key, MINE.encode()) != row.refresh_attempt


# Overtaken


def overtake(monkeypatch: pytest.MonkeyPatch, deed: Callable[[], Any]) -> None:
    """Have ``deed`` done between the reading and the writing of the next refresh."""
    decide = verdicts.decide

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        verdict = decide(*args, **kwargs)
        monkeypatch.setattr(verdicts, "decide", decide)
        deed()
        return verdict

    monkeypatch.setattr(verdicts, "decide", overtaken)


def test_two_attempts_at_once_and_the_first_one_stored_wins(
    pair: IssuedTokens, refresh: Verb, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    overtake(monkeypatch, lambda: refreshing.refresh(pair.refresh, attempt=OTHER))
    loser = refresh(pair.refresh, MINE)
    clock.moment += LATER
    assert outcome(refresh, pair.refresh, OTHER) == loser.refresh
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"


def test_a_replay_that_is_overtaken_by_the_last_one_that_is_left_is_reuse(
    pair: IssuedTokens, refresh: Verb, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    refresh(pair.refresh, MINE)
    columns = {"refresh_replays_left": 1}
    Session.objects.update(**columns)
    clock.moment += LATER
    overtake(monkeypatch, lambda: refreshing.refresh(pair.refresh, attempt=MINE))
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"


def test_a_replay_that_is_overtaken_by_a_use_of_the_successor_is_reuse(
    pair: IssuedTokens, refresh: Verb, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    second = refresh(pair.refresh, MINE)
    clock.advance(minutes=6)
    overtake(monkeypatch, lambda: use(second.access))
    assert outcome(refresh, pair.refresh, MINE) == "session_ended"


@pytest.mark.django_db(transaction=True)
def test_the_alarm_is_raised_once(pair: IssuedTokens, refresh: Verb, clock: Clock, told: Told):
    refresh(pair.refresh, MINE)
    clock.moment += LATER
    for attempt in (OTHER, MINE, OTHER):
        assert outcome(refresh, pair.refresh, attempt) == "session_ended"
    assert [signal for signal, _ in told].count(refresh_token_reused) == 1
