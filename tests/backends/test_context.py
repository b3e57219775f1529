"""A session that is used from another network or browser: what is told, what follows, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from django_sessions_plus.models import Session
from django_sessions_plus.signals import session_context_changed, session_ended
from tests.backends.drivers import sign_in
from tests.backends.racing import racers, shared_database
from tests.conftest import Clock, OpenSession, Statements, Told

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
NEWER_FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"
HERE = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": FIREFOX}
ELSEWHERE = {"REMOTE_ADDR": "198.51.100.7", "HTTP_USER_AGENT": "curl/8.6.0"}

# Of what a request says of itself, beside HERE, nothing that is another network or browser.
ALIKE: list[dict[str, Any]] = [
    {"REMOTE_ADDR": "192.0.2.254"},
    {"REMOTE_ADDR": "::ffff:192.0.2.1"},
    {"REMOTE_ADDR": ""},
    {"REMOTE_ADDR": "garbage"},
    {"HTTP_USER_AGENT": NEWER_FIREFOX},
    {"HTTP_USER_AGENT": ""},
    {"HTTP_X_FORWARDED_FOR": "198.51.100.7", "HTTP_X_REAL_IP": "198.51.100.7"},
]
OTHER: list[dict[str, Any]] = [
    {"REMOTE_ADDR": "192.0.3.1"},
    {"REMOTE_ADDR": "2001:db8::1"},
    {"HTTP_USER_AGENT": "curl/8.6.0"},
    {"HTTP_USER_AGENT": "x" * 100_000},
    ELSEWHERE,
]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.backends.urls")]

Record = Callable[[], AbstractContextManager[Statements]]


@pytest.fixture(params=["reauthenticate", "end"])
def strict(request: pytest.FixtureRequest, settings: Any) -> str:
    policy: str = request.param
    settings.SESSIONS_PLUS_CONTEXT_POLICY = policy
    return policy


@pytest.fixture
def token(clock: Clock, open_session: OpenSession, alice: User, told: Told) -> str:
    """The token of a session that alice signed in to, HERE."""
    session = open_session(None, HERE)
    sign_in(session, alice)
    told.clear()
    return session.token


def used(open_session: OpenSession, token: str, meta: dict[str, Any]) -> Any:
    """Use the session as a request does that changes nothing."""
    session = open_session(token, meta)
    session.get("")
    if session.store.row is not None:
        session.touch()
    return session


# What is told


@pytest.mark.parametrize("said", ALIKE, ids=str)
def test_what_is_alike_is_not_told(
    open_session: OpenSession, token: str, told: Told, clock: Clock, said: dict[str, Any]
):
    clock.advance(minutes=5)
    used(open_session, token, HERE | said)
    assert told == []


@pytest.mark.parametrize("said", OTHER, ids=lambda said: str(said)[:40])
def test_what_is_other_is_told_once_in_an_interval(
    open_session: OpenSession, token: str, told: Told, clock: Clock, said: dict[str, Any]
):
    clock.advance(minutes=5)
    for _ in range(3):
        used(open_session, token, HERE | said)
        used(open_session, token, HERE)
    assert len(told) == len(told.of(session_context_changed)) == 1
    (change,) = told.of(session_context_changed)
    columns = {"REMOTE_ADDR": "ip_address", "HTTP_USER_AGENT": "user_agent"}
    assert change["changes"].keys() == {columns[name] for name in said}


@pytest.mark.parametrize("said", OTHER, ids=lambda said: str(said)[:40])
@pytest.mark.parametrize("fast_path", [True, False])
def test_it_is_told_at_once_though_the_last_activity_was_a_moment_ago(
    open_session: OpenSession,
    token: str,
    told: Told,
    clock: Clock,
    statements: Record,
    settings: Any,
    said: dict[str, Any],
    fast_path: bool,
):
    settings.SESSIONS_PLUS_FAST_PATH = fast_path
    clock.advance(seconds=1)
    used(open_session, token, HERE | said)
    assert len(told) == len(told.of(session_context_changed)) == 1
    assert last_change()[0] == clock.moment
    # Whoever goes to and fro costs one write in an interval, as everybody does.
    with statements() as executed:
        for _ in range(3):
            clock.advance(seconds=50)
            used(open_session, token, HERE)
            used(open_session, token, HERE | said)
    assert (executed.writes, len(told)) == ([], 1)
    clock.advance(seconds=150)
    used(open_session, token, HERE)
    assert len(told) == 2


def test_of_two_requests_from_elsewhere_that_were_loaded_together_one_tells(
    open_session: OpenSession, token: str, told: Told, clock: Clock
):
    clock.advance(seconds=1)
    both = [open_session(token, ELSEWHERE) for _ in range(2)]
    for session in both:
        session.get("")
    for session in both:
        session.touch()
    assert len(told.of(session_context_changed)) == 1


def test_an_address_in_the_same_network_is_recorded_and_not_told(
    open_session: OpenSession, token: str, told: Told, clock: Clock
):
    clock.advance(minutes=5)
    used(open_session, token, HERE | {"REMOTE_ADDR": "192.0.2.99"})
    assert Session.objects.get().ip_address == "192.0.2.99"
    assert told == []


def test_a_visit_is_nobodys_and_not_told(open_session: OpenSession, told: Told, clock: Clock):
    session = open_session(None, HERE)
    session.set("basket", "full")
    session.save()
    clock.advance(minutes=5)
    used(open_session, session.token, ELSEWHERE)
    assert Session.objects.get().ip_address == "198.51.100.7"
    assert told == []


@pytest.mark.parametrize(
    ("recording", "times"), [("truncated", 1), ("off", 0)], ids=["truncated", "off"]
)
def test_only_what_is_recorded_is_compared(
    open_session: OpenSession,
    token: str,
    told: Told,
    clock: Clock,
    settings: Any,
    recording: str,
    times: int,
):
    settings.SESSIONS_PLUS_RECORD_IP = recording
    clock.advance(minutes=5)
    used(open_session, token, HERE | {"REMOTE_ADDR": "192.0.2.77"})
    assert told == []
    clock.advance(minutes=5)
    used(open_session, token, HERE | {"REMOTE_ADDR": "198.51.100.7"})
    assert len(told) == times


# What is kept of it


def last_change() -> tuple[Any, Any, Any]:
    row = Session.objects.get()
    return row.context_changed_at, row.previous_ip_address, row.previous_user_agent


NOTHING = (None, None, None)


@pytest.mark.parametrize("said", ALIKE, ids=str)
def test_of_what_is_alike_nothing_is_kept(
    open_session: OpenSession, token: str, clock: Clock, said: dict[str, Any]
):
    clock.advance(minutes=5)
    used(open_session, token, HERE | said)
    assert last_change() == NOTHING


@pytest.mark.parametrize(
    ("said", "before"),
    [
        ({"REMOTE_ADDR": "198.51.100.7"}, ("192.0.2.1", None)),
        ({"HTTP_USER_AGENT": "curl/8.6.0"}, (None, FIREFOX)),
        (ELSEWHERE, ("192.0.2.1", FIREFOX)),
    ],
    ids=["network", "browser", "both"],
)
@pytest.mark.parametrize("act", ["touch", "save"])
def test_of_a_change_is_kept_when_it_was_and_what_was_before(
    open_session: OpenSession,
    token: str,
    clock: Clock,
    statements: Record,
    said: dict[str, Any],
    before: Any,
    act: str,
):
    clock.advance(minutes=5)
    session = open_session(token, HERE | said)
    session.get("")
    with statements() as executed:
        if act == "save":
            session.set("colour", "red")
            session.save()
        else:
            session.touch()
    assert len(executed.writes) == 1
    assert last_change() == (clock.moment, *before)
    # The row in the hand of whoever was told says so too.
    assert session.row.context_changed_at == clock.moment


def test_the_last_change_is_kept(open_session: OpenSession, token: str, clock: Clock):
    clock.advance(minutes=5)
    used(open_session, token, ELSEWHERE)
    clock.advance(minutes=5)
    used(open_session, token, ELSEWHERE | {"REMOTE_ADDR": "203.0.113.9"})
    assert last_change() == (clock.moment, "198.51.100.7", None)
    changed_at = clock.moment
    clock.advance(minutes=5)
    used(open_session, token, ELSEWHERE | {"REMOTE_ADDR": "203.0.113.10"})
    assert last_change() == (changed_at, "198.51.100.7", None)


def test_of_a_visit_nothing_is_kept(open_session: OpenSession, clock: Clock):
    visit = open_session(None, HERE)
    visit.set("basket", "full")
    visit.save()
    clock.advance(minutes=5)
    used(open_session, visit.token, ELSEWHERE)
    assert last_change() == NOTHING


def test_who_signs_in_again_has_not_moved_and_what_was_kept_stays(
    open_session: OpenSession, token: str, clock: Clock, alice: User
):
    clock.advance(minutes=5)
    used(open_session, token, ELSEWHERE)
    kept = last_change()
    session = open_session(token, HERE)
    session.get("")
    sign_in(session, alice)
    assert last_change() == kept


@pytest.mark.parametrize("becomes", ["another", "nobody"])
def test_where_one_person_was_is_not_told_of_another(
    open_session: OpenSession, token: str, clock: Clock, bob: User, becomes: str
):
    clock.advance(minutes=5)
    used(open_session, token, ELSEWHERE)
    assert last_change() != NOTHING
    session = open_session(token, HERE)
    session.get("")
    # Not by Django's login(), which would begin another session.
    session.set("_auth_user_id", str(bob.pk) if becomes == "another" else None)
    session.save()
    assert Session.objects.get().user_id == (bob.pk if becomes == "another" else None)
    assert last_change() == NOTHING


@pytest.mark.parametrize(
    ("setting", "mode", "before"),
    [
        ("SESSIONS_PLUS_RECORD_IP", "truncated", ("192.0.2.0", FIREFOX)),
        ("SESSIONS_PLUS_RECORD_IP", "off", (None, FIREFOX)),
        (
            "SESSIONS_PLUS_RECORD_USER_AGENT",
            "parsed",
            ("192.0.2.1", "Firefox on Linux (desktop)"),
        ),
        ("SESSIONS_PLUS_RECORD_USER_AGENT", "off", ("192.0.2.1", None)),
    ],
)
def test_no_more_is_kept_than_is_recorded_now(
    open_session: OpenSession,
    token: str,
    clock: Clock,
    settings: Any,
    setting: str,
    mode: str,
    before: Any,
):
    setattr(settings, setting, mode)
    clock.advance(minutes=5)
    used(open_session, token, ELSEWHERE)
    assert last_change() == (clock.moment, *before)


def test_a_parsed_user_agent_is_kept_as_it_was_recorded(
    open_session: OpenSession, token: str, clock: Clock
):
    Session.objects.update(user_agent="Firefox on Linux (desktop)")
    clock.advance(minutes=5)
    used(open_session, token, ELSEWHERE)
    assert Session.objects.get().previous_user_agent == "Firefox on Linux (desktop)"


@pytest.mark.parametrize("fast_path", [True, False])
def test_no_request_reads_what_is_kept(
    open_session: OpenSession,
    token: str,
    clock: Clock,
    statements: Record,
    settings: Any,
    fast_path: bool,
):
    settings.SESSIONS_PLUS_FAST_PATH = fast_path
    clock.advance(minutes=5)
    with statements() as executed:
        used(open_session, token, HERE)
        used(open_session, token, ELSEWHERE)
    assert not [sql for sql in executed.reads if "previous_" in sql]


# What follows


def test_by_default_nothing_follows(open_session: OpenSession, token: str):
    session = used(open_session, token, ELSEWHERE)
    assert session.is_fresh()
    assert session.stored.is_active()


@pytest.mark.parametrize("said", ALIKE, ids=str)
@pytest.mark.usefixtures("strict")
def test_nothing_follows_from_what_is_alike(
    open_session: OpenSession, token: str, statements: Record, said: dict[str, Any]
):
    with statements() as executed:
        session = used(open_session, token, HERE | said)
    assert session.is_fresh()
    assert executed.writes == []


@pytest.mark.usefixtures("strict")
def test_nothing_follows_for_a_store_without_a_request(open_session: OpenSession, token: str):
    session = open_session(token)
    session.get("")
    assert session.is_fresh()


@pytest.mark.usefixtures("strict")
def test_nothing_follows_for_a_visit(open_session: OpenSession):
    visit = open_session(None, HERE)
    visit.set("basket", "full")
    visit.save()
    assert used(open_session, visit.token, ELSEWHERE).get("basket") == "full"


class TestReauthenticate:
    @pytest.fixture(autouse=True)
    def policy(self, settings):
        settings.SESSIONS_PLUS_CONTEXT_POLICY = "reauthenticate"

    @pytest.mark.parametrize("said", OTHER, ids=lambda said: str(said)[:40])
    def test_a_request_from_elsewhere_is_not_fresh_and_that_is_written_once(
        self, open_session, token, told, statements, said
    ):
        session = open_session(token, HERE | said)
        session.get("")
        # The row says so as well, for those who are handed that alone.
        assert not session.is_fresh()
        assert not session.row.is_fresh()
        session.touch()
        assert len(told.of(session_context_changed)) == 1
        with statements() as executed:
            for meta in (HERE | said, HERE, HERE | said):
                assert not used(open_session, token, meta).is_fresh()
        assert executed.writes == []
        assert len(told) == 1

    def test_a_request_that_is_no_activity_is_not_fresh_either(self, open_session, token):
        session = open_session(token, ELSEWHERE)
        session.store.counts_as_activity = False
        session.get("")
        session.touch()
        assert not session.is_fresh()
        assert used(open_session, token, HERE).is_fresh()

    def test_the_password_makes_it_fresh_where_it_was_given(self, open_session, token, alice):
        session = used(open_session, token, ELSEWHERE)
        sign_in(session, alice)
        assert session.is_fresh()
        assert used(open_session, session.token, ELSEWHERE).is_fresh()
        assert not used(open_session, session.token, HERE).is_fresh()

    def test_a_save_from_elsewhere_tells_and_writes_it_too(self, open_session, token, told):
        session = open_session(token, ELSEWHERE)
        session.set("colour", "red")
        session.save()
        assert len(told.of(session_context_changed)) == 1
        assert not session.stored.is_fresh()
        assert session.stored.get_decoded()["colour"] == "red"

    def test_when_the_person_authenticated_stays_a_fact(self, open_session, token, alice, clock):
        before = Session.objects.get()
        used(open_session, token, ELSEWHERE)
        row = Session.objects.get()
        assert row.reauthentication_required
        assert row.authenticated_at == before.authenticated_at
        clock.advance(minutes=1)
        session = used(open_session, token, ELSEWHERE)
        sign_in(session, alice)
        row = session.stored
        assert not row.reauthentication_required
        assert row.authenticated_at > before.authenticated_at

    def test_a_sign_out_of_the_data_leaves_nothing_to_be_asked_for(self, open_session, token):
        session = used(open_session, token, ELSEWHERE)
        session.clear()
        session.save()
        row = session.stored
        assert (row.user_id, row.reauthentication_required) == (None, False)

    def test_it_holds_without_an_absolute_limit_too(self, open_session, token, settings):
        settings.SESSIONS_PLUS_ABSOLUTE_AGE = None
        used(open_session, token, ELSEWHERE)
        assert not Session.objects.get().is_fresh()

    def test_it_never_expires_a_session(self, open_session, token, settings):
        settings.SESSIONS_PLUS_FRESH_AGE = settings.SESSIONS_PLUS_ABSOLUTE_AGE = timedelta(days=9)
        session = used(open_session, token, ELSEWHERE)
        assert not session.is_fresh()
        assert session.stored.is_active()


class TestEnd:
    @pytest.fixture(autouse=True)
    def policy(self, settings):
        settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"

    @pytest.mark.parametrize("said", OTHER, ids=lambda said: str(said)[:40])
    def test_a_request_from_elsewhere_ends_the_session_before_it_sees_any_of_it(
        self, open_session, token, told, said
    ):
        secret = open_session(token, HERE)
        secret.set("basket", "full")
        secret.save()
        session = open_session(token, HERE | said)
        assert session.get("basket") is None
        assert session.store.is_empty()
        row = Session.objects.get()
        assert (row.end_reason, row.session_data) == ("context_changed", "")
        assert [signal for signal, _ in told] == [session_ended, session_context_changed]
        assert told.of(session_ended)[0]["reason"] == "context_changed"
        # Who was there before is signed out as well.
        assert open_session(token, HERE).get("basket") is None

    def test_who_has_just_authenticated_may_have_moved(self, open_session, token, alice):
        session = open_session(token, ELSEWHERE)
        session.mark_authenticated(alice)
        session.get("")
        session.save()
        assert Session.objects.get().is_active()

    def test_signing_in_from_elsewhere_begins_a_new_session(self, open_session, token, alice):
        session = open_session(token, ELSEWHERE)
        sign_in(session, alice)
        assert used(open_session, session.token, ELSEWHERE).is_fresh()
        assert sorted(Session.objects.values_list("end_reason", flat=True)) == [
            "",
            "context_changed",
        ]


# Through the middleware


class AsyncBrowser(AsyncClient):
    """Django's client, from wherever it is told to be."""

    peer = "127.0.0.1"

    def _base_scope(self, **request: Any) -> Any:
        return {**super()._base_scope(**request), "client": [self.peer, 1]}  # type: ignore[misc]


