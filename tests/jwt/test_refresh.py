"""A refresh token on its row: rotation, the grace, reuse, and all that makes a session refuse it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.test import override_settings

from django_sessions_plus import sessions
from django_sessions_plus.backends import refresh_tokens
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.exceptions import (
    ConfigurationError,
    InactiveSessionError,
    StaleSessionError,
    TokenError,
)
from django_sessions_plus.jwt import access, refresh_token, verdicts
from django_sessions_plus.jwt import refresh as refreshing
from django_sessions_plus.jwt.issuing import IssuedTokens
from django_sessions_plus.jwt.refresh_token import RefreshToken
from django_sessions_plus.models import Session
from django_sessions_plus.signals import (
    refresh_token_reused,
    session_context_changed,
    session_ended,
)
from tests.backends.drivers import SyncSession, identity, sign_in
from tests.backends.rollback import rolled_back
from tests.conftest import Clock, OpenSession, Told
from tests.jwt.test_refresh_token import parsed

META = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "Firefox"}
ELSEWHERE = {"REMOTE_ADDR": "198.51.100.9", "HTTP_USER_AGENT": "curl"}
GRACE = timedelta(seconds=30)
LEEWAY = timedelta(minutes=1)

Verb = Callable[..., IssuedTokens]

pytestmark = pytest.mark.django_db
# What is told, and what receivers do, waits for the commit.
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


@pytest.fixture
def refresh(mode: str) -> Verb:
    """Refresh as a request with this META does; without one, as a script."""

    def call(token: str, meta: dict[str, str] | None = None, **options: Any) -> IssuedTokens:
        if meta is not None:
            options["store"] = new_store()
            options["store"].meta = meta
        if mode == "sync":
            return refreshing.refresh(token, **options)
        return async_to_sync(refreshing.arefresh)(token, **options)

    return call


@pytest.fixture
def issue(mode: str) -> Verb:
    if mode == "sync":
        return sessions.issue_tokens
    return async_to_sync(sessions.aissue_tokens)


@pytest.fixture
def signed_in(clock: Clock, alice: User) -> SyncSession:
    clock.moment = clock.moment.replace(microsecond=123457)
    session = SyncSession(meta=META)
    session.set("colour", "red")
    sign_in(session, alice)
    return session


@pytest.fixture
def pair(signed_in: SyncSession, issue: Verb) -> IssuedTokens:
    return issue(signed_in.row)


def stored() -> Session:
    return Session.objects.get()


def columns_of(row: AbstractSession) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def is_refused(refresh: Verb, token: str) -> str | None:
    """Return the code a token is refused with; None for one that is good."""
    try:
        refresh(token)
    except (TokenError, InactiveSessionError) as error:
        return error.code
    return None


# Issue


def test_a_pair_belongs_to_the_session(pair: IssuedTokens, clock: Clock):
    row, token = stored(), parsed(pair.refresh)
    assert token.session_id == row.pk
    assert row.refresh_digest == token.digest()
    assert (row.refresh_started_at, row.refreshed_at) == (clock.moment, None)
    assert pair.refresh_expires_at == row.expires_at
    assert pair.expires_at > clock.moment
    assert 0 < pair.expires_in <= 900
    assert pair.access.count(".") == 2


def test_issuing_writes_nothing_else(signed_in: SyncSession, issue: Verb, clock: Clock):
    before = columns_of(stored())
    clock.advance(days=2)
    issue(signed_in.row)
    after = columns_of(stored())
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"refresh_digest", "refresh_started_at"}
    assert signed_in.row.refresh_digest == after["refresh_digest"]


@pytest.mark.db_engine
def test_issuing_takes_one_statement(signed_in: SyncSession, issue: Verb, statements: Any):
    assert signed_in.row.user is not None
    with statements() as executed:
        issue(signed_in.row)
    assert len(executed) == len(executed.writes) == 1


def test_a_later_pair_takes_the_place_of_the_first_and_ends_nothing(
    pair: IssuedTokens, signed_in: SyncSession, issue: Verb, refresh: Verb
):
    # In the same microsecond.
    for row in (signed_in.row, signed_in.row):
        later = issue(row)
        assert is_refused(refresh, pair.refresh) == "invalid_token"
        assert stored().is_active()
        pair = later
    assert is_refused(refresh, pair.refresh) is None


def test_the_rotated_tokens_of_an_earlier_pair_end_nothing_either(
    pair: IssuedTokens, signed_in: SyncSession, issue: Verb, refresh: Verb, clock: Clock
):
    second = refresh(pair.refresh)
    clock.advance(seconds=1)
    issue(stored())
    assert stored().refreshed_at is None
    clock.advance(minutes=1)
    for token in (pair.refresh, second.refresh):
        assert is_refused(refresh, token) == "invalid_token"
    assert stored().is_active()


@pytest.mark.parametrize("fate", ["ended", "expired", "anonymous", "deleted"])
def test_there_is_no_pair_for_a_session_nobody_is_signed_in_to(
    signed_in: SyncSession, issue: Verb, clock: Clock, fate: str
):
    row = stored()
    if fate == "ended":
        sessions.revoke(row.pk)
    elif fate == "expired":
        clock.advance(days=15)
    elif fate == "anonymous":
        Session.objects.update(user=None)
    else:
        Session.objects.all().delete()
    for known in (row, *Session.objects.all()):
        with pytest.raises(StaleSessionError):
            issue(known)
    assert not Session.objects.exclude(refresh_digest=None).exists()


def test_a_repr_shows_no_token(pair: IssuedTokens):
    for shown in (repr(pair), str(pair), f"{[pair]}"):
        assert pair.access not in shown
        assert pair.refresh not in shown


def test_another_engine_issues_and_refreshes_nothing(
    pair: IssuedTokens, signed_in: SyncSession, issue: Verb, refresh: Verb
):
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        with pytest.raises(ConfigurationError):
            issue(signed_in.row)
        with pytest.raises(ConfigurationError):
            refresh(pair.refresh)


# Rotation


def test_a_refresh_rotates(pair: IssuedTokens, refresh: Verb, clock: Clock):
    now = clock.advance(minutes=1)
    again = refresh(pair.refresh)
    row, token = stored(), parsed(again.refresh)
    assert again.refresh != pair.refresh
    assert again.access != pair.access
    assert row.refresh_digest == token.digest()
    assert (row.refreshed_at, row.last_seen_at) == (now, now)
    assert token.age(now) == timedelta(0)
    assert token.family == parsed(pair.refresh).family
    assert is_refused(refresh, again.refresh) is None


def test_a_refresh_writes_what_it_means_and_nothing_else(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    before = columns_of(stored())
    clock.advance(minutes=1)
    refresh(pair.refresh, META)
    after = columns_of(stored())
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"refresh_digest", "refreshed_at", "last_seen_at"}


def test_a_refresh_moves_the_expiry_where_it_is_due(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    now = clock.advance(days=2)
    again = refresh(pair.refresh)
    row = stored()
    assert (row.updated_at, row.expires_at) == (now, now + timedelta(days=14))
    assert again.refresh_expires_at == row.expires_at


def test_an_access_token_ends_with_the_idle_timeout_that_its_refresh_gives(
    signed_in: SyncSession, issue: Verb, refresh: Verb, clock: Clock
):
    with override_settings(SESSION_COOKIE_AGE=600), mock.patch.object(access, "JITTER", 0):
        signed_in.set_expiry(600)
        signed_in.save()
        pair = issue(signed_in.row)
        assert pair.expires_in == 600
        clock.advance(seconds=400)
        again = refresh(pair.refresh)
        # The refresh has moved the expiry, and the token goes along.
        assert stored().expires_at == clock.moment + timedelta(seconds=600)
        assert again.expires_in == 600
        # Answered again, nothing moves.
        clock.advance(seconds=20)
        assert refresh(pair.refresh).expires_at <= stored().expires_at


def test_a_refresh_never_passes_the_absolute_limit(pair: IssuedTokens, refresh: Verb, clock: Clock):
    limit = clock.moment + timedelta(days=30)
    for _ in range(29):
        clock.advance(days=1)
        pair = refresh(pair.refresh)
        assert pair.refresh_expires_at <= limit
    assert pair.refresh_expires_at == stored().expires_at == limit
    clock.advance(days=1)
    assert is_refused(refresh, pair.refresh) == "session_ended"


def test_a_limit_that_is_lowered_counts_for_what_was_issued(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    signed_in_at = clock.moment
    clock.advance(hours=1)
    with override_settings(SESSIONS_PLUS_ABSOLUTE_AGE=timedelta(hours=2)):
        again = refresh(pair.refresh)
        assert again.refresh_expires_at == signed_in_at + timedelta(hours=2)
        clock.advance(hours=1)
        assert is_refused(refresh, again.refresh) == "session_ended"


def test_a_session_that_is_not_remembered_is_not_upgraded(
    signed_in: SyncSession, issue: Verb, refresh: Verb, clock: Clock
):
    signed_in.store.remember = False
    signed_in.save()
    pair = issue(signed_in.row)
    now = clock.advance(hours=23)
    assert refresh(pair.refresh).refresh_expires_at == now + timedelta(days=1)
    assert stored().remember is False


@pytest.mark.parametrize("expiry", [3600, "moment"])
def test_what_set_expiry_asked_for_holds(
    signed_in: SyncSession, issue: Verb, refresh: Verb, clock: Clock, expiry: Any
):
    moment = clock.moment + timedelta(hours=5)
    signed_in.set_expiry(moment if expiry == "moment" else expiry)
    signed_in.save()
    pair = issue(signed_in.row)
    now = clock.advance(minutes=50)
    expected = moment if expiry == "moment" else now + timedelta(hours=1)
    assert refresh(pair.refresh).refresh_expires_at == expected


def test_a_session_that_was_not_used_expires_with_its_tokens(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    clock.advance(days=14)
    assert is_refused(refresh, pair.refresh) == "session_ended"
    assert stored().refreshed_at is None


@committed
def test_the_device_is_recorded_and_a_change_is_told(
    pair: IssuedTokens, refresh: Verb, told: Told, clock: Clock
):
    refresh(pair.refresh, ELSEWHERE)
    row = stored()
    assert (row.ip_address, row.user_agent) == ("198.51.100.9", "curl")
    (said,) = told.of(session_context_changed)
    assert said["changes"] == {
        "ip_address": ("192.0.2.1", "198.51.100.9"),
        "user_agent": ("Firefox", "curl"),
    }


@committed
def test_a_script_without_a_request_changes_no_recorded_device(
    pair: IssuedTokens, refresh: Verb, told: Told
):
    refresh(pair.refresh)
    row = stored()
    assert (row.ip_address, row.user_agent) == ("192.0.2.1", "Firefox")
    assert told == []


@pytest.mark.db_engine
@pytest.mark.parametrize("is_fast", [True, False])
def test_a_refresh_takes_two_statements(
    pair: IssuedTokens, refresh: Verb, statements: Any, clock: Clock, is_fast: bool
):
    clock.advance(days=2)
    with override_settings(SESSIONS_PLUS_FAST_PATH=is_fast), statements() as executed:
        refresh(pair.refresh, ELSEWHERE)
    assert [sql.partition(" ")[0] for sql in executed] == ["SELECT", "UPDATE"]
    assert executed.written_columns == {
        *("refresh_digest", "refreshed_at", "last_seen_at", "updated_at", "expires_at"),
        *("ip_address", "user_agent"),
        *("context_changed_at", "previous_ip_address", "previous_user_agent"),
    }


@pytest.mark.db_engine
def test_one_that_is_answered_in_the_grace_takes_one_statement(
    pair: IssuedTokens, refresh: Verb, statements: Any
):
    refresh(pair.refresh)
    with statements() as executed:
        refresh(pair.refresh)
    assert len(executed) == len(executed.reads) == 1


@pytest.mark.db_engine
def test_one_that_loses_to_another_reads_once_more(
    pair: IssuedTokens, refresh: Verb, statements: Any, monkeypatch: pytest.MonkeyPatch
):
    overtaken: list[str] = []
    decide = verdicts.decide

    def be_overtaken(*args: Any, **kwargs: Any) -> Any:
        verdict = decide(*args, **kwargs)
        if not overtaken:
            overtaken.append("about to be")
            overtaken.append(refreshing.refresh(pair.refresh).refresh)
        return verdict

    monkeypatch.setattr(verdicts, "decide", be_overtaken)
    with statements() as executed:
        late = refresh(pair.refresh)
    assert late.refresh == overtaken[1]
    own = [sql.partition(" ")[0] for sql in executed]
    # The first SELECT, the two of who overtakes it, and then what losing costs.
    assert own == ["SELECT", "SELECT", "UPDATE", "UPDATE", "SELECT"]


@pytest.mark.parametrize("end", ["revoke", "replace"])
def test_one_that_is_overtaken_by_an_end_or_another_pair_revives_nothing(
    pair: IssuedTokens, refresh: Verb, monkeypatch: pytest.MonkeyPatch, end: str
):
    decide = verdicts.decide

    def be_overtaken(*args: Any, **kwargs: Any) -> Any:
        verdict = decide(*args, **kwargs)
        if end == "revoke":
            sessions.revoke(stored().pk)
        else:
            sessions.issue_tokens(stored())
        return verdict

    monkeypatch.setattr(verdicts, "decide", be_overtaken)
    with pytest.raises(InactiveSessionError if end == "revoke" else TokenError):
        refresh(pair.refresh)
    row = stored()
    assert row.is_active() is (end == "replace")
    assert row.refreshed_at is None


def test_one_that_cannot_see_what_overtook_it_gives_up(
    pair: IssuedTokens, refresh: Verb, monkeypatch: pytest.MonkeyPatch
):
    """As in a transaction that sees the database as it was when it began."""
    monkeypatch.setattr(refresh_tokens, "rotate_refresh", lambda *args, **options: False)
    with pytest.raises(StaleSessionError):
        refresh(pair.refresh)


def failing_claims(user: Any, session: Any) -> dict[str, Any]:
    raise ConnectionError("the directory does not answer")


def test_claims_that_fail_cost_no_token(pair: IssuedTokens, refresh: Verb, issue: Verb):
    before = columns_of(stored())
    with override_settings(SESSIONS_PLUS_JWT_CLAIMS=failing_claims):
        for verb, argument in ((refresh, pair.refresh), (issue, stored())):
            with pytest.raises(ConnectionError):
                verb(argument)
    assert columns_of(stored()) == before
    assert is_refused(refresh, pair.refresh) is None


def test_what_a_browser_does_on_the_same_row_is_no_business_of_the_tokens(
    pair: IssuedTokens, signed_in: SyncSession, refresh: Verb, clock: Clock
):
    for _ in range(3):
        clock.advance(minutes=20)
        signed_in.cycle_key()
        signed_in.set("size", clock.moment.minute)
        signed_in.save()
        pair = refresh(pair.refresh)
    again = SyncSession(signed_in.token)
    assert again.get("colour") == "red"


def test_a_save_that_is_under_way_loses_no_rotation(
    pair: IssuedTokens, signed_in: SyncSession, refresh: Verb, clock: Clock
):
    clock.advance(days=2)
    pair = refresh(pair.refresh)
    signed_in.set("size", 1)
    signed_in.save()
    assert is_refused(refresh, pair.refresh) is None
    assert stored().get_decoded()["size"] == 1


# The grace


def test_within_the_grace_everybody_gets_the_same_successor(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    first = refresh(pair.refresh)
    row = columns_of(stored())
    for seconds in (0, 1, 28):
        clock.advance(seconds=seconds)
        again = refresh(pair.refresh)
        assert again.refresh == first.refresh
        assert again.refresh_expires_at == first.refresh_expires_at
    assert columns_of(stored()) == row


@pytest.mark.django_db(transaction=True)
def test_an_answer_in_the_grace_to_somebody_elsewhere_is_recorded_and_told(
    pair: IssuedTokens, refresh: Verb, clock: Clock, told: Told, caplog: pytest.LogCaptureFixture
):
    """Or a copy of the token could follow its owner from one rotation to the next, and nobody would see it."""
    expires_at = stored().expires_at
    with caplog.at_level("INFO", "django_sessions_plus"):
        first = refresh(pair.refresh)
        clock.advance(seconds=5)
        assert refresh(pair.refresh, ELSEWHERE).refresh == first.refresh
        # Recorded once: the place is known by then.
        assert refresh(pair.refresh, ELSEWHERE).refresh == first.refresh
    assert stored().ip_address == ELSEWHERE["REMOTE_ADDR"]
    assert stored().expires_at == expires_at
    assert len(told.of(session_context_changed)) == 1
    events = [getattr(record, "event", None) for record in caplog.records]
    assert events.count("refresh_replayed") == 1


def test_after_the_grace_the_session_ends(pair: IssuedTokens, refresh: Verb, clock: Clock):
    current = refresh(pair.refresh)
    clock.moment += GRACE + LEEWAY + timedelta(microseconds=1)
    assert is_refused(refresh, pair.refresh) == "session_ended"
    row = stored()
    assert (row.end_reason, row.ended_by, row.session_data) == ("refresh_reused", None, "")
    assert is_refused(refresh, current.refresh) == "session_ended"
    assert is_refused(refresh, pair.refresh) == "session_ended"


def test_the_grace_is_over_when_it_says(pair: IssuedTokens, refresh: Verb, clock: Clock):
    refresh(pair.refresh)
    clock.moment += GRACE + LEEWAY
    assert is_refused(refresh, pair.refresh) is None


def test_without_a_grace_every_second_use_is_reuse(pair: IssuedTokens, refresh: Verb):
    with override_settings(SESSIONS_PLUS_REFRESH_GRACE=timedelta(0)):
        refresh(pair.refresh)
        assert is_refused(refresh, pair.refresh) == "session_ended"
    assert stored().end_reason == "refresh_reused"


def test_an_older_one_is_reuse_within_the_grace_too(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    refresh(refresh(pair.refresh).refresh)
    assert is_refused(refresh, pair.refresh) == "session_ended"


def test_a_clock_that_goes_back_a_little_signs_nobody_out(
    pair: IssuedTokens, refresh: Verb, clock: Clock
):
    first = refresh(pair.refresh)
    clock.advance(seconds=-30)
    assert refresh(pair.refresh).refresh == first.refresh
    assert is_refused(refresh, first.refresh) is None


@pytest.mark.parametrize("use_tz", [True, False])
def test_the_successor_is_the_same_text_after_the_database_kept_its_time(
    issue: Verb, refresh: Verb, alice: User, use_tz: bool
):
    """By the real clock, to the microsecond, with and without time zones."""
    # As long as can be, for a machine that is busy.
    grace = timedelta(minutes=1)
    with override_settings(USE_TZ=use_tz, SESSIONS_PLUS_REFRESH_GRACE=grace):
        session = SyncSession()
        sign_in(session, alice)
        pair = issue(session.row)
        for _ in range(20):
            first, again = refresh(pair.refresh), refresh(pair.refresh)
            assert again.refresh == first.refresh
            pair = first
        assert is_refused(refresh, pair.refresh) is None
        row = stored()
        family = parsed(pair.refresh).family
        assert row.refresh_started_at is not None
        assert refresh_token.microseconds(row.refresh_started_at) == family


# Reuse


@pytest.fixture
def reused(
    pair: IssuedTokens, refresh: Verb, told: Told, caplog: pytest.LogCaptureFixture, clock: Clock
) -> Callable[..., logging.LogRecord]:
    """Present a token that was rotated, from somewhere, and return what was logged."""

    def reuse(meta: dict[str, str] | None) -> logging.LogRecord:
        clock.advance(minutes=15)
        refresh(refresh(pair.refresh, META).refresh, META)
        clock.advance(minutes=5)
        told.clear()
        with (
            caplog.at_level(logging.WARNING, logger="django_sessions_plus"),
            pytest.raises(InactiveSessionError),
        ):
            refresh(pair.refresh, meta)
        (record,) = (r for r in caplog.records if r.name == "django_sessions_plus")
        return record

    return reuse


@committed
def test_reuse_is_told_once_with_its_age_and_where_it_came_from(
    reused: Any, refresh: Verb, pair: IssuedTokens, told: Told, alice: User
):
    reused(ELSEWHERE)
    assert is_refused(refresh, pair.refresh) == "session_ended"
    (ended,) = told.of(session_ended)
    (said,) = told.of(refresh_token_reused)
    assert (ended["reason"], ended["actor"], ended["user"]) == ("refresh_reused", None, alice)
    assert said["user"] == alice
    assert said["session"].pk == stored().pk
    assert said["session"].end_reason == "refresh_reused"
    assert said["age"] == timedelta(minutes=20)
    assert said["since_rotation"] == timedelta(minutes=5)
    assert said["context_changed"] is True
    assert said["changes"] == {
        "ip_address": ("192.0.2.1", "198.51.100.9"),
        "user_agent": ("Firefox", "curl"),
    }
    assert len(told) == 2
    row = stored()
    # Of the person's device the row still tells.
    assert (row.ip_address, row.user_agent) == ("192.0.2.1", "Firefox")


@committed
@pytest.mark.parametrize("meta", [META, None])
def test_reuse_from_the_same_device_or_from_nowhere_is_no_other_context(
    reused: Any, told: Told, meta: Any
):
    reused(meta)
    (said,) = told.of(refresh_token_reused)
    assert (said["context_changed"], said["changes"]) == (False, {})


@committed
def test_to_learn_where_somebody_is_says_nothing_of_another_context(
    pair: IssuedTokens, refresh: Verb, told: Told
):
    Session.objects.update(ip_address=None, user_agent=None)
    with override_settings(SESSIONS_PLUS_REFRESH_GRACE=timedelta(0)):
        refresh(pair.refresh)
        with pytest.raises(InactiveSessionError):
            refresh(pair.refresh, ELSEWHERE)
    (said,) = told.of(refresh_token_reused)
    assert (said["context_changed"], said["changes"]) == (False, {})


@committed
def test_reuse_is_logged_with_ids_and_nothing_secret(reused: Any, pair: IssuedTokens, alice: User):
    record = reused(ELSEWHERE)
    row = stored()
    extra = {
        "event": "refresh_token_reused",
        "session_id": str(row.pk),
        "user_id": str(alice.pk),
        "age": 1200.0,
        "since_rotation": 300.0,
        "context_changed": True,
        "changed": "ip_address,user_agent",
    }
    assert {name: vars(record)[name] for name in extra} == extra
    json.dumps(extra)
    assert record.levelname == "WARNING"
    shown = f"{vars(record)!r} {record.getMessage()}"
    for secret in (pair.refresh, pair.access, row.token_digest, row.refresh_digest, "198.51"):
        assert str(secret) not in shown


@committed
def test_of_parallel_replays_one_ends_the_session_and_tells(
    pair: IssuedTokens, refresh: Verb, told: Told, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    refresh(pair.refresh)
    clock.advance(minutes=2)
    decide = verdicts.decide

    def after_another_replay(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(verdicts, "decide", decide)
        with pytest.raises(InactiveSessionError):
            refreshing.refresh(pair.refresh)
        return decide(*args, **kwargs)

    monkeypatch.setattr(verdicts, "decide", after_another_replay)
    with pytest.raises(InactiveSessionError):
        refresh(pair.refresh)
    assert len(told.of(refresh_token_reused)) == len(told.of(session_ended)) == 1


@committed
def test_the_end_reaches_the_browser_of_the_session(
    reused: Any, signed_in: SyncSession, open_session: OpenSession
):
    token = signed_in.token
    assert open_session(token).get("colour") == "red"
    reused(None)
    assert open_session(token).load() == {}


def test_the_end_reaches_a_session_whose_token_was_rotated_meanwhile(
    pair: IssuedTokens,
    signed_in: SyncSession,
    refresh: Verb,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
):
    refresh(pair.refresh)
    clock.advance(minutes=2)
    decide = verdicts.decide

    def while_the_browser_rotates(*args: Any, **kwargs: Any) -> Any:
        signed_in.cycle_key()
        return decide(*args, **kwargs)

    monkeypatch.setattr(verdicts, "decide", while_the_browser_rotates)
    assert is_refused(refresh, pair.refresh) == "session_ended"
    assert stored().end_reason == "refresh_reused"
    assert SyncSession(signed_in.token).load() == {}


@committed
def test_the_end_outlives_the_transaction_of_a_view_whose_session_it_is(
    pair: IssuedTokens, clock: Clock, alice: User
):
    refreshing.refresh(pair.refresh)
    clock.advance(minutes=2)
    store = new_store()
    with rolled_back(), pytest.raises(InactiveSessionError):
        refreshing.refresh(pair.refresh, store=store)
    assert stored().is_active()
    # What the middleware does after every view.
    assert store.uncommitted.ended is not None
    store.repeat_end()
    assert stored().end_reason == "refresh_reused"


def test_another_session_of_the_person_lives_on(
    pair: IssuedTokens, alice: User, refresh: Verb, issue: Verb, clock: Clock
):
    other = SyncSession()
    sign_in(other, alice)
    pair_of_other = issue(other.row)
    refresh(pair.refresh)
    clock.advance(minutes=2)
    assert is_refused(refresh, pair.refresh) == "session_ended"
    assert is_refused(refresh, pair_of_other.refresh) is None
    assert other.stored.is_active()


# Whoever is refused


def test_an_invented_token_costs_no_query_and_ends_nothing(
    pair: IssuedTokens, refresh: Verb, statements: Any
):
    token = parsed(pair.refresh)
    with override_settings(SECRET_KEY="that of somebody else"):
        forged = refresh_token.RefreshToken(
            token.session_id, token.family, token.issued_at, bytes(32)
        ).text()
    with statements() as executed:
        for invented in ("", "rt1.", pair.refresh[:-1] + "!", forged, pair.access, "a" * 32):
            assert is_refused(refresh, invented) == "invalid_token"
    assert executed == []
    assert is_refused(refresh, pair.refresh) is None


def test_a_token_with_a_bit_changed_ends_nothing(pair: IssuedTokens, refresh: Verb):
    for position in range(4, len(pair.refresh)):
        other = "A" if pair.refresh[position] != "A" else "B"
        text = pair.refresh[:position] + other + pair.refresh[position + 1 :]
        assert is_refused(refresh, text) == "invalid_token"
    assert is_refused(refresh, pair.refresh) is None


def test_the_secret_key_alone_makes_no_token(pair: IssuedTokens, refresh: Verb):
    """Whoever has it can end sessions whose family is known, which is less than it can do elsewhere."""
    token = parsed(pair.refresh)
    other_family = RefreshToken(token.session_id, token.family + 1, token.issued_at, bytes(32))
    assert is_refused(refresh, other_family.text()) == "invalid_token"
    assert stored().is_active()
    # Even with a copy of the row: what it keeps is a digest, and not the secret.
    digest = bytes.fromhex(str(stored().refresh_digest))
    guessed = RefreshToken(token.session_id, token.family, token.issued_at, digest)
    assert is_refused(refresh, guessed.text()) == "session_ended"
    assert stored().end_reason == "refresh_reused"


def test_a_token_works_for_its_own_session_alone(
    pair: IssuedTokens, refresh: Verb, bob: User, issue: Verb
):
    other = SyncSession()
    sign_in(other, bob)
    issue(other.row)
    before = other.stored
    refresh(pair.refresh)
    assert columns_of(other.stored) == columns_of(before)


@committed
@pytest.mark.parametrize(
    "fate",
    ["revoked", "signed out", "deleted", "user deleted", "user gone", "anonymous", "deactivated"],
)
def test_a_session_that_is_over_refuses_its_tokens(
    pair: IssuedTokens, signed_in: SyncSession, refresh: Verb, alice: User, fate: str
):
    if fate == "revoked":
        sessions.revoke_all(alice)
    elif fate == "signed out":
        signed_in.flush()
    elif fate == "deleted":
        Session.objects.all().delete()
    elif fate == "user deleted":
        alice.delete()
    elif fate == "user gone":
        User.objects.all()._raw_delete("default")
    elif fate == "anonymous":
        signed_in.clear()
        signed_in.save()
    else:
        alice.is_active = False
        alice.save()
    before = [columns_of(row) for row in Session.objects.all()]
    assert is_refused(refresh, pair.refresh) == "session_ended"
    assert [columns_of(row) for row in Session.objects.all()] == before


def test_a_user_who_became_inactive_unseen_is_refused_and_not_ended(
    pair: IssuedTokens, refresh: Verb
):
    User.objects.update(is_active=False)
    assert is_refused(refresh, pair.refresh) == "session_ended"
    User.objects.update(is_active=True)
    assert is_refused(refresh, pair.refresh) is None


@committed
@pytest.mark.parametrize("is_told", [True, False])
def test_a_changed_password_ends_the_session(
    pair: IssuedTokens, refresh: Verb, alice: User, is_told: bool
):
    alice.set_password("rabbit")
    if is_told:
        alice.save()
    else:
        User.objects.filter(pk=alice.pk).update(password=alice.password)
    assert is_refused(refresh, pair.refresh) == "session_ended"
    assert stored().end_reason == "password_changed"


def test_a_backend_that_is_not_configured_any_more_refuses(pair: IssuedTokens, refresh: Verb):
    with override_settings(AUTHENTICATION_BACKENDS=[f"{__name__}.OtherBackend"]):
        assert is_refused(refresh, pair.refresh) == "session_ended"
    assert is_refused(refresh, pair.refresh) is None


class OtherBackend(ModelBackend):
    """One that finds its users in its own way."""

    def get_user(self, user_id: Any) -> Any:
        return super().get_user(user_id)


def test_a_backend_with_ways_of_its_own_is_asked(
    signed_in: SyncSession, issue: Verb, refresh: Verb
):
    path = f"{__name__}.OtherBackend"
    signed_in.set("_auth_user_backend", path)
    signed_in.save()
    pair = issue(signed_in.row)
    with override_settings(AUTHENTICATION_BACKENDS=[path]):
        assert is_refused(refresh, pair.refresh) is None


class StandInBackend(ModelBackend):
    """One that lets people act for others."""

    def get_user(self, user_id: Any) -> Any:
        return User.objects.get(username="bob")


@pytest.mark.usefixtures("bob")
def test_a_backend_that_names_somebody_else_gets_no_tokens_for_them(
    signed_in: SyncSession, issue: Verb, refresh: Verb
):
    bob = User.objects.get(username="bob")
    path = f"{__name__}.StandInBackend"
    signed_in.update({"_auth_user_backend": path, "_auth_user_hash": bob.get_session_auth_hash()})
    signed_in.save()
    pair = issue(signed_in.row)
    with override_settings(AUTHENTICATION_BACKENDS=[path]):
        assert is_refused(refresh, pair.refresh) == "session_ended"
    assert stored().refreshed_at is None


def test_no_decision_is_made_on_what_a_replica_says(pair: IssuedTokens, refresh: Verb):
    class Router:
        def db_for_read(self, model: Any, **hints: Any) -> str:
            assert model is not Session, "what a replica says of tokens may be of yesterday"
            return "default"

        def db_for_write(self, model: Any, **hints: Any) -> str:
            return "default"

    with override_settings(DATABASE_ROUTERS=[Router()], SESSIONS_PLUS_READ_FROM_REPLICA=True):
        again = refresh(refresh(pair.refresh).refresh)
        assert again.refresh != pair.refresh


def test_a_session_that_somebody_else_was_put_in_refuses_the_tokens_of_the_first(
    pair: IssuedTokens, signed_in: SyncSession, refresh: Verb, bob: User
):
    signed_in.update(identity(bob))
    signed_in.save()
    assert is_refused(refresh, pair.refresh) == "invalid_token"
    assert stored().user == bob


# A new SECRET_KEY


def test_a_new_secret_key_signs_out_neither_the_service_nor_the_browser(
    signed_in: SyncSession, issue: Verb, refresh: Verb, alice: User, clock: Clock
):
    with override_settings(SECRET_KEY="old"):
        signed_in.update(identity(alice))
        signed_in.save()
        pair = issue(signed_in.row)
    token = signed_in.token
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        first, again = refresh(pair.refresh), refresh(pair.refresh)
        assert first.refresh == again.refresh
        assert SyncSession(token).get("colour") == "red"
    with override_settings(SECRET_KEY="new"):
        # Without the fallback everything goes on with what the refresh has renewed.
        assert is_refused(refresh, first.refresh) is None
        assert is_refused(refresh, pair.refresh) == "invalid_token"
        assert SyncSession(token).get("colour") == "red"


@pytest.mark.db_engine
def test_the_identity_is_renewed_once(
    signed_in: SyncSession, issue: Verb, refresh: Verb, alice: User, statements: Any
):
    with override_settings(SECRET_KEY="old"):
        signed_in.update(identity(alice))
        signed_in.save()
        pair = issue(signed_in.row)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        with statements() as executed:
            pair = refresh(pair.refresh)
        assert [sql.partition(" ")[0] for sql in executed] == ["SELECT", "UPDATE", "UPDATE"]
        with statements() as executed:
            refresh(pair.refresh)
        assert len(executed) == 2


def test_a_reused_token_of_the_old_secret_key_is_found_out_as_well(
    signed_in: SyncSession, issue: Verb, refresh: Verb, alice: User, clock: Clock
):
    with override_settings(SECRET_KEY="old"):
        signed_in.update(identity(alice))
        signed_in.save()
        pair = issue(signed_in.row)
        refresh(pair.refresh)
    clock.advance(minutes=2)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert is_refused(refresh, pair.refresh) == "session_ended"
    assert stored().end_reason == "refresh_reused"
