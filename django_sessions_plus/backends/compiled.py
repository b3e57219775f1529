"""Statements compiled once: those that nearly every request runs.

What a session costs is less the database's time than building and compiling the
same query again and again. So Django's own compiler does it once for each shape,
for the very query the store would run, with marks where its values go; the SQL is
kept and run through ``connection.cursor()``. Every quirk of a backend stays
Django's, and query counters, debug toolbars and execute wrappers see these
statements like any other.

A query that does not compile to what is expected here (a session model whose fields
wrap their SQL, a user model made of several tables) is refused, once, and the store
goes on with the ORM. ``SESSIONS_PLUS_FAST_PATH = False`` refuses all.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.signals import setting_changed
from django.db import connections

from django_sessions_plus.backends.building import RefusedError
from django_sessions_plus.backends.marks import DIGEST_MARK, ID_MARK, NOW_MARK, MarkedRow, aware
from django_sessions_plus.backends.reading import Select
from django_sessions_plus.backends.writing import Update
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession
    from django_sessions_plus.querysets import SessionQuerySet

    Rows = SessionQuerySet[AbstractSession]
    Build = Callable[[AbstractSession, datetime], Rows]

Statement = TypeVar("Statement")

_kept: dict[tuple[Any, ...], Any] = {}


def select(
    model: type[AbstractSession], alias: str, with_user: bool, lookup: Callable[..., Rows]
) -> Select | None:
    """Return the kept statement of ``lookup(digest, alias, with_user)``; None if it was refused."""
    key = (model, alias, with_user)
    return keep(key, lambda: Select(lookup(DIGEST_MARK, alias, with_user)))


def select_by_id(
    model: type[AbstractSession], alias: str, with_user: bool, lookup: Callable[..., Rows]
) -> Select | None:
    """Return the kept statement of ``lookup(session_id, alias, with_user)``; None if it was refused."""

    def compile_() -> Select:
        mark = model._meta.pk.get_db_prep_value(ID_MARK, connections[alias])
        return Select(lookup(ID_MARK, alias, with_user), mark)

    return keep((model, alias, with_user, "id"), compile_)


def update(
    model: type[AbstractSession],
    alias: str,
    names: tuple[str, ...],
    build: Build,
    *,
    skip_locked: bool = False,
) -> Update | None:
    """Return the kept statement that writes ``names`` to what ``build(row, now)`` finds; None if refused.

    With ``skip_locked`` a row that somebody else holds locked counts as not there, on
    PostgreSQL. Who holds it is most likely doing the same, and nobody should queue for that.
    """

    def compile_() -> Update:
        marked: Any = MarkedRow(model)
        rows = build(marked, aware(NOW_MARK))
        is_able = connections[rows.db].vendor == "postgresql"
        return Update(rows, names, skip_locked=skip_locked and is_able)

    key = (model, alias, names, build.__name__, config.ABSOLUTE_AGE is None)
    return keep(key, compile_)


def keep(key: tuple[Any, ...], compile_: Callable[[], Statement]) -> Statement | None:
    """Return the statement kept under ``key``, compiled the first time; None if it was refused."""
    try:
        kept: Statement | None = _kept[key]
    except KeyError:
        try:
            kept = compile_()
        except RefusedError:
            kept = None
        _kept[key] = kept
    return kept


def _forget_all(**kwargs: Any) -> None:
    # Time zones, databases, user models and routers all end up in compiled statements.
    _kept.clear()


setting_changed.connect(_forget_all, dispatch_uid="django_sessions_plus.compiled")
