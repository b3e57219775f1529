"""The statements that are compiled once answer as the ORM does, and give way where they cannot."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.db import OperationalError, connection, models, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.backends.fastpath.placeholders import (
    PlaceholderRow,
    UnsupportedError,
    placeholder_for,
)
from django_sessions_plus.backends.fastpath.reading import Select
from django_sessions_plus.backends.fastpath.writing import Update
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.jwt.refresh import refresh
from django_sessions_plus.models import Session
from django_sessions_plus.querysets import active_at
from tests.backends.drivers import identity
from tests.conftest import Clock

pytestmark = pytest.mark.django_db

HISTORIES = 40
# Of these, in the quick run.
FEW = 15
STEPS = 40
AGENTS = ["Firefox", "Safari", None]


class History:
    """Random deeds of a few browsers, the same again for the same seed, and what came of each."""

    def __init__(self, seed: int, clock: Clock, people: list[User]) -> None:
        self.random = Random(seed)
        self.clock = clock
        self.people = people
        self.stores: list[SessionStore] = [self.open(None)]
        self.told: list[Any] = []

    def run(self) -> list[Any]:
        deeds: list[Callable[[SessionStore], Any]] = [
            *(self.read, self.write, self.forget, self.save, self.touch, self.person, self.expire),
            *(self.sign_in, self.sign_out, self.rotate, self.remember, self.revoke, self.wait),
            *(self.come_back, self.come_back, self.exists),
        ]
        for _ in range(STEPS):
            deed, store = self.random.choice(deeds), self.random.choice(self.stores)
            try:
                self.told.append((deed.__name__, deed(store)))
            except (UpdateError, KeyError) as exc:
                self.told.append((deed.__name__, type(exc).__name__))
        return [*self.told, sorted(map(str, Session.objects.values_list()))]

    def open(self, token: str | None) -> SessionStore:
        store = SessionStore(token)
        store.wants_user = self.random.random() < 0.7
        store.counts_as_activity = self.random.random() < 0.9
        store.meta = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": self.random.choice(AGENTS)}
        return store

    def come_back(self, store: SessionStore) -> Any:
        token = self.random.choice([store.session_key, store.session_key, "0" * 32])
        self.stores.append(self.open(token))
        return sorted(self.stores[-1].items())

    def read(self, store: SessionStore) -> Any:
        return sorted(store.items()), store.session_key, store.get_expiry_age()

    def write(self, store: SessionStore) -> Any:
        store[self.random.choice("abc")] = self.random.choice([1, "x" * 3000, None, ["é"]])

    def forget(self, store: SessionStore) -> Any:
        return store.pop(self.random.choice("abc"))

    def save(self, store: SessionStore) -> Any:
        store.save()
        return store.session_key, store.row and store.row.version, store.is_cookie_due

    def touch(self, store: SessionStore) -> Any:
        return store.touch()

    def person(self, store: SessionStore) -> Any:
        store.get("a")
        return store.row and store.row.user and store.row.user.get_username()

    def expire(self, store: SessionStore) -> Any:
        store.set_expiry(self.random.choice([None, 0, 60, 86_400]))

    def sign_in(self, store: SessionStore) -> Any:
        store.update(identity(self.random.choice(self.people)))
        store.mark_authenticated()
        store.save()

    def sign_out(self, store: SessionStore) -> Any:
        store.flush()

    def rotate(self, store: SessionStore) -> Any:
        store.cycle_key()
        return store.session_key

    def remember(self, store: SessionStore) -> Any:
        store.remember = self.random.random() < 0.5

    def revoke(self, store: SessionStore) -> Any:
        return sessions.revoke_all(self.random.choice(self.people))

    def wait(self, store: SessionStore) -> Any:
        self.clock.advance(minutes=self.random.choice([1, 6, 60, 60 * 24 * 3, 60 * 24 * 12]))

    def exists(self, store: SessionStore) -> Any:
        return store.exists(store.session_key)


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=[] if seed < FEW else [pytest.mark.thorough])
        for seed in range(HISTORIES)
    ],
)
def test_a_history_comes_out_the_same_by_either_path(seed, clock, monkeypatch, alice, bob):
    outcomes = []
    start = clock.moment
    for is_fast in (True, False):
        chance = Random(seed)
        monkeypatch.setattr(
            tokens,
            "make_token",
            lambda chance=chance: "".join(chance.choices(tokens.ALPHABET, k=32)),
        )
        numbers = iter(range(10_000))
        field: Any = Session._meta.pk
        monkeypatch.setattr(field, "default", lambda numbers=numbers: uuid.UUID(int=next(numbers)))
        field.__dict__.pop("_get_default", None)
        clock.moment = start
        Session.objects.all().delete()
        with override_settings(SESSIONS_PLUS_FAST_PATH=is_fast):
            outcomes.append(History(seed, clock, [alice, bob]).run())
    field.__dict__.pop("_get_default", None)
    assert outcomes[0] == outcomes[1]


def test_both_paths_are_really_taken():
    store = SessionStore()
    store["a"] = 1
    store.save()

    def names_of_compiled() -> set[str]:
        return {type(kept).__name__ for kept in compiled._statements.values() if kept is not None}

    with override_settings(SESSIONS_PLUS_FAST_PATH=False):
        again = SessionStore(store.session_key)
        again["a"] = 2
        again.save()
        assert names_of_compiled() == set()
    again = SessionStore(store.session_key)
    again["a"] = 3
    again.save()
    assert names_of_compiled() == {"Select", "Update"}


def test_the_statements_of_refresh_tokens_are_compiled_too(clock, alice):
    store = SessionStore()
    store.update(identity(alice))
    store.save()
    assert store.row is not None
    pair = refresh(sessions.issue_tokens(store.row).refresh)
    clock.advance(days=2)
    refresh(pair.refresh)
    names = {key[3].__name__ for key, kept in compiled._statements.items() if kept is not None}
    assert {"still_signed_in", "unrefreshed", "expiry_unmoved"} <= names


def test_what_has_no_placeholder_is_left_to_the_orm():
    row = PlaceholderRow(Session)
    assert row.user_id != row.version
    assert row.asked == {"user_id": row.user_id, "version": row.version}
    with pytest.raises(UnsupportedError):
        row.user_agent  # noqa: B018


@isolate_apps("tests.custom")
def test_a_field_nobody_knows_is_left_to_the_orm():
    class Odd(models.Field):
        pass

    with pytest.raises(UnsupportedError):
        placeholder_for(Odd())


@pytest.mark.usefixtures("_may_fail")
@pytest.mark.parametrize("error", [UnsupportedError, RuntimeError])
def test_what_does_not_compile_is_tried_once(error):
    asked = []

    def refuse() -> Any:
        asked.append(1)
        raise error

    assert [compiled.statement_for(("odd",), refuse) for _ in range(3)] == [None] * 3
    assert len(asked) == 1


@pytest.mark.parametrize("error", [OperationalError, ConfigurationError])
def test_what_may_pass_is_tried_again(error):
    """A server whose version has to be known and that does not answer, or a setting that is wrong now."""

    def fail() -> Any:
        raise error

    assert compiled.statement_for(("odd",), fail) is None
    assert not compiled._statements
    assert not compiled._failures


class Watch:
    """An execute wrapper that counts statements, and raises an error after each if it has one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.count = 0

    def __call__(self, execute: Any, *args: Any) -> Any:
        self.count += 1
        result = execute(*args)
        if self.error is not None:
            raise self.error
        return result


