"""Refreshes that really run in parallel, with each other and with what ends the session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.exceptions import InactiveSessionError, StaleSessionError, TokenError
from django_sessions_plus.jwt import access
from django_sessions_plus.jwt import refresh as refreshing
from django_sessions_plus.jwt.issuing import IssuedTokens
from django_sessions_plus.models import Session
from django_sessions_plus.signals import refresh_token_reused, session_ended
from tests.backends.drivers import SyncSession, sign_in
from tests.backends.racing import ROUNDS, racers, shared_database
from tests.conftest import Told
from tests.jwt.test_refresh_token import parsed

Refresh = Callable[[str], IssuedTokens]
Ending = Callable[[SyncSession], Any]

ROOT = Path(__file__).resolve().parents[2]
# The longest there may be: all who ask at once have to be served within it, on a busy machine too.
GRACE = timedelta(minutes=1)
LEEWAY = timedelta(minutes=1)
PARALLEL = 32
PROCESSES = 4

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(autouse=True)
def _shared_database(transactional_db: None, tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.SESSIONS_PLUS_REFRESH_GRACE = GRACE
    with shared_database(tmp_path):
        yield


@pytest.fixture(params=["sync", "async"])
def refresh(request: pytest.FixtureRequest) -> Refresh:
    if request.param == "sync":
        return refreshing.refresh
    return async_to_sync(refreshing.arefresh)


@pytest.fixture
def alice(_shared_database: None) -> User:
    return User.objects.create_user("alice", "alice@example.com", "wonderland")


def start(user: User) -> tuple[SyncSession, IssuedTokens]:
    session = SyncSession()
    sign_in(session, user)
    return session, sessions.issue_tokens(session.row)


def attempt(refresh: Refresh, token: str) -> IssuedTokens | None:
    """Refresh and return the pair; None where the token is refused."""
    try:
        return refresh(token)
    except (InactiveSessionError, TokenError):
        return None


def drop_and_retry(refresh: Refresh, token: str) -> IssuedTokens:
    refresh(token)
    return refresh(token)


def wait_until_the_grace_is_over(session: SyncSession) -> None:
    rows = Session.objects.filter(pk=session.row.pk)
    rows.update(refreshed_at=F("refreshed_at") - GRACE - LEEWAY - timedelta(seconds=1))


def assert_nothing_opens(session: SyncSession, *given: IssuedTokens | None) -> None:
    """Fail unless the session is over for every credential anybody got for it."""
    row = Session.objects.get(pk=session.row.pk)
    assert not row.is_active()
    assert row.session_data == ""
    assert SyncSession(session.token).load() == {}
    for pair in filter(None, given):
        with pytest.raises(InactiveSessionError):
            refreshing.refresh(pair.refresh)
    # What every access token of the session names.
    assert not new_store().open_by_id(row.pk)


def assert_converged(session: SyncSession, first: IssuedTokens, pairs: list[IssuedTokens]) -> None:
    """Fail unless all got the one successor, and the row was rotated once."""
    assert len(pairs) == PARALLEL
    (text,) = {pair.refresh for pair in pairs}
    row = Session.objects.get(pk=session.row.pk)
    assert row.refreshed_at is not None
    only = parsed(first.refresh).successor(row.refreshed_at)
    assert only.text() == text
    assert only.digest() == row.refresh_digest


@pytest.mark.parametrize("ask", [lambda refresh, token: refresh(token), drop_and_retry])
def test_32_refreshes_of_one_token_converge_and_its_replay_ends_them_all(
    refresh: Refresh, alice: User, told: Told, ask: Callable[[Refresh, str], IssuedTokens]
):
    session, first = start(alice)
    with racers(PARALLEL) as racing:
        pairs = racing.run(*[partial(ask, refresh, first.refresh)] * PARALLEL)
    assert_converged(session, first, pairs)
    assert told.of(session_ended) == []
    wait_until_the_grace_is_over(session)
    with pytest.raises(InactiveSessionError):
        refresh(first.refresh)
    assert Session.objects.get(pk=session.row.pk).end_reason == "refresh_reused"
    assert_nothing_opens(session, first, *pairs)
    assert len(told.of(refresh_token_reused)) == 1


def test_32_replays_after_the_grace_end_the_session_once(refresh: Refresh, alice: User, told: Told):
    session, first = start(alice)
    second = refresh(first.refresh)
    wait_until_the_grace_is_over(session)
    with racers(PARALLEL) as racing:
        results = racing.run(*[partial(attempt, refresh, first.refresh)] * PARALLEL)
    assert results == [None] * PARALLEL
    assert_nothing_opens(session, first, second)
    assert len(told.of(refresh_token_reused)) == len(told.of(session_ended)) == 1


def with_attempt(token: str, attempt: str) -> IssuedTokens | None:
    try:
        return refreshing.refresh(token, attempt=attempt)
    except (InactiveSessionError, TokenError):
        return None


@pytest.mark.parametrize("is_equal", [True, False])
def test_refreshes_with_attempts_converge_and_the_first_one_stored_counts(
    alice: User, is_equal: bool
):
    attempts = ["0" * 32 if is_equal else f"{number:032x}" for number in range(PARALLEL)]
    session, first = start(alice)
    with racers(PARALLEL) as racing:
        pairs = racing.run(*[partial(with_attempt, first.refresh, each) for each in attempts])
    assert_converged(session, first, pairs)
    wait_until_the_grace_is_over(session)
    row = Session.objects.get(pk=session.row.pk)
    presented = parsed(first.refresh)
    stored = [each for each in attempts if of_rotation(presented, each) == row.refresh_attempt]
    assert with_attempt(first.refresh, stored[0]) is not None
    if not is_equal:
        other = next(each for each in attempts if each != stored[0])
        assert with_attempt(first.refresh, other) is None
        assert_nothing_opens(session, first)


def of_rotation(presented: Any, attempt: str) -> str:
    digests = presented.with_attempt(attempt).attempt
    assert digests is not None
    return str(digests.of_rotation)


@pytest.mark.parametrize("parallel", [5, 6])
def test_five_replays_at_once_are_answered_and_a_sixth_ends_the_session(alice: User, parallel: int):
    session, first = start(alice)
    lost = refreshing.refresh(first.refresh, attempt="0" * 32)
    wait_until_the_grace_is_over(session)
    with racers(parallel) as racing:
        pairs = racing.run(*[partial(with_attempt, first.refresh, "0" * 32)] * parallel)
    answered = [parsed(pair.refresh).digest() for pair in pairs if pair is not None]
    assert answered == [parsed(lost.refresh).digest()] * 5
    assert Session.objects.get(pk=session.row.pk).is_active() is (parallel == 5)


def test_a_replay_that_races_the_refresh_of_its_successor_leaves_one_token_or_none(
    alice: User,
):
    with racers(2) as racing:
        for number in range(ROUNDS):
            session, first = start(alice)
            second = refreshing.refresh(first.refresh, attempt="0" * 32)
            wait_until_the_grace_is_over(session)
            replayed, third = racing.run(
                partial(with_attempt, first.refresh, "0" * 32),
                partial(with_attempt, second.refresh, f"{number + 1:032x}"),
            )
            if replayed is not None:
                # It came first, and yields what has been rotated since.
                assert parsed(replayed.refresh).digest() == parsed(second.refresh).digest()
                assert third is not None
                assert attempt(refreshing.refresh, third.refresh) is not None
            else:
                assert_nothing_opens(session, first, second, third)


def sign_out(session: SyncSession) -> None:
    session.flush()


def revoke(session: SyncSession) -> None:
    assert sessions.revoke(session.row.pk)


def change_the_password(session: SyncSession) -> None:
    user = User.objects.get()
    user.set_password(f"another for {session.row.pk}")
    user.save()


@pytest.fixture
def rounds(refresh: Refresh) -> int:
    """How often two are let loose on each other; the coroutine has the same body in a thread."""
    return ROUNDS if refresh is refreshing.refresh else 1 + ROUNDS // 10


@pytest.mark.parametrize("end", [sign_out, revoke, change_the_password])
def test_a_refresh_that_races_an_end_leaves_nothing_that_opens(
    refresh: Refresh, alice: User, end: Ending, rounds: int
):
    with racers(2) as racing:
        for number in range(rounds):
            alice.refresh_from_db()
            session, first = start(alice)
            second = first if number % 2 else refresh(first.refresh)
            racer = SyncSession(session.token)
            racer.get("")
            pair, _ = racing.run(partial(attempt, refresh, second.refresh), partial(end, racer))
            assert_nothing_opens(session, first, second, pair)


def test_a_replay_that_races_the_refresh_of_its_successor_leaves_nothing_that_opens(
    refresh: Refresh, alice: User, rounds: int
):
    with racers(2) as racing:
        for _ in range(rounds):
            session, first = start(alice)
            second = refresh(first.refresh)
            wait_until_the_grace_is_over(session)
            pair, stolen = racing.run(
                partial(attempt, refresh, second.refresh),
                partial(attempt, refresh, first.refresh),
            )
            assert stolen is None
            assert_nothing_opens(session, first, second, pair)


def test_of_a_refresh_and_a_new_pair_at_once_the_new_pair_is_good(
    refresh: Refresh, alice: User, rounds: int
):
    with racers(2) as racing:
        for _ in range(1 + rounds // 10):
            session, first = start(alice)
            row = Session.objects.get(pk=session.row.pk)
            pair, new = racing.run(
                partial(attempt, refresh, first.refresh), partial(sessions.issue_tokens, row)
            )
            for old in filter(None, (first, pair)):
                assert attempt(refresh, old.refresh) is None
            assert attempt(refresh, new.refresh) is not None
            assert Session.objects.get(pk=session.row.pk).is_active()


def authenticate_again(session: SyncSession) -> None:
    session.mark_authenticated(User.objects.get())
    session.save()


def change_the_password_here(session: SyncSession) -> None:
    user = User.objects.get()
    user.set_password(f"another in {session.row.pk}")
    # Without a signal: which session is the running one, a thread without a request cannot say.
    User.objects.filter(pk=user.pk).update(password=user.password)
    session.cycle_key()
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.save()


def reopened(session: SyncSession) -> Any:
    """Return a store that has loaded the session for a request of its own."""
    store = SyncSession(session.token).store
    assert store.get("_auth_user_id")
    return store


@pytest.mark.parametrize("renew", [authenticate_again, change_the_password_here])
def test_a_refresh_that_races_its_owner_yields_nothing_that_lasts(
    refresh: Refresh, alice: User, renew: Ending, rounds: int
):
    with racers(2) as racing:
        for number in range(rounds):
            alice.refresh_from_db()
            session, first = start(alice)
            second = first if number % 2 else refresh(first.refresh)
            browser = reopened(session)

            def renewing(store: Any = browser) -> bool:
                try:
                    renew(store)
                except StaleSessionError:
                    return False
                return True

            pair, is_renewed = racing.run(partial(attempt, refresh, second.refresh), renewing)
            row = Session.objects.get(pk=session.row.pk)
            if not is_renewed:
                # Seen with the new password and before the session had heard of it.
                assert row.end_reason == "password_changed"
                assert_nothing_opens(session, first, second, pair)
                continue
            assert row.is_active()
            assert row.refresh_digest is None
            for given in filter(None, (first, second, pair)):
                assert attempt(refresh, given.refresh) is None
                claims = access.verify(given.access)
                # Whole seconds are what a token has of the time of an authentication.
                if renew is change_the_password_here:
                    assert access.is_superseded(claims, row, row.get_decoded())
            assert row.token_digest == browser.row.token_digest
            later = sessions.issue_tokens(browser.row)
            assert attempt(refresh, later.refresh) is not None


@pytest.mark.parametrize("renew", [authenticate_again, change_the_password_here])
def test_who_had_the_session_before_its_owner_begins_no_line_that_lasts(alice: User, renew: Ending):
    with racers(2) as racing:
        for _ in range(ROUNDS):
            alice.refresh_from_db()
            session, _ = start(alice)
            browser, stolen = reopened(session), reopened(session)

            def issue(row: Any = stolen.row) -> IssuedTokens | None:
                try:
                    return sessions.issue_tokens(row)
                except StaleSessionError:
                    return None

            pair, _ = racing.run(issue, partial(renew, browser))
            assert Session.objects.get(pk=session.row.pk).refresh_digest is None
            assert pair is None or attempt(refreshing.refresh, pair.refresh) is None


def test_a_refresh_that_races_set_expiry_does_not_undo_it(
    refresh: Refresh, alice: User, rounds: int
):
    soon = timedelta(hours=1)
    with racers(2) as racing:
        for _ in range(rounds):
            session, first = start(alice)
            # Long ago, so that the refresh has to move the expiry.
            Session.objects.update(expires_at=timezone.now() + timedelta(days=12))
            browser = reopened(session)
            browser.set_expiry(soon)
            pair, _ = racing.run(partial(attempt, refresh, first.refresh), browser.save)
            row = Session.objects.get(pk=session.row.pk)
            assert row.expires_at - timezone.now() <= soon
            assert pair is not None
            assert attempt(refresh, pair.refresh) is not None


def test_a_replay_that_races_a_new_line_ends_the_session_or_leaves_the_line(
    refresh: Refresh, alice: User, rounds: int
):
    with racers(2) as racing:
        for _ in range(rounds):
            session, first = start(alice)
            refresh(first.refresh)
            wait_until_the_grace_is_over(session)
            browser = reopened(session)

            def renew(store: Any = browser) -> IssuedTokens | None:
                try:
                    authenticate_again(store)
                    return sessions.issue_tokens(store.row)
                except StaleSessionError:
                    return None

            stolen, new = racing.run(partial(attempt, refresh, first.refresh), renew)
            assert stolen is None
            row = Session.objects.get(pk=session.row.pk)
            if new is None:
                assert row.end_reason == "refresh_reused"
            else:
                assert row.is_active()
                assert attempt(refresh, new.refresh) is not None


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere connections are what counts")
@pytest.mark.thorough
def test_processes_converge_like_threads(alice: User, tmp_path: Path):
    session, first = start(alice)
    arguments = [str(tmp_path / "race.sqlite3"), str(PARALLEL // PROCESSES), str(GRACE.seconds)]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.jwt.refreshing", *arguments],
                    cwd=ROOT,
                    env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(PROCESSES)
        ]
        outputs = [process.stdout for process in processes if process.stdout is not None]
        assert [output.readline() for output in outputs] == ["ready\n"] * PROCESSES
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{first.refresh}\n")
            process.stdin.flush()
        texts = [line.strip() for output in outputs for line in output]
    assert len(texts) == PARALLEL
    (text,) = set(texts)
    row = Session.objects.get(pk=session.row.pk)
    assert row.refreshed_at is not None
    only = parsed(first.refresh).successor(row.refreshed_at)
    assert (only.text(), only.digest()) == (text, row.refresh_digest)
    wait_until_the_grace_is_over(session)
    with pytest.raises(InactiveSessionError):
        refreshing.refresh(first.refresh)
    with pytest.raises(InactiveSessionError):
        refreshing.refresh(text)
    assert_nothing_opens(session)
