"""What the fast path uses of Django may go, or become something else: then the ORM answers, and a log event says so."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models.expressions import Col, Subquery
from django.db.models.fields.related import ForeignKey
from django.db.models.sql import Query, UpdateQuery
from django.test import override_settings

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.fastpath import compiled, internals
from django_sessions_plus.backends.fastpath.users import find_user
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.models import Session
from tests.backends.drivers import identity
from tests.conftest import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_may_fail")]

OURS = internals.__name__

COMPILER = connection.ops.compiler("SQLCompiler")
UPDATE_COMPILER = connection.ops.compiler("SQLUpdateCompiler")

INTERNALS: list[tuple[type, str]] = [
    (Query, "get_compiler"),
    (Query, "chain"),
    (UpdateQuery, "add_update_values"),
    (COMPILER, "as_sql"),
    (UPDATE_COMPILER, "as_sql"),
    (COMPILER, "select"),
    (COMPILER, "get_converters"),
    (Col, "target"),
    (ForeignKey, "set_cached_value"),
]


class Changed:
    """An attribute that is as it was to everybody but the fast path."""

    def __init__(self, owner: type, name: str, change: Callable[[Any], Any]) -> None:
        self.inherited: Any = getattr(owner, name, None)
        self.name = name
        self.change = change

    def __get__(self, instance: Any, owner: type) -> Any:
        found = vars(instance).get(self.name, self.inherited)
        if found is self.inherited and callable(found):
            found = found.__get__(instance, owner)
        caller: FrameType = sys._getframe(1)
        return self.change(found) if caller.f_globals["__name__"] == OURS else found

    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)[self.name] = value


def removed(found: Any) -> Any:
    raise AttributeError("removed")


def property_(found: Any) -> Any:
    return found() if callable(found) else (lambda: found)


def returning(value: Any) -> Callable[[Any], Any]:
    """Return the change of a method to one that returns ``value``, or of an attribute to that."""

    def change(found: Any) -> Any:
        return (lambda *args, **kwargs: value) if callable(found) else value

    return change


AT_RUN_TIME = {
    *(("set_cached_value", change) for change in ("removed", "a property")),
    ("get_converters", "nothing"),
}
CHANGES = {
    "removed": removed,
    "a property": property_,
    "None": returning(None),
    "a number": returning(7),
    "a list": returning([(1, 2)]),
    "a text": returning("other"),
    "a dictionary": returning({0: (1, 2)}),
    "nothing": returning({}),
}


@pytest.fixture
def token(alice: User, clock: Clock) -> str:
    with override_settings(SESSIONS_PLUS_FAST_PATH=False):
        store = SessionStore()
        store.update(identity(alice))
        store.save()
    assert store.session_key is not None
    return store.session_key


def use(token: str, clock: Clock) -> tuple[Any, ...]:
    """Read a session with its user, write to it, record its use, and find its user once more."""
    clock.advance(minutes=6)
    store = SessionStore(token)
    store.wants_user = True
    store["n"] = store.get("n", 0) + 1
    row = store.row
    assert row is not None
    store.touch()
    store.save()
    again = Session.objects.get()
    find_user(again)
    return row.user, again.user, again.get_decoded()["n"], again.last_seen_at == clock.moment


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("owner", "name"), INTERNALS, ids=[f"{o.__name__}.{n}" for o, n in INTERNALS]
)
def test_the_orm_answers_whatever_has_changed(
    owner: type,
    name: str,
    change: str,
    token: str,
    alice: User,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(owner, name, Changed(owner, name, CHANGES[change]), raising=False)
    with transaction.atomic():
        done = [use(token, clock) for _ in range(3)]
        assert not connection.needs_rollback
    assert done == [(alice, alice, n, True) for n in (1, 2, 3)]
    events = [record for record in caplog.records if hasattr(record, "event")]
    if not is_harmless(name, change):
        assert [(event.event, event.levelno) for event in events] == [
            ("fast_path_failed", logging.WARNING)
        ]
        # What is only noticed when there is a row cannot be checked.
        assert (Rows(Session).compilation_error() is not None) or (name, change) in AT_RUN_TIME


def is_harmless(name: str, change: str) -> bool:
    """Tell whether nothing is wrong with what the statement does."""
    if name == "set_cached_value":
        # One that sets nothing leaves the user to be found by the ORM.
        return change not in {"removed", "a property"}
    # PostgreSQL's driver returns everything as Django has it.
    return name == "get_converters" and change == "nothing" and connection.vendor == "postgresql"


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only there rows can be passed over")
def test_the_orm_answers_where_a_subquery_has_another_template(
    token: str, alice: User, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    real = Subquery.as_sql

    def as_sql(self: Any, *args: Any, **kwargs: Any) -> Any:
        return real(self, *args, **{**kwargs, "template": "(%(subquery)s)"})

    monkeypatch.setattr(Subquery, "as_sql", as_sql)
    assert use(token, clock) == (alice, alice, 1, True)
    assert compiled._failures == ["UnexpectedError"]


def test_what_is_used_is_noted():
    text = inspect.getsource(internals).partition('"""')[2].partition('"""')[0]
    assert "Private names of Django 5.2 to 6.1" in text
    assert [name for _, name in INTERNALS if name not in text] == []
    assert all(name in text for name in ("UpdateQuery", "template"))