@pytest.mark.parametrize("error", [OperationalError(), RuntimeError()], ids=repr)
def test_what_is_raised_while_a_statement_runs_is_raised_and_the_statement_is_kept(error, alice):
    """As by the ORM. Another attempt could write twice, and a transaction that has failed takes none."""
    store = saved(alice)
    watch = Watch(error)
    with connection.execute_wrapper(watch), pytest.raises(type(error)):
        SessionStore(store.session_key).load()
    store["a"] = 2
    with pytest.raises(type(error)), transaction.atomic(), connection.execute_wrapper(watch):
        store.save()
    assert watch.count == 2
    assert None not in compiled._statements.values()
    assert SessionStore(store.session_key)["a"] == 1


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_transaction_cannot_go_on_after_a_write_that_failed(is_fast, alice, settings):
    settings.SESSIONS_PLUS_FAST_PATH = is_fast
    store = saved(alice)
    store["a"] = 2
    with transaction.atomic():
        with pytest.raises(OperationalError), connection.execute_wrapper(Watch(OperationalError())):
            store.save()
        assert connection.needs_rollback
        transaction.set_rollback(True)


def saved(user: User) -> SessionStore:
    store = SessionStore()
    store.update(identity(user))
    store["a"] = 1
    store.save()
    return store


def break_(statement: Any, what: str) -> None:
    def fail(*args: Any) -> Any:
        raise TypeError

    if what == "width":
        statement.width += 1
    elif what == "converter":
        statement.converters = [(0, fail, None)]
    else:
        statement.bind = fail


