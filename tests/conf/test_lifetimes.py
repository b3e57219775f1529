"""Lifetimes of their own for the sessions of one transport: which apply, which are read, and what a pair may do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_args

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth import HASH_SESSION_KEY, login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse

from django_sessions_plus import sessions, tokens
from django_sessions_plus.accounts import issuing
from django_sessions_plus.api.transports import TRANSPORTS
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.conf import callables, lifetimes
from django_sessions_plus.conf.kinds import OwnTransport
from django_sessions_plus.exceptions import ConfigurationError, InactiveSessionError, TokenError
from django_sessions_plus.jwt import access
from django_sessions_plus.jwt.inspecting import find
from django_sessions_plus.jwt.refresh import refresh
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from tests.backends.drivers import sign_in
from tests.backends.test_touch import Record, load
from tests.conftest import Clock, OpenSession

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LIFETIMES = {
    "cookie": {"idle": 7 * DAY, "absolute": 30 * DAY},
    "bearer": {"idle": 90 * DAY, "absolute": 365 * DAY},
    "jwt": {"idle": 60 * DAY, "absolute": 60 * DAY},
}
IDLE = {name: each["idle"] for name, each in LIFETIMES.items()}


@pytest.fixture
def by_transport(settings: Any) -> None:
    settings.SESSIONS_PLUS_LIFETIMES = LIFETIMES


def start(open_session: OpenSession, user: User, transport: Any) -> Any:
    session = open_session()
    session.store.transport = transport
    sign_in(session, user)
    return session


def use(open_session: OpenSession, token: str, transport: Any) -> bool:
    """Use the session by a request that only reads; return whether its expiry moved."""
    session = load(open_session, token)
    session.store.transport = transport
    return bool(session.touch())


# What the setting says


def some_lifetimes() -> Mapping[str, Any]:
    return {"bearer": {"idle": HOUR}}


def no_lifetimes() -> None:
    return None


def test_without_the_setting_all_transports_have_the_timeouts_of_all(settings):
    settings.SESSION_COOKIE_AGE, settings.SESSIONS_PLUS_ABSOLUTE_AGE = 100, 9 * DAY
    for transport in get_args(OwnTransport):
        assert lifetimes.idle_seconds(transport) == 100
        assert lifetimes.absolute_age(transport) == 9 * DAY
    # What another package has made lasts as long as it did there.
    assert lifetimes.absolute_age("token") is None
    assert lifetimes.absolute_ages() == {"token": None}
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = None
    assert lifetimes.absolute_ages() == {}


def test_what_a_transport_has_not_is_that_of_all(settings):
    settings.SESSION_COOKIE_AGE, settings.SESSIONS_PLUS_ABSOLUTE_AGE = 100, 9 * DAY
    settings.SESSIONS_PLUS_LIFETIMES = {"bearer": {"idle": HOUR}, "jwt": {"absolute": None}}
    found = {
        each: (lifetimes.idle_seconds(each), lifetimes.absolute_age(each))
        for each in get_args(OwnTransport)
    }
    assert found == {"cookie": (100, 9 * DAY), "bearer": (3600, 9 * DAY), "jwt": (100, None)}
    assert lifetimes.absolute_ages() == {"jwt": None, "token": None}
    settings.SESSIONS_PLUS_LIFETIMES = {"token": {"absolute": DAY}}
    assert lifetimes.absolute_age("token") == DAY
    assert lifetimes.absolute_ages() == {"token": DAY}


@pytest.mark.parametrize("value", [some_lifetimes, f"{__name__}.some_lifetimes"])
def test_a_callable_or_its_path_gives_them(settings, value):
    settings.SESSIONS_PLUS_LIFETIMES = value
    assert lifetimes.idle_seconds("bearer") == 3600


@pytest.mark.parametrize("value", [{}, no_lifetimes, f"{__name__}.no_lifetimes"])
def test_nothing_said_is_nothing_set(settings, value):
    settings.SESSIONS_PLUS_LIFETIMES = value
    assert callables.lifetimes() == {}
    assert lifetimes.idle_seconds("bearer") == settings.SESSION_COOKIE_AGE


WRONG = [
    DAY,
    7,
    [("bearer", {"idle": DAY})],
    {"bearer": DAY},
    {"socket": {"idle": DAY}},
    {"bearer": {"idel": DAY}},
    {"bearer": {"idle": None}},
    {"bearer": {"idle": 3600}},
    {"bearer": {"idle": timedelta(0)}},
    {"bearer": {"absolute": timedelta(0)}},
    {"bearer": {"absolute": 36_501 * DAY}},
    {"bearer": {}, "cookie": None},
]


@pytest.mark.parametrize("value", WRONG)
def test_what_can_be_no_lifetimes_is_refused(settings, value):
    settings.SESSIONS_PLUS_LIFETIMES = value
    with pytest.raises(ConfigurationError, match="SESSIONS_PLUS_LIFETIMES must be"):
        lifetimes.idle_seconds("cookie")
    settings.SESSIONS_PLUS_LIFETIMES = lambda: value
    with pytest.raises(ConfigurationError, match="SESSIONS_PLUS_LIFETIMES"):
        lifetimes.absolute_age("cookie")


@pytest.mark.parametrize("path", ["tests.nowhere.lifetimes", f"{__name__}.HOUR"])
def test_a_path_to_no_callable_is_refused(settings, path):
    settings.SESSIONS_PLUS_LIFETIMES = path
    with pytest.raises(ConfigurationError, match="SESSIONS_PLUS_LIFETIMES"):
        callables.lifetimes()


def test_a_transport_is_named_by_one_word_everywhere():
    assert set(get_args(OwnTransport)) == set(TRANSPORTS)
    assert set(issuing.TRANSPORTS) < set(TRANSPORTS)


# What the row remembers


@pytest.mark.parametrize("transport", get_args(OwnTransport))
def test_the_row_remembers_the_transport_it_started_with(open_session, alice, transport):
    session = start(open_session, alice, transport)
    assert session.stored.transport == transport
    for other in get_args(OwnTransport):
        use(open_session, session.token, other)
        again = open_session(session.token)
        again.store.transport = other
        again.load()
        again.set("colour", "red")
        again.mark_authenticated(alice)
        again.save()
        session = again
    assert session.stored.transport == transport


def test_a_visit_becomes_a_session_of_the_transport_that_signs_in(open_session, alice):
    visit = open_session()
    visit.set("basket", [1])
    visit.save()
    assert visit.stored.transport == "cookie"
    again = open_session(visit.token)
    again.store.transport = "bearer"
    again.load()
    sign_in(again, alice)
    assert (again.stored.pk, again.stored.transport) == (visit.row.pk, "bearer")


def test_a_visit_that_signs_in_gets_the_lifetimes_of_the_sign_in(
    by_transport, open_session, alice, clock
):
    visit = open_session()
    visit.set("basket", [1])
    visit.save()
    assert visit.stored.expires_at == clock.moment + 7 * DAY
    again = open_session(visit.token)
    again.store.transport = "bearer"
    again.load()
    sign_in(again, alice)
    assert again.stored.expires_at == clock.moment + 90 * DAY


@pytest.mark.parametrize("transport", issuing.TRANSPORTS)
def test_what_an_operator_issues_lasts_as_its_transport(by_transport, alice, clock, transport):
    row = issuing.issue(alice, transport=transport).session
    assert (row.transport, row.expires_at) == (transport, clock.moment + IDLE[transport])


def test_a_session_that_is_started_is_one_of_a_bearer_token(by_transport, alice, clock):
    store = sessions.start(alice)
    assert (store.row.transport, store.row.expires_at) == ("bearer", clock.moment + 90 * DAY)


def test_what_is_started_ends_within_the_absolute_timeout_of_its_transport(by_transport, alice):
    assert sessions.start(alice, expiry=365 * DAY).row
    with pytest.raises(ValueError, match="SESSIONS_PLUS_LIFETIMES"):
        sessions.start(alice, expiry=366 * DAY)
    with pytest.raises(ValueError, match="SESSIONS_PLUS_LIFETIMES"):
        sessions.start(alice, expiry=61 * DAY, transport="jwt")


def test_a_transport_nobody_knows_starts_nothing(alice):
    with pytest.raises(ValueError, match="socket"):
        sessions.start(alice, transport="socket")
    assert not Session.objects.exists()


def test_the_twin_of_start_starts_by_the_same_transport(by_transport, alice):
    assert async_to_sync(sessions.astart)(alice, transport="jwt").row.transport == "jwt"


@pytest.mark.parametrize("has_visited", [False, True])
def test_a_view_that_says_so_signs_in_by_a_header(by_transport, alice, clock, has_visited):
    def view(request: Any) -> HttpResponse:
        request.session.transport = "bearer"
        login(request, alice, backend="django.contrib.auth.backends.ModelBackend")
        return HttpResponse(request.session.session_key)

    request = HttpRequest()
    if has_visited:
        visit = new_store()
        visit["basket"] = [1]
        visit.save()
        request.COOKIES[django_settings.SESSION_COOKIE_NAME] = visit.session_key
    response: Any = SessionMiddleware(view)(request)
    row = Session.objects.get(user=alice)
    assert (row.transport, row.expires_at) == ("bearer", clock.moment + 90 * DAY)
    assert row.token_digest == tokens.digest(response.content.decode())
    assert not response.cookies


# Use by another transport


@pytest.mark.parametrize("started", get_args(OwnTransport))
@pytest.mark.parametrize("used", get_args(OwnTransport))
def test_use_by_another_transport_never_lengthens_a_session(
    by_transport, open_session, alice, clock, started, used
):
    token = start(open_session, alice, started).token
    before = Session.objects.get().expires_at
    clock.advance(days=6)
    use(open_session, token, used)
    after = Session.objects.get().expires_at
    is_pair_of_another = used == "jwt" != started
    own = before if is_pair_of_another else min(clock.moment + IDLE[started], after)
    assert after == own <= clock.moment + IDLE[started]


@pytest.mark.parametrize("used", get_args(OwnTransport))
def test_a_save_by_another_transport_never_lengthens_a_session(
    by_transport, open_session, alice, clock, used
):
    token = start(open_session, alice, "cookie").token
    before = Session.objects.get().expires_at
    clock.advance(days=6)
    session = load(open_session, token)
    session.store.transport = used
    session.set("colour", "red")
    session.save()
    expected = before if used == "jwt" else clock.moment + 7 * DAY
    assert Session.objects.get().expires_at == expected


def test_a_shortened_timeout_counts_for_use_by_a_pair_too(
    by_transport, open_session, alice, clock, settings
):
    token = start(open_session, alice, "cookie").token
    settings.SESSIONS_PLUS_LIFETIMES = {"cookie": {"idle": DAY}}
    clock.advance(hours=1)
    use(open_session, token, "jwt")
    assert Session.objects.get().expires_at == clock.moment + DAY


def test_without_lifetimes_a_pair_moves_the_expiry_as_any_use(open_session, alice, clock):
    token = start(open_session, alice, "cookie").token
    clock.advance(days=6)
    assert use(open_session, token, "jwt")
    assert Session.objects.get().expires_at == clock.moment + 14 * DAY


def test_a_session_that_goes_on_under_a_token_of_its_own_lasts_as_before(
    by_transport, open_session, alice, clock
):
    """A request in a header changes the password while a parallel one rotates the token of the cookie."""
    token = start(open_session, alice, "cookie").token
    clock.advance(hours=1)
    winner, loser = (load(open_session, token) for _ in range(2))
    winner.cycle_key()
    winner.save()
    loser.store.transport = "bearer"
    alice.set_password("another")
    loser.store.user = alice
    loser.cycle_key()
    loser.set(HASH_SESSION_KEY, alice.get_session_auth_hash())
    loser.save()
    row = loser.stored
    assert row.pk != winner.row.pk
    assert (row.transport, row.expires_at) == ("cookie", clock.moment + 7 * DAY)


def test_an_unremembered_session_is_shorter_whatever_its_transport(
    by_transport, open_session, alice, clock
):
    session = open_session()
    session.store.transport = "bearer"
    session.store.remember = False
    sign_in(session, alice)
    assert session.stored.expires_at == clock.moment + DAY


@pytest.mark.parametrize("started", get_args(OwnTransport))
def test_the_absolute_timeout_is_that_of_the_transport(
    by_transport, open_session, alice, clock, started
):
    session = start(open_session, alice, started)
    limit = clock.moment + LIFETIMES[started]["absolute"]
    while clock.moment + 6 * DAY < limit:
        clock.advance(days=6)
        use(open_session, session.token, started)
    row = Session.objects.get()
    assert row.expires_at == row.limited_until == limit
    clock.moment = limit - timedelta(seconds=1)
    assert row.is_active()
    assert list(Session.objects.active()) == [row]
    clock.advance(seconds=1)
    assert not row.is_active()
    assert list(Session.objects.active()) == []
    assert open_session(session.token).load() == {}


def test_it_costs_no_query_more(by_transport, open_session, alice, clock, statements: Record):
    token = start(open_session, alice, "bearer").token
    with statements() as reading:
        session = load(open_session, token)
    assert len(reading) <= 1
    clock.advance(days=40)
    with statements() as writing:
        assert session.touch()
    assert writing.written_columns == {"expires_at", "updated_at", "last_seen_at"}


@pytest.mark.parametrize("fast", [True, False])
def test_lifetimes_that_a_callable_changes_count_for_the_next_statement(
    open_session, alice, clock, settings, fast
):
    """As of tenants: nothing tells that the setting has changed, and statements are kept."""
    settings.SESSIONS_PLUS_FAST_PATH = fast
    said: dict[str, Any] = {"bearer": {"idle": 90 * DAY, "absolute": None}}
    settings.SESSIONS_PLUS_LIFETIMES = lambda: said
    session = start(open_session, alice, "bearer")
    for absolute, is_written in ((None, True), (80 * DAY, True), (10 * DAY, False)):
        stale = load(open_session, session.token)
        clock.advance(days=20)
        said["bearer"] = {"idle": 90 * DAY, "absolute": absolute}
        columns = {"last_seen_at": clock.moment}
        assert stale.store.rows.update(stale.row, columns) is is_written


# A pair has a deadline of its own


@pytest.fixture
def cookie_with_pair(settings: Any, open_session: OpenSession, alice: User, clock: Clock) -> Any:
    """Return the token of a browser's session, and a pair that was issued for it a day later."""
    settings.SESSIONS_PLUS_LIFETIMES = LIFETIMES | {"jwt": {"absolute": 2 * DAY}}
    token = start(open_session, alice, "cookie").token
    clock.advance(days=1)
    return token, sessions.issue_tokens(load(open_session, token).row)


