"""What nobody asked for may fail, and the answer is the same; what was asked for fails visibly."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import InterfaceError, OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_sessions_plus import bookkeeping, devices, events, sessions
from django_sessions_plus.accounts import failed_sign_ins, proxies
from django_sessions_plus.models import Session
from django_sessions_plus.signals import new_device_signed_in, session_ended, session_started
from tests.api.conftest import PASSWORD, ApiClient, code
from tests.api.urls import urlpatterns as of_the_api
from tests.backends.drivers import sign_in
from tests.backends.racing import shared_database
from tests.backends.rollback import view
from tests.conftest import Clock, OpenSession, Told
from tests.site import urlpatterns as of_the_site
from tests.test_middleware import Browser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

Outage = Callable[[], AbstractContextManager[None]]

READ_ONLY = {
    "sqlite": ("PRAGMA query_only = 1", "PRAGMA query_only = 0"),
    "postgresql": (
        "SET default_transaction_read_only = on",
        "SET default_transaction_read_only = off",
    ),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
}


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@contextmanager
def read_only() -> Iterator[None]:
    """Have the database itself refuse every write, as in a failover or during maintenance."""
    before, after = READ_ONLY[connection.vendor]
    execute(before)
    try:
        yield
    finally:
        execute(after)


@contextmanager
def losing_writes(error: type[Exception] = InterfaceError) -> Iterator[None]:
    """Have every write fail as on a connection that was lost after it had been read from."""

    def fail(run: Any, sql: str, *args: Any) -> Any:
        if sql.lstrip("( ").upper().startswith(("INSERT", "UPDATE", "DELETE")):
            raise error("the connection is lost")
        return run(sql, *args)

    with connection.execute_wrapper(fail):
        yield


@contextmanager
def refusing_to_touch() -> Iterator[None]:
    """Have the database itself refuse the statement of a touch, as it refuses any with a mistake."""

    def break_(run: Any, sql: str, *args: Any) -> Any:
        return run(sql.replace("last_seen_at", "no_such_column"), *args)

    with connection.execute_wrapper(break_):
        yield


@pytest.fixture(params=[read_only, losing_writes], ids=["read-only", "lost"])
def outage(request: pytest.FixtureRequest) -> Outage:
    found: Outage = request.param
    return found


@pytest.fixture(params=[False, True], ids=["autocommit", "atomic requests"])
def atomic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", request.param)


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    records: list[Any] = caplog.records
    return [r.what for r in records if getattr(r, "event", "") == "bookkeeping_failed"]


def stored() -> dict[str, Any]:
    (columns,) = Session.objects.values()
    return dict(columns)


@contextmanager
def refusing_updates() -> Iterator[None]:
    """Have the database itself refuse every change of a session, as it refuses any with a mistake."""

    def break_(run: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("UPDATE"):
            sql = sql.replace(Session._meta.db_table, "no_such_table")
        return run(sql, *args)

    with connection.execute_wrapper(break_):
        yield


def writes(request: HttpRequest) -> HttpResponse:
    """Write before and after it is found out who is signed in."""
    User.objects.create(username="grace")
    found = request.user.get_username()
    User.objects.create(username="mary")
    return HttpResponse(found)


urlpatterns = [*of_the_site, *of_the_api, path("writes", writes)]


class TestTouches:
    @pytest.mark.parametrize("days", [0, 2], ids=["last seen", "expiry"])
    @pytest.mark.parametrize("mode", ["sync", "async"])
    def test_a_page_that_only_reads_is_served(
        self, mode: str, days: int, ada: User, clock: Clock, outage: Outage, caplog: Any
    ):
        browser = Browser(mode)
        browser.sign_in(ada)
        before = stored()
        clock.advance(days=days, hours=1)
        browser.cookies["sessionid"]["expires"] = ""
        with outage():
            answers = [browser.get("who") for _ in range(3)]
        assert [(a.status_code, a.content) for a in answers] == [(200, b"ada")] * 3
        # The cookie says what the row says.
        assert not any(answer.cookies for answer in answers)
        assert stored() == before
        assert failures(caplog) == ["record that a session is in use"]
        # And the next use makes up for it.
        assert browser.get("who").content == b"ada"
        assert stored()["last_seen_at"] == clock.moment

    @pytest.mark.parametrize("name", ["session", "sessions", "/mine"])
    @pytest.mark.parametrize("transport", ["cookie", "bearer", "jwt"])
    def test_an_api_that_only_reads_answers(
        self,
        transport: str,
        name: str,
        ada: User,
        atomic: None,
        clock: Clock,
        outage: Outage,
        settings: Any,
    ):
        settings.SESSIONS_PLUS_JWT_ACCESS_AGE = timedelta(hours=5)
        settings.SESSIONS_PLUS_UPDATE_AGE = timedelta(hours=1)
        client = ApiClient()
        client.take(client.sign_in(transport=transport))
        before = stored()
        clock.advance(hours=2)
        with outage():
            answer = client.send("get", name)
        assert answer.status_code == 200
        assert not set(answer.cookies) & {"sessionid"}
        assert stored() == before
        if name == "session":
            expires_at = Session.objects.get().expires_at
            assert answer.json()["session"]["expires_at"] == expires_at.isoformat().replace(
                "+00:00", "Z"
            )

    @pytest.mark.skipif(connection.vendor == "sqlite", reason="has no connection to lose")
    def test_a_connection_that_is_lost_after_the_view_makes_no_page_fail(
        self, ada: User, clock: Clock, caplog: Any
    ):
        client = Client()
        client.force_login(ada)
        before = stored()
        clock.advance(days=2)

        def lose(run: Any, sql: str, *args: Any) -> Any:
            if sql.startswith(("UPDATE", "WITH")) and not connection.connection.closed:
                connection.connection.close()
            return run(sql, *args)

        with connection.execute_wrapper(lose):
            answer = client.get("/who")
        with suppress(OperationalError):
            connection.close()
        connection.connection = None
        assert (answer.status_code, answer.content) == (200, b"ada")
        assert not answer.cookies
        assert stored() == before
        assert failures(caplog) == ["record that a session is in use"]

    def test_a_touch_that_failed_is_not_tried_again_for_the_same_request(
        self, ada: User, clock: Clock
    ):
        client = ApiClient()
        client.sign_in()
        clock.advance(hours=1)
        tried = []

        def fail(run: Any, sql: str, *args: Any) -> Any:
            if sql.startswith("UPDATE"):
                tried.append(sql)
                raise OperationalError
            return run(sql, *args)

        with connection.execute_wrapper(fail):
            assert client.send("get", "session").status_code == 200
        assert len(tried) == 1

    def test_what_the_transaction_of_the_view_wrote_is_kept(
        self, open_session: OpenSession, ada: User, clock: Clock
    ):
        """On PostgreSQL a statement that fails would abort it."""
        started = open_session()
        sign_in(started, ada)
        clock.advance(hours=1)
        session = view(open_session(started.token))
        session.get("")
        with transaction.atomic():
            User.objects.create(username="grace")
            with refusing_to_touch():
                assert session.touch() is False
            User.objects.create(username="mary")
        assert User.objects.filter(username__in=["grace", "mary"]).count() == 2

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="has locks of rows")
    def test_another_writer_of_sqlite_makes_no_page_fail(
        self, tmp_path: Path, ada: User, clock: Clock, caplog: Any
    ):
        with shared_database(tmp_path):
            connection.settings_dict["OPTIONS"]["timeout"] = 0.05
            client = Client()
            client.force_login(ada)
            before = stored()
            clock.advance(days=2)
            with closing(sqlite3.connect(connection.settings_dict["NAME"])) as other:
                other.execute("BEGIN IMMEDIATE")
                answer = client.get("/who")
            assert (answer.status_code, answer.content) == (200, b"ada")
            assert not answer.cookies
            assert stored() == before
        (record,) = [r for r in caplog.records if hasattr(r, "what")]
        assert record.error == "OperationalError: database is locked"

    @pytest.mark.parametrize("mode", ["sync", "async"])
    def test_what_every_request_saves_is_asked_for_only_if_it_was_changed(
        self, mode: str, ada: User, clock: Clock, outage: Outage, settings: Any
    ):
        settings.SESSION_SAVE_EVERY_REQUEST = True
        browser = Browser(mode)
        browser.sign_in(ada)
        clock.advance(hours=1)
        browser.client.raise_request_exception = False
        with outage():
            assert browser.get("who").content == b"ada"
            assert browser.get("untouched").status_code == 200
            assert browser.get("count").status_code == 500
        assert browser.get("count").content == b"1"


class TestEndsThatNobodyAskedFor:
    @pytest.mark.parametrize("mode", ["sync", "async"])
    def test_a_session_of_an_earlier_password_opens_nothing_although_it_cannot_be_ended(
        self, mode: str, ada: User, outage: Outage, caplog: Any
    ):
        browser = Browser(mode)
        browser.sign_in(ada)
        User.objects.update(password=make_password("another"))
        with outage():
            answer = browser.get("who")
        assert (answer.status_code, answer.content) == (200, b"")
        assert not answer.cookies
        assert failures(caplog) == ["end a session that its user may not use"]
        assert Session.objects.active().exists()
        assert browser.get("who").content == b""
        assert not Session.objects.active().exists()

    @pytest.mark.parametrize("mode", ["sync", "async"])
    def test_the_rotation_after_a_new_secret_key_is_left_to_the_next_request(
        self, mode: str, ada: User, outage: Outage, caplog: Any, settings: Any
    ):
        browser = Browser(mode)
        token = browser.sign_in(ada)
        before = stored()
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another key than before, as long as it has to be"
        with outage():
            answer = browser.get("who")
        assert (answer.status_code, answer.content) == (200, b"ada")
        assert not answer.cookies
        assert stored() == before
        assert failures(caplog) == ["rotate the token of a session"]
        assert browser.get("who").content == b"ada"
        assert browser.token != token

    def test_a_session_used_from_elsewhere_opens_nothing_although_it_cannot_be_ended(
        self, ada: User, atomic: None, outage: Outage, settings: Any
    ):
        settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"
        client = Client(headers={"User-Agent": "Mozilla/5.0 Firefox/130.0"})
        client.force_login(ada)
        Session.objects.update(user_agent="Mozilla/5.0 Firefox/130.0", ip_address="192.0.2.1")
        with outage():
            answer = client.get("/who", REMOTE_ADDR="198.51.100.1")
        assert (answer.status_code, answer.content) == (200, b"")
        assert not answer.cookies
        assert Session.objects.active().exists()
        assert client.get("/who", REMOTE_ADDR="192.0.2.1").content == b"ada"

    @pytest.mark.parametrize(
        ("change", "found"),
        [("password", b""), ("secret key", b"ada"), ("elsewhere", b"")],
    )
    def test_what_the_transaction_of_the_view_writes_is_kept(
        self, change: str, found: bytes, ada: User, monkeypatch: Any, settings: Any
    ):
        """On PostgreSQL a statement that fails would abort it."""
        client = Client()
        client.force_login(ada)
        if change == "password":
            User.objects.update(password=make_password("another"))
        elif change == "secret key":
            settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
            settings.SECRET_KEY = "another key than before, as long as it has to be"
        else:
            settings.SESSIONS_PLUS_CONTEXT_POLICY = "end"
            Session.objects.update(user_agent="Mozilla/5.0 Firefox/130.0", ip_address="192.0.2.1")
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        client.raise_request_exception = False
        with refusing_updates():
            answer = client.get("/writes", headers={"User-Agent": "curl/8"})
        assert (answer.status_code, answer.content) == (200, found)
        assert User.objects.filter(username__in=["grace", "mary"]).count() == 2


class TestNotices:
    def test_who_is_signed_in_is_told_without_a_user_that_cannot_be_read(
        self, open_session: OpenSession, ada: User, told: Told, caplog: Any
    ):
        def fail(run: Any, sql: str, *args: Any) -> Any:
            if "auth_user" in sql:
                raise OperationalError
            return run(sql, *args)

        session = open_session()
        with connection.execute_wrapper(fail):
            sign_in(session, ada)
            assert told.of(session_started)
            open_session(session.token).flush()
        assert failures(caplog) == ["find the user of a session"]
        assert len(told.of(session_started)) == len(told.of(session_ended)) == 1
        assert not Session.objects.active().exists()

    def test_ends_are_ends_although_nobody_can_be_told(
        self, open_session: OpenSession, ada: User, told: Told, caplog: Any
    ):
        sign_in(open_session(), ada)
        executed: list[str] = []

        def fail(run: Any, sql: str, *args: Any) -> Any:
            if executed and sql.startswith("SELECT"):
                raise OperationalError
            executed.extend([sql] if sql.startswith("UPDATE") and "ended_at" in sql else [])
            return run(sql, *args)

        with connection.execute_wrapper(fail):
            assert sessions.revoke_all(ada) == 1
        assert failures(caplog) == ["send the signals of ended sessions"]
        assert not Session.objects.active().exists()

    def test_a_handler_of_the_log_that_fails_is_nobodys_error(
        self, ada: User, capsys: pytest.CaptureFixture[str]
    ):
        class Broken(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                raise OSError("the disk is full")

        handler = Broken()
        events.logger.addHandler(handler)
        events.logger.setLevel(logging.INFO)
        try:
            assert ApiClient().sign_in().status_code == 200
        finally:
            events.logger.removeHandler(handler)
            events.logger.setLevel(logging.NOTSET)
        assert "the disk is full" in capsys.readouterr().err

    def test_a_failed_sign_in_is_told_although_nobody_can_be_looked_up(
        self, ada: User, caplog: Any
    ):
        def fail(*args: Any) -> Any:
            raise InterfaceError

        with transaction.atomic():
            with connection.execute_wrapper(fail):
                failed_sign_ins.log_failed_sign_in({"username": "ada", "password": "x"})
            assert User.objects.get() == ada
        (record,) = [r for r in caplog.records if getattr(r, "event", "") == "sign_in_failed"]
        assert record.user_id is None


def refuse(what: Callable[[str], bool]) -> AbstractContextManager[None]:
    """Have the database refuse the statements that ``what`` names."""

    def fail(run: Any, sql: str, *args: Any) -> Any:
        if what(sql):
            raise OperationalError("out of memory")
        return run(sql, *args)

    return connection.execute_wrapper(fail)


LIMIT = "end the sessions beyond the limit"
NEW_DEVICE = "look for a new device"


class TestSignIns:
    @pytest.fixture(autouse=True)
    def _everything_is_on(self, settings: Any) -> None:
        settings.SESSIONS_PLUS_MAX_PER_USER = 1
        settings.SESSIONS_PLUS_NEW_DEVICE_EMAIL = True
        settings.SESSIONS_PLUS_DEVICES_URL = "https://example.com/devices/"

    @pytest.mark.parametrize("transport", ["cookie", "bearer", "jwt"])
    @pytest.mark.parametrize(
        ("refused", "what"),
        [
            (lambda sql: "COUNT(" in sql, LIMIT),
            (lambda sql: sql.startswith("UPDATE") and "end_reason" in sql, LIMIT),
            (lambda sql: "expires_at" in sql.partition("ORDER BY")[2], NEW_DEVICE),
        ],
        ids=["limit", "end", "device"],
    )
    def test_a_sign_in_succeeds_whatever_follows_it(
        self,
        transport: str,
        refused: Callable[[str], bool],
        what: str,
        ada: User,
        atomic: None,
        caplog: Any,
    ):
        ApiClient().sign_in()
        client = ApiClient()
        with refuse(refused):
            client.take(client.sign_in(transport=transport))
        assert failures(caplog) == [what]
        # Django would log each failure with a traceback.
        assert not [r for r in caplog.records if r.name == "django.dispatch"]
        assert client.send("get", "session").json()["user"] is not None
        assert Session.objects.active().count() == (1 if what == NEW_DEVICE else 2)

    def test_a_proxy_that_cannot_be_looked_for_keeps_nobody_out(
        self, ada: User, settings: Any, caplog: Any
    ):
        settings.SESSIONS_PLUS_TRUSTED_PROXIES = ["10.0.0.0/8"]
        client = Client(headers={"X-Forwarded-For": "192.0.2.1"})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(devices, "is_private_peer", broken)
            # Nobody looks who has found one.
            patch.setattr(proxies, "_logged", [])
            client.post("/sign-in", {"user": "ada"})
        assert client.get("/who").content == b"ada"
        assert failures(caplog) == ["look for a proxy that is not trusted"]

    def test_a_receiver_of_the_project_that_fails_keeps_nobody_out(self, ada: User):
        for signal in (session_started, new_device_signed_in):
            signal.connect(broken)
        try:
            for agent in ("curl/8.6.0", "Mozilla/5.0 Firefox/130.0"):
                client = Client(headers={"User-Agent": agent})
                client.force_login(ada)
                assert client.get("/who").content == b"ada"
        finally:
            for signal in (session_started, new_device_signed_in):
                signal.disconnect(broken)

    def test_what_a_refresh_renews_besides_is_left_to_the_next_one(
        self, ada: User, caplog: Any, settings: Any
    ):
        client = ApiClient()
        client.take(client.sign_in(transport="jwt"))
        before = stored()["session_data"]
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another key than before, as long as it has to be"

        def break_(run: Any, sql: str, *args: Any) -> Any:
            # The database itself refuses it, so that PostgreSQL gives up the transaction.
            is_update = sql.startswith("UPDATE")
            return run(sql.replace("session_data", "no_such_column") if is_update else sql, *args)

        with connection.execute_wrapper(break_):
            assert client.take(client.refresh()).status_code == 200
        assert failures(caplog) == ["renew the auth hash of a session"]
        assert stored()["session_data"] == before
        assert client.take(client.refresh()).status_code == 200
        assert stored()["session_data"] != before

    def test_a_session_that_cannot_be_ended_hides_no_defect_of_the_project(
        self, ada: User, caplog: Any, settings: Any
    ):
        def claims(user: Any, session: Any) -> Any:
            raise ValueError("a claim")

        settings.SESSIONS_PLUS_JWT_CLAIMS = claims
        with (
            refuse(lambda sql: sql.startswith("UPDATE") and "end_reason" in sql),
            pytest.raises(ValueError, match="a claim"),
        ):
            ApiClient().sign_in(transport="jwt")
        assert "end a session whose tokens could not be sent" in failures(caplog)


class TestChangedUsers:
    def test_a_new_password_is_saved_although_nobody_can_say_who_saved_it(
        self, ada: User, caplog: Any
    ):
        other = Client()
        other.force_login(ada)
        with pytest.MonkeyPatch.context() as patch, transaction.atomic():
            patch.setattr(sessions, "current", Unreadable)
            ada.set_password("another")
            ada.save()
        assert failures(caplog) == ["find the user of a session"]
        ada.refresh_from_db()
        assert ada.check_password("another")
        assert not Session.objects.active().exists()

    def test_a_notice_of_it_that_fails_undoes_nothing(self, ada: User, caplog: Any, settings: Any):
        settings.SESSIONS_PLUS_CREDENTIAL_EMAIL = "sometimes"
        ada.set_password("another")
        ada.save()
        assert failures(caplog) == ["report a changed credential"]


class Unreadable:
    """A session whose user cannot be read."""

    row = property(lambda self: self)

    @property
    def user(self) -> Any:
        raise OperationalError


def broken(*args: Any, **kwargs: Any) -> Any:
    raise OperationalError


ASKED = [
    ("post", "sign-out", {}),
    ("post", "sessions/revoke", {"scope": "others"}),
    ("post", "sessions/revoke", {"scope": "all"}),
    ("post", "reauthenticate", {"password": PASSWORD}),
    ("post", "sign-in", {"username": "ada", "password": PASSWORD}),
    ("delete", "sessions/{other}", None),
    ("delete", "sessions/{own}", None),
]
# Each request once, by each transport in turn; all of them together are for the thorough run.
REFUSED = [
    pytest.param(transport, *asked, marks=[] if first % 3 == second else [pytest.mark.thorough])
    for first, asked in enumerate(ASKED)
    for second, transport in enumerate(("cookie", "bearer", "jwt"))
]


class TestWhatWasAskedFor:
    @pytest.mark.parametrize(("transport", "method", "name", "body"), REFUSED)
    def test_it_is_refused_and_nothing_is_lost(
        self,
        transport: str,
        method: str,
        name: str,
        body: Any,
        ada: User,
        atomic: None,
        outage: Outage,
    ):
        other = ApiClient()
        other.sign_in()
        there = Session.objects.get().pk
        client = ApiClient()
        client.take(client.sign_in(transport=transport))
        own = Session.objects.exclude(pk=there).get().pk
        before = list(Session.objects.order_by("pk").values())
        with outage():
            answer = client.send(method, name.format(other=there, own=own), body)
        assert (answer.status_code, code(answer)) == (503, "unavailable")
        assert "sessionid" not in answer.cookies
        assert list(Session.objects.order_by("pk").values()) == before
        for each in (client, other):
            assert each.send("get", "session").json()["user"] is not None

    def test_a_refresh_is_refused_and_the_token_is_as_good_as_before(
        self, ada: User, outage: Outage
    ):
        client = ApiClient()
        client.take(client.sign_in(transport="jwt"))
        with outage():
            answer = client.refresh()
        assert (answer.status_code, code(answer)) == (503, "unavailable")
        assert client.refresh().status_code == 200

    def test_a_page_that_saves_fails_as_any_other(self, ada: User, outage: Outage):
        client = Client()
        client.force_login(ada)
        before = stored()
        with outage(), pytest.raises(Exception, match=r"lost|read-?\s?only|READ ONLY"):
            client.get("/count")
        assert stored() == before

    def test_a_visitor_who_cannot_sign_in_keeps_what_there_was(self, ada: User, outage: Outage):
        client = ApiClient()
        client.get("/count")
        token = client.cookies["sessionid"].value
        with outage():
            answer = client.sign_in()
        assert (answer.status_code, code(answer)) == (503, "unavailable")
        assert client.cookies["sessionid"].value == token
        assert client.get("/count").content == b"2"


class TestTheLog:
    def test_one_failure_of_each_kind_is_logged_in_a_minute(
        self, monkeypatch: pytest.MonkeyPatch, caplog: Any
    ):
        now = 100.0
        monkeypatch.setattr(bookkeeping, "monotonic", lambda: now)
        for seconds in (0, 59, 1, 30):
            now += seconds
            with bookkeeping.best_effort("count"):
                raise ValueError("secret")
            with bookkeeping.best_effort(f"count at {now}"):
                raise OperationalError("gone\nDETAIL: secret")
        assert [what for what in failures(caplog) if what == "count"] == ["count"] * 2
        assert len(failures(caplog)) == 6
        assert "secret" not in caplog.text

    def test_the_end_of_the_session_is_an_answer_and_no_failure(self):
        with pytest.raises(SessionInterrupted), bookkeeping.best_effort("save"):
            raise SessionInterrupted