@pytest.fixture(params=["sync", "async"])
def get(request: pytest.FixtureRequest, alice: User) -> Callable[..., Any]:
    """Request a view in one mode, from HERE unless something else is said."""
    client: Any = Client() if request.param == "sync" else AsyncBrowser()
    fetch = client.get if request.param == "sync" else async_to_sync(client.get)

    def get(view: str, **said: Any) -> Any:
        meta = HERE | said
        if request.param == "async":
            headers = {"User-Agent": meta["HTTP_USER_AGENT"]}
            client.peer = meta["REMOTE_ADDR"]
            return fetch(f"/async/{view}", headers=headers)
        return fetch(f"/sync/{view}", **meta)

    return get


@pytest.mark.parametrize("view", ["who", "read"])
def test_where_it_ends_the_cookie_goes_and_nobody_is_signed_in(
    get: Any, told: Told, settings: Any, view: str
):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"
    get("sign-in")
    get("write?value=secret")
    told.clear()
    response = get(view, **ELSEWHERE)
    assert response.content == b""
    assert response.cookies["sessionid"].value == ""
    assert len(told) == 2


@pytest.mark.usefixtures("strict")
def test_in_the_usual_place_a_request_costs_what_it_always_costs(get: Any, statements: Record):
    get("sign-in")
    with statements() as executed:
        assert get("who").content == b"alice"
    assert len(executed) <= 1
    assert executed.writes == []


# In parallel


@pytest.mark.parametrize("policy", ["notice", "reauthenticate", "end"])
def test_of_32_requests_from_elsewhere_one_writes_and_one_tells(
    tmp_path: Path, settings: Any, policy: str, told: Told, open_session: OpenSession
):
    settings.SESSIONS_PLUS_CONTEXT_POLICY = policy
    with shared_database(tmp_path):
        alice = User.objects.create(username="racing")
        session = open_session(None, HERE)
        sign_in(session, alice)
        token = session.token
        if policy == "notice":
            Session.objects.update(last_seen_at=session.row.created_at - timedelta(minutes=6))
        told.clear()
        stores = [open_session(token, ELSEWHERE) for _ in range(32)]
        with racers(32) as racing:
            racing.run(*(lambda store=store: store.get("") for store in stores))
            told_of_ends = len(told.of(session_ended))
            racing.run(*(store.touch for store in stores))
        row = Session.objects.get()
    assert len(told.of(session_context_changed)) == 1
    assert told_of_ends == (1 if policy == "end" else 0)
    assert row.is_active() is (policy != "end")
    assert row.is_fresh() is (policy != "reauthenticate")
    if policy != "end":
        assert row.ip_address == "198.51.100.7"
