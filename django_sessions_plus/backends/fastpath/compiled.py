"""The way in: a row found or written by a statement that was compiled before, or else by the ORM.

What a session costs is less the database's time than building and compiling the same query
again and again. So Django's own compiler does that once for each query, with placeholders for
its values, and the SQL is run through ``connection.cursor()``: query counters, debug toolbars and
execute wrappers see these statements like any other.

The ORM takes over where ``SESSIONS_PLUS_FAST_PATH`` is off, for queries of a kind that is not known
here, and after anything unexpected: an error while compiling, or a result of another form. That is
logged once per process, and check W042 finds it. What the database, its driver or a wrapper of its
cursors raises while a statement runs is raised, as by the ORM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import Error, connections, models, router
from django.utils.connection import ConnectionDoesNotExist

from django_sessions_plus import events
from django_sessions_plus.backends.fastpath.placeholders import RefusedError
from django_sessions_plus.backends.fastpath.reading import Select
from django_sessions_plus.backends.fastpath.writing import Condition, Update
from django_sessions_plus.conf import config, lifetimes
from django_sessions_plus.conf.changes import on_setting_change
from django_sessions_plus.events import logger
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.querysets import active_at, one_or_none

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

Lookup = Callable[[Any, str, bool], models.QuerySet[Any]]
"""Returns the query for the row that bears a value, in the database of this alias, with or without its user."""
Key = tuple[Any, ...]
Statement = TypeVar("Statement", Select, Update)

KEPT_AT_MOST = 1000
"""How many statements a process keeps: lifetimes that a callable gives for each tenant have statements of their own."""

# A server that did not answer when it had to be asked for its version, and a setting that is wrong now:
# the ORM will say so, and there is a next time.
_NOT_DJANGOS = (Error, ConfigurationError, ConnectionDoesNotExist)

_kept: dict[Key, Any] = {}
_failures: list[str] = []


def find(field: Any, value: Any, lookup: Lookup, alias: str, with_user: bool = False) -> Any:
    """Return the row that ``lookup(value, alias, with_user)`` finds by the value of ``field``, or None.

    Raises:
        Error: the database does.
    """
    key = (field, alias, with_user, getattr(lookup, "__func__", lookup))
    statement = kept(key, lambda: Select(field, lambda value: lookup(value, alias, with_user)))
    if statement is None:
        return one_or_none(lookup(value, alias, with_user))
    found = statement.fetch(value)
    if found is None:
        return None
    try:
        return statement.instance(found)
    except Exception as error:  # noqa: BLE001 - whatever has changed in Django, or in the database
        row = one_or_none(lookup(value, alias, with_user))
        _give_up(key, error)
        return row


def write(
    row: AbstractSession,
    columns: Mapping[str, Any],
    condition: Condition,
    alias: str,
    now: datetime,
    *,
    skip_locked: bool = False,
) -> bool:
    """Write ``columns`` to the row that ``condition(row, now)`` finds; False if it finds none.

    With ``skip_locked`` a row that another transaction has locked counts as not there, on
    PostgreSQL and as long as the statement compiles. Who holds it is most likely doing the same,
    and nobody should wait for that.

    Raises:
        Error: the database does.
    """
    model, names, ages = type(row), tuple(columns), _absolute_ages()
    key = (model, alias, names, getattr(condition, "__func__", condition), skip_locked, ages)

    def compile_() -> Update:
        statement = Update(model, names, condition, skip_locked=skip_locked)
        # A callable may have given others meanwhile, which the statement would then be wrong for.
        if _absolute_ages() != ages:
            raise RefusedError
        return statement

    statement = kept(key, compile_)
    if statement is None:
        return bool(condition(row, now).update(**columns))
    try:
        params = statement.bind(list(columns.values()), row, now)
    except Exception as error:  # noqa: BLE001 - as above
        is_written = bool(condition(row, now).update(**columns))
        _give_up(key, error)
        return is_written
    return statement.run(params)


def kept(key: Key, compile_: Callable[[], Statement]) -> Statement | None:
    """Return the statement kept under ``key``, compiled the first time; None if the ORM has to do it."""
    if not config.FAST_PATH:
        return None
    try:
        statement: Statement | None = _kept[key]
    except KeyError:
        try:
            statement = compile_()
        except RefusedError:
            statement = None
        except _NOT_DJANGOS:
            return None
        except Exception as error:  # noqa: BLE001 - whatever has changed in Django
            _give_up(key, error)
            return None
        _keep(key, statement)
    return statement


def note_failure(error: Exception) -> None:
    """Log, once per process, that the ORM has to do what the fast path failed to; the traceback only at level DEBUG."""
    if not _failures:
        # What it says may name values of a row.
        name = type(error).__name__
        _failures.append(name)
        logger.debug("The fast path failed.", exc_info=error)
        events.FAST_PATH_FAILED.log(error=name)


def trial(model: type[AbstractSession]) -> Exception | None:
    """Compile what requests run on ``model`` and return the error that makes them use the ORM. Makes no query."""
    alias = router.db_for_write(model)
    connection = connections[alias]
    if connection.vendor == "mysql" and connection.connection is None:
        # Compiling would connect, to ask for the server's version.
        return None

    def lookup(digest: Any) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = models.QuerySet(model, using=alias)
        return rows.select_related("user").filter(token_digest=digest)

    def condition(row: Any, now: datetime) -> models.QuerySet[Any]:
        return models.QuerySet(model, using=alias).filter(active_at(now), pk=row.pk)

    for compile_ in (
        lambda: Select(model._meta.get_field("token_digest"), lookup),
        lambda: Update(model, ["last_seen_at"], condition, skip_locked=True),
    ):
        try:
            compile_()
        except (RefusedError, *_NOT_DJANGOS):
            continue
        except Exception as error:  # noqa: BLE001 - as above
            return error
    return None


def _give_up(key: Key, error: Exception) -> None:
    """Leave the statement to the ORM from now on."""
    _keep(key, None)
    note_failure(error)


def _keep(key: Key, statement: Select | Update | None) -> None:
    if len(_kept) >= KEPT_AT_MOST:
        _kept.clear()
    _kept[key] = statement


def _absolute_ages() -> Key:
    return config.ABSOLUTE_AGE, *lifetimes.absolute_ages().items()


# Time zones, databases, user models and routers all end up in compiled statements.
on_setting_change(_kept.clear)
