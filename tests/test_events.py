"""The log for machines: one table of events, held against the code, the page and what may be said."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import transaction
from django.test import Client, RequestFactory, override_settings

import django_sessions_plus
from django_sessions_plus import bookkeeping, events, privacy, sessions
from django_sessions_plus.accounts import failed_sign_ins, issuing, proxies
from django_sessions_plus.accounts.reauthentication import log_authentication
from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.backends.leasing.listening import REPORTED_AFTER, Listener
from django_sessions_plus.backends.leasing.memory import now
from django_sessions_plus.backends.leasing.publishing import Publisher
from django_sessions_plus.backends.leasing.redis_location import locate
from django_sessions_plus.backends.leasing.wire import new_token
from django_sessions_plus.events import Event
from django_sessions_plus.exceptions import InactiveSessionError
from django_sessions_plus.http.plain_http import log_plain_http
from django_sessions_plus.jwt.refresh import refresh
from django_sessions_plus.models import Session
from tests.backends.drivers import SyncSession, identity, sign_in
from tests.test_docs import code, table

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.urls")]

ALL = {event.name: event for event in vars(events).values() if isinstance(event, Event)}
HERE: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.33", "HTTP_USER_AGENT": "curl/8.6.0"}
ELSEWHERE = {"REMOTE_ADDR": "198.51.100.44", "HTTP_USER_AGENT": "Wget/1.21"}
PASSWORD = "wonderland"


@pytest.fixture(autouse=True)
def _everything_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="django_sessions_plus")


def logged(caplog: pytest.LogCaptureFixture, *names: str) -> list[dict[str, Any]]:
    """Return the fields of the events of these names, or of all, as a formatter for JSON finds them."""
    found = []
    for record in caplog.records:
        name = getattr(record, "event", None)
        if name is not None and (not names or name in names):
            found.append({field: vars(record)[field] for field in ("event", *ALL[name].fields)})
    return found


def fail_to_send(message: Any) -> int:
    raise OSError("down")


def import_session(user: User) -> str:
    """Have a session of another engine imported, and return its key."""
    key = "cook" * 8
    cache.set(f"django.contrib.sessions.cache{key}", identity(user))
    with override_settings(SESSIONS_PLUS_IMPORT_FROM=["cache"]):
        SyncSession(key).get("")
    return key


def fail_in_silence() -> None:
    """Have the fast path and a lease fail, which no answer shows."""
    compiled.note_failure(AttributeError("typed in the wrong field"))
    compiled._failures.clear()
    listener = Listener(Session, "default")
    listener.heard_at = listener._woken_at = now() - REPORTED_AFTER
    listener.report_if_long()
    if find_spec("redis"):
        publisher = Publisher(locate("redis://:typed@127.0.0.1:1"), "a channel")
        publisher.end(new_token(), ["d of a token"])
    else:
        events.LEASE_NOT_ANNOUNCED.log(error="")


@pytest.fixture
def story(alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """Have everything happen when asked to, and return the secrets there were."""
    settings.SESSIONS_PLUS_NEW_DEVICE_EMAIL = settings.SESSIONS_PLUS_CREDENTIAL_EMAIL = True
    settings.SESSIONS_PLUS_LAST_SEEN_INTERVAL = timedelta(0)
    settings.SESSIONS_PLUS_REFRESH_GRACE = timedelta(0)
    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", fail_to_send)

    monkeypatch.setattr(proxies, "_logged", [])

    def happen() -> set[str]:
        secrets = {
            PASSWORD,
            "alice@example.com",
            "curl",
            "Wget",
            "typed in the wrong field",
            "of a token",
        }
        stores = []
        for meta in (HERE, ELSEWHERE):
            store = SyncSession(None, meta)
            sign_in(store, alice)
            secrets |= {store.token, store.row.token_digest}
            stores.append(store)
        moved = SyncSession(stores[0].token, ELSEWHERE)
        moved.get("")
        moved.touch()
        moved.flush()
        pair = sessions.issue_tokens(stores[1].row)
        attempt = "0123456789abcdef" * 2
        for _ in range(2):
            # The first rotates, the second is a replay.
            again = refresh(pair.refresh, attempt=attempt)
            secrets |= {attempt, pair.access, pair.refresh, again.access, again.refresh}
        with pytest.raises(InactiveSessionError):
            refresh(pair.refresh)
        secrets.add(issuing.issue(alice, name="curl", actor=alice).tokens["token"])
        settings.DEBUG = False
        log_plain_http(RequestFactory().get("/"), stores[1].store)
        sessions.revoke_all(alice, actor=alice)
        authenticate(
            RequestFactory().get("/", **HERE),
            username="typed in the wrong field",
            password=PASSWORD,
        )
        with bookkeeping.best_effort("touch"):
            raise OSError("down")
        failed_sign_ins.log_refused_credential(RequestFactory().get("/", **HERE), "access_token")
        for event in (events.SIGNED_IN_AGAIN, events.REAUTHENTICATED):
            log_authentication(event, SimpleNamespace(row=stores[1].row, transport="cookie"))
        alice.set_password(PASSWORD)
        alice.save()
        proxies.warn_if_untrusted({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_REAL_IP": "198.51.100.44"})
        secrets.add(import_session(alice))
        assert list(privacy.records(alice))
        privacy.erase(alice)
        fail_in_silence()
        return secrets

    return happen


def test_every_event_is_on_the_page_with_its_level_and_fields():
    documented = {
        code(name)[0]: (level, tuple(code(fields)))
        for name, level, fields, _ in table("notices.md", "event", "level", "fields")
    }
    assert documented == {
        event.name: (logging.getLevelName(event.level), event.fields) for event in ALL.values()
    }


def test_every_event_is_logged_by_somebody():
    package = Path(django_sessions_plus.__file__).parent
    source = "".join(p.read_text() for p in package.rglob("*.py") if p.name != "events.py")
    constants = {name for name, value in vars(events).items() if isinstance(value, Event)}
    assert {name for name in constants if f"events.{name}" in source} == constants


def test_everything_that_happens_is_logged_with_the_fields_of_its_event(
    story: Callable[[], set[str]], caplog: pytest.LogCaptureFixture
):
    story()
    records = [record for record in caplog.records if hasattr(record, "event")]
    assert {record.event for record in records} == set(ALL)
    usual = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    for record in records:
        event = ALL[record.event]
        assert record.name == "django_sessions_plus"
        assert record.levelno == event.level
        fields = {name: value for name, value in vars(record).items() if name not in usual}
        assert set(fields) == {"event", *event.fields}
        for name, value in fields.items():
            assert value is None or isinstance(value, (str, int, float)), name
            assert value is None or not name.endswith("_id") or isinstance(value, str)
        json.dumps(fields)
        assert record.getMessage()


def test_nothing_secret_and_no_device_is_logged(
    story: Callable[[], set[str]], caplog: pytest.LogCaptureFixture
):
    secrets = story()
    said = "\n".join(str(vars(record)) for record in caplog.records if hasattr(record, "event"))
    assert [secret for secret in secrets if secret in said] == []
    # No row has the address of a sign-in that failed; for the others it is looked up.
    addresses = [record for record in logged(caplog) if "192.0.2" in str(record)]
    assert {record["event"] for record in addresses} == {"sign_in_failed", "credential_refused"}
    assert "198.51.100" not in said


def test_what_is_no_attempt_with_a_password_costs_no_query(
    caplog: pytest.LogCaptureFixture, django_assert_num_queries: Any, alice: User
):
    with django_assert_num_queries(0):
        authenticate(username="alice")
        authenticate(password="x")
    assert [record["user_id"] for record in logged(caplog)] == [None, None]


def test_what_stands_for_a_request_need_not_be_one(caplog: pytest.LogCaptureFixture, alice: User):
    authenticate(object(), username="alice", password="x")  # type: ignore[arg-type]
    (record,) = logged(caplog)
    assert (record["user_id"], record["ip_address"]) == (str(alice.pk), None)


@pytest.mark.parametrize(
    ("mode", "address"),
    [("full", "192.0.2.33"), ("truncated", "192.0.2.0"), ("off", None)],
)
def test_the_address_of_a_refused_sign_in_is_logged_as_far_as_it_may_be_recorded(
    caplog: pytest.LogCaptureFixture, settings: Any, mode: str, address: str | None
):
    settings.SESSIONS_PLUS_RECORD_IP = mode
    authenticate(RequestFactory().get("/", **HERE), username="nobody", password="x")
    assert logged(caplog) == [
        {
            "event": "sign_in_failed",
            "reason": "credentials",
            "user_id": None,
            "ip_address": address,
        }
    ]
    said = " ".join(str(vars(record)) for record in caplog.records)
    assert ("192.0.2.33" in said) is (mode == "full")


def test_whose_name_was_tried_is_said_by_id(alice: User, caplog: pytest.LogCaptureFixture):
    for name in ("alice", "nobody", PASSWORD, "a\x00b", "x" * 10_000):
        failed_sign_ins.log_failed_sign_in({"username": name, "password": "****"})
    failed_sign_ins.log_failed_sign_in({"token": "x"}, None)
    assert [each["user_id"] for each in logged(caplog)] == [str(alice.pk), *[None] * 5]


def test_the_sessions_that_end_together_are_logged_each(
    alice: User, bob: User, caplog: pytest.LogCaptureFixture
):
    keys = set()
    for _ in range(3):
        store = SyncSession(None, HERE)
        sign_in(store, alice)
        keys.add(str(store.row.pk))
    visit = SyncSession()
    visit.set("colour", "red")
    visit.save()
    caplog.clear()
    assert sessions.revoke_many(Session.objects.all(), reason="incident", actor=bob) == 4
    ends = logged(caplog, "session_ended")
    assert {each["session_id"] for each in ends} == keys
    assert {(each["reason"], each["actor_id"]) for each in ends} == {("incident", str(bob.pk))}


def test_nothing_is_logged_of_what_is_rolled_back(alice: User, caplog: pytest.LogCaptureFixture):
    with transaction.atomic():
        store = SyncSession(None, HERE)
        sign_in(store, alice)
        sessions.revoke_all(alice)
        transaction.set_rollback(True)
    assert logged(caplog) == []


def test_what_nobody_wants_costs_no_query(
    alice: User, statements: Any, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.CRITICAL, logger="django_sessions_plus")
    sign_in(SyncSession(None, HERE), alice)
    with statements() as executed:
        sessions.revoke_all(alice)
        failed_sign_ins.log_failed_sign_in({"username": "alice", "password": "****"})
    assert not [sql for sql in executed.reads if "auth_user" in sql]


def test_an_event_takes_its_fields_and_no_others():
    with pytest.raises(KeyError):
        events.SESSIONS_ERASED.log(user_id=1)
    with pytest.raises(AssertionError):
        events.SESSIONS_ERASED.log(user_id=1, count=1, token="x")


class TestApi:
    @pytest.fixture(autouse=True)
    def ada(self, settings):
        location = f"tests.events.{id(self)}"
        backend = "django.core.cache.backends.locmem.LocMemCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": location}}
        settings.SESSIONS_PLUS_RATES = {"sign_in": "2/h"}
        return User.objects.create_user("ada", password=PASSWORD)

    def sign_in(self, client, password):
        body = {"username": "ada", "password": password}
        return client.post("/auth/sign-in", body, content_type="application/json")

    def test_refusals_of_the_api_are_logged(self, ada, caplog):
        client = Client()
        for _ in range(3):
            self.sign_in(client, "wrong")
        found = [(each["reason"], each["user_id"]) for each in logged(caplog, "sign_in_failed")]
        assert found == [("credentials", str(ada.pk))] * 2 + [("throttled", None)]

    def test_a_user_who_is_not_let_in_is_logged_as_that(self, ada, caplog, settings):
        settings.AUTHENTICATION_BACKENDS = [
            "django.contrib.auth.backends.AllowAllUsersModelBackend"
        ]
        User.objects.update(is_active=False)
        self.sign_in(Client(), PASSWORD)
        (found,) = logged(caplog, "sign_in_failed")
        assert (found["reason"], found["user_id"]) == ("inactive", str(ada.pk))

    def test_a_password_that_was_asked_for_again_is_logged_too(self, ada, caplog, settings):
        settings.SESSIONS_PLUS_RATES = {"reauthenticate": "1/h"}
        client = Client()
        self.sign_in(client, PASSWORD)
        for _ in range(2):
            body = {"password": "wrong"}
            client.post("/auth/reauthenticate", body, content_type="application/json")
        found = [(each["reason"], each["user_id"]) for each in logged(caplog, "sign_in_failed")]
        assert found == [("credentials", str(ada.pk)), ("throttled", str(ada.pk))]
