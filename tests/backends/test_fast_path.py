"""The statements that are compiled once answer as the ORM does, and give way where they cannot."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection, models
from django.test import override_settings
from django.test.utils import isolate_apps

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends import building, compiled, marks
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.jwt.refresh import refresh
from django_sessions_plus.models import Session
from tests.backends.drivers import identity
from tests.conftest import Clock

pytestmark = pytest.mark.django_db

HISTORIES = 40
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
        store.bind({"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": self.random.choice(AGENTS)})
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


@pytest.mark.parametrize("seed", range(HISTORIES))
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


def test_both_paths_are_really_taken(monkeypatch, statements):
    store = SessionStore()
    store["a"] = 1
    store.save()

    def names_of_compiled() -> set[str]:
        return {type(kept).__name__ for kept in compiled._kept.values() if kept is not None}

    compiled._kept.clear()
    with override_settings(SESSIONS_PLUS_FAST_PATH=False):
        again = SessionStore(store.session_key)
        again["a"] = 2
        again.save()
        assert names_of_compiled() == set()
    again = SessionStore(store.session_key)
    again["a"] = 3
    again.save()
    assert names_of_compiled() == {"Select", "Update"}
    with statements() as executed:
        SessionStore(store.session_key).get("a")
    assert " AS " not in executed[0]


def test_the_statements_of_refresh_tokens_are_compiled_too(clock, alice):
    compiled._kept.clear()
    store = SessionStore()
    store.update(identity(alice))
    store.save()
    assert store.row is not None
    pair = refresh(sessions.issue_tokens(store.row).refresh)
    clock.advance(days=2)
    refresh(pair.refresh)
    names = {key[3] for key, kept in compiled._kept.items() if kept is not None and len(key) > 3}
    assert {"_signed_in", "_unrefreshed", "_unmoved"} <= names


def test_what_has_no_mark_is_left_to_the_orm():
    row = marks.MarkedRow(Session)
    assert row.user_id != row.version
    with pytest.raises(building.RefusedError):
        row.user_agent  # noqa: B018


@isolate_apps("tests.custom")
def test_a_field_nobody_knows_is_left_to_the_orm():
    class Odd(models.Field):
        pass

    with pytest.raises(building.RefusedError):
        marks.mark_of(Odd())


def test_what_is_refused_is_refused_once():
    asked = []

    def refuse() -> Any:
        asked.append(1)
        raise building.RefusedError

    with suppress(KeyError):
        del compiled._kept["odd"]
    assert [compiled.keep(("odd",), refuse) for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    compiled._kept.clear()


def test_changed_settings_are_compiled_anew(settings):
    SessionStore("0" * 32).load()
    assert compiled._kept
    settings.TIME_ZONE = "Europe/Berlin"
    assert not compiled._kept


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


def touch(store: SessionStore) -> None:
    again = SessionStore(store.session_key)
    again.get("a")
    again.touch()