@pytest.mark.usefixtures("_may_fail")
@pytest.mark.parametrize("what", ["width", "converter", "bind"])
def test_a_statement_that_fails_later_is_given_up(what, alice, caplog):
    store = saved(alice)
    SessionStore(store.session_key).load()
    store["a"] = 2
    store.save()
    kind = Update if what == "bind" else Select
    for statement in compiled._statements.values():
        if isinstance(statement, kind):
            break_(statement, what)
    again = SessionStore(store.session_key)
    again["a"] += 1
    again.save()
    assert SessionStore(store.session_key)["a"] == 3
    assert not [one for one in compiled._statements.values() if isinstance(one, kind)]
    assert [record.event for record in caplog.records] == ["fast_path_failed"]


@pytest.mark.parametrize("what", ["converter", "bind"])
def test_a_statement_is_kept_where_the_orm_fails_too(what, alice, monkeypatch):
    store = saved(alice)
    SessionStore(store.session_key).load()
    store["a"] = 2
    store.save()
    for statement in compiled._statements.values():
        break_(statement, "bind" if isinstance(statement, Update) else "converter")

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(models.QuerySet, "update" if what == "bind" else "get", fail)
    store["a"] = 3
    with pytest.raises(ZeroDivisionError):
        store.save() if what == "bind" else SessionStore(store.session_key).load()
    assert None not in compiled._statements.values()
    assert not compiled._failures


def test_changed_settings_are_compiled_anew(settings):
    SessionStore("0" * 32).load()
    assert compiled._statements
    settings.TIME_ZONE = "Europe/Berlin"
    assert not compiled._statements


def active(row: Any, now: datetime) -> Any:
    return Session.objects.filter(active_at(now), pk=row.pk)


def write() -> bool:
    """Write to a row that is not there."""
    return compiled.write(Session(), {"name": "a"}, active, "default", timezone.now())


def test_lifetimes_of_many_tenants_leave_no_more_statements_than_are_of_use(settings):
    said: dict[str, Any] = {}
    settings.SESSIONS_PLUS_LIFETIMES = lambda: said
    for number in range(compiled.MAX_STATEMENTS + 10):
        said["bearer"] = {"absolute": timedelta(hours=1 + number)}
        write()
        assert len(compiled._statements) <= compiled.MAX_STATEMENTS
    assert None not in compiled._statements.values()


def test_lifetimes_that_change_while_a_statement_is_compiled_leave_it_to_the_orm(settings):
    """Of an age that is none of the setting's, nothing would tell which of its parameters is the limit."""
    hours = count(1)
    settings.SESSIONS_PLUS_LIFETIMES = lambda: {
        "bearer": {"absolute": timedelta(hours=next(hours))}
    }
    write()
    assert [*compiled._statements.values()] == [None]
    assert not compiled._failures


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="only there rows can be passed over")
def test_a_touch_passes_over_a_row_that_is_locked(clock):
    store = SessionStore()
    store["a"] = 1
    store.save()
    created = clock.moment
    clock.advance(minutes=6)
    holder = connection.copy()
    holder.set_autocommit(False)
    try:
        with holder.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {Session._meta.db_table} FOR UPDATE")
        with connection.cursor() as cursor:
            # Whoever waits has failed; a moment of the machine's is not waiting.
            cursor.execute("SET lock_timeout = '20s'")
        touch(store)
        assert Session.objects.get().last_seen_at == created
    finally:
        holder.rollback()
        holder.close()
        with connection.cursor() as cursor:
            # The connection is that of the tests to come.
            cursor.execute("RESET lock_timeout")
    touch(store)
    assert Session.objects.get().last_seen_at == clock.moment


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only there rows can be passed over")
@pytest.mark.parametrize("first", [True, False])
def test_only_who_asks_for_it_passes_over_a_row_that_is_locked(first, clock):
    store = SessionStore()
    store["a"] = 1
    store.save()
    for skip_locked in (first, not first):
        with CaptureQueriesContext(connection) as told:
            assert store.rows.update(
                store.row,
                {"last_seen_at": clock.moment},
                store.rows.still_active,
                skip_locked=skip_locked,
            )
        assert ("SKIP LOCKED" in told[0]["sql"]) is skip_locked


def touch(store: SessionStore) -> None:
    again = SessionStore(store.session_key)
    again.get("a")
    again.touch()