def test_a_refresh_does_not_slide_the_expiry_of_a_cookie(cookie_with_pair, clock):
    _, pair = cookie_with_pair
    before = Session.objects.get().expires_at
    clock.advance(days=1)
    again = refresh(pair.refresh)
    row = Session.objects.get()
    assert row.expires_at == before
    assert row.refreshed_at == row.last_seen_at == clock.moment
    assert again.refresh_expires_at <= before


def test_a_pair_ends_at_its_deadline_and_the_session_goes_on(cookie_with_pair, clock, open_session):
    token, pair = cookie_with_pair
    deadline = clock.moment + 2 * DAY
    assert pair.refresh_expires_at == deadline == Session.objects.get().refresh_limited_until
    found = find(pair.refresh)
    assert found is not None
    assert found.expires_at == deadline.timestamp()
    clock.moment = deadline - timedelta(seconds=20)
    again = refresh(pair.refresh)
    assert again.refresh_expires_at == deadline
    assert again.expires_at == deadline
    clock.moment = deadline
    for each in (again, pair):
        with pytest.raises(TokenError):
            refresh(each.refresh)
        assert find(each.refresh) is None
    with pytest.raises(TokenError):
        access.verify(again.access, now=deadline + timedelta(minutes=2))
    assert open_session(token).load()
    # The person can have a new pair for it.
    assert refresh(sessions.issue_tokens(Session.objects.get()).refresh)


def test_an_access_token_ends_with_its_pair(settings, open_session, alice, clock):
    settings.SESSIONS_PLUS_LIFETIMES = {"jwt": {"absolute": timedelta(minutes=5)}}
    row = start(open_session, alice, "cookie").row
    pair = sessions.issue_tokens(row)
    assert pair.expires_at == pair.refresh_expires_at == clock.moment + timedelta(minutes=5)


def test_an_old_token_is_a_copy_after_the_deadline_too(cookie_with_pair, clock):
    _, pair = cookie_with_pair
    refresh(pair.refresh)
    clock.advance(days=3)
    with pytest.raises(InactiveSessionError):
        refresh(pair.refresh)
    assert Session.objects.get().end_reason == "refresh_reused"


def test_a_pair_never_outlives_its_session(settings, open_session, alice, clock):
    settings.SESSIONS_PLUS_LIFETIMES = LIFETIMES | {"jwt": {"absolute": None}}
    token = start(open_session, alice, "cookie").token
    pair = sessions.issue_tokens(load(open_session, token).row)
    assert pair.refresh_expires_at == clock.moment + 7 * DAY
    clock.advance(days=7)
    with pytest.raises(InactiveSessionError):
        refresh(pair.refresh)


def test_a_session_that_started_with_a_pair_slides_by_it(by_transport, alice, clock):
    pair = issuing.issue(alice, transport="jwt").tokens
    limit = clock.moment + 60 * DAY
    clock.advance(days=50)
    again = refresh(pair["refresh"])
    assert again.refresh_expires_at == Session.objects.get().expires_at == limit
