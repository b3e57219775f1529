"""The entry point: find or write a row by a statement that was compiled before, or else by the ORM.

For a session, compiling the query each time costs more than running it. So Django's own compiler
compiles each query once, with placeholders for its values. The SQL runs by ``connection.cursor()``, so
that query counters, debug toolbars and execute wrappers see it.

The ORM does the work if ``SESSIONS_PLUS_FAST_PATH`` is False, for kinds of queries that are not known
here, and after anything unexpected: an error while compiling, or a result of another form. That is
logged once per process, and reported by check W042. Exceptions of the database, its driver or a wrapper
of its cursors are raised, as by the ORM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import Error, connections, models
from django.utils.connection import ConnectionDoesNotExist

from django_sessions_plus import events
from django_sessions_plus.backends.fastpath.placeholders import UnsupportedError
from django_sessions_plus.backends.fastpath.reading import Select
from django_sessions_plus.backends.fastpath.writing import Update
from django_sessions_plus.backends.use import Condition
from django_sessions_plus.conf import config, lifetimes
from django_sessions_plus.conf.changes import on_setting_change
from django_sessions_plus.events import logger
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.querysets import one_or_none

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

Lookup = Callable[[Any, str, bool], models.QuerySet[Any]]
"""Returns the query for the row with a value; takes the value, the database alias, and whether to join the user."""
Key = tuple[Any, ...]
Statement = TypeVar("Statement", Select, Update)

MAX_STATEMENTS = 1000
"""The most statements that a process keeps. Different timeouts, such as one per tenant, need different statements."""

# Errors with another cause than a change in Django: no connection to ask for the server's version, or a
# wrong setting. The ORM raises them too, and the next call compiles again.
_TEMPORARY_ERRORS = (Error, ConfigurationError, ConnectionDoesNotExist)

_statements: dict[Key, Any] = {}
_failures: list[str] = []


def find(
    field: Any,
    value: Any,
    lookup: Lookup,
    alias: str,
    with_user: bool = False,
    *,
    for_update: bool = False,
) -> Any:
    """Return the row that ``lookup(value, alias, with_user)`` finds by the value of ``field``, or None.

    With ``for_update``, which needs a transaction and no join, the row is locked if the database can do that.

    Raises:
        Error: the database raises it.
    """

    def by_orm() -> Any:
        rows = lookup(value, alias, with_user)
        return one_or_none(rows.select_for_update() if for_update else rows)

    key = (field, alias, with_user, getattr(lookup, "__func__", lookup), for_update)
    statement = statement_for(key, lambda: _select(field, lookup, alias, with_user, for_update))
    if statement is None:
        return by_orm()
    found = statement.fetch(value)
    if found is None:
        return None
    try:
        return statement.instance(found)
    except Exception as error:  # noqa: BLE001 - any change in Django or in the database
        row = by_orm()
        _use_orm_for(key, error)
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
    """Write ``columns`` to the row that ``condition(row, now)`` finds; return False if it finds none.

    With ``skip_locked``, a row that another transaction has locked counts as missing. That works on
    PostgreSQL only, and not if the ORM does the work. It is for touches: the other transaction is
    probably touching the same row, so there is no need to wait.

    Raises:
        Error: the database raises it.
    """
    model, names, ages = type(row), tuple(columns), _absolute_ages()
    key = (model, alias, names, getattr(condition, "__func__", condition), skip_locked, ages)

    def compile_() -> Update:
        statement = Update(model, names, condition, skip_locked=skip_locked)
        # A callable setting may have returned other timeouts while the statement was compiled.
        if _absolute_ages() != ages:
            raise UnsupportedError
        return statement

    statement = statement_for(key, compile_)
    if statement is None:
        return bool(condition(row, now).update(**columns))
    try:
        params = statement.bind(list(columns.values()), row, now)
    except Exception as error:  # noqa: BLE001 - as above
        is_written = bool(condition(row, now).update(**columns))
        _use_orm_for(key, error)
        return is_written
    return statement.run(params)


def statement_for(key: Key, compile_: Callable[[], Statement]) -> Statement | None:
    """Return the statement for ``key``, compiling it the first time; None if the ORM has to do the work."""
    if not config.FAST_PATH:
        return None
    try:
        statement: Statement | None = _statements[key]
    except KeyError:
        try:
            statement = compile_()
        except UnsupportedError:
            statement = None
        except _TEMPORARY_ERRORS:
            return None
        except Exception as error:  # noqa: BLE001 - any change in Django
            _use_orm_for(key, error)
            return None
        _remember(key, statement)
    return statement


def note_failure(error: Exception) -> None:
    """Log, once per process, that the fast path failed and the ORM does the work; the traceback at level DEBUG."""
    if not _failures:
        # Not the message, which may contain values of a row.
        name = type(error).__name__
        _failures.append(name)
        logger.debug("The fast path failed.", exc_info=error)
        events.FAST_PATH_FAILED.log(error=name)


def compilation_error(
    model: type[AbstractSession],
    alias: str,
    lookups: Iterable[tuple[Any, Lookup]],
    conditions: Iterable[tuple[Condition, bool]],
) -> Exception | None:
    """Compile the statements that use these lookups and conditions, without a query.

    Return the first error that makes requests use the ORM, or None. A lookup comes with its field, a
    condition with whether the write skips locked rows.
    """
    connection = connections[alias]
    if connection.vendor == "mysql" and connection.connection is None:
        # Compiling would connect to the server, to ask for its version.
        return None
    with_user = model.are_users_in(alias)
    compiling: list[Callable[[], object]] = [
        partial(_select, field, lookup, alias, with_user) for field, lookup in lookups
    ]
    compiling += [
        partial(Update, model, ["last_seen_at"], condition, skip_locked=skip_locked)
        for condition, skip_locked in conditions
    ]
    for compile_ in compiling:
        try:
            compile_()
        except (UnsupportedError, *_TEMPORARY_ERRORS):
            continue
        except Exception as error:  # noqa: BLE001 - as above
            return error
    return None


def _select(
    field: Any, lookup: Lookup, alias: str, with_user: bool, for_update: bool = False
) -> Select:
    return Select(field, lambda value: lookup(value, alias, with_user), for_update=for_update)


def _use_orm_for(key: Key, error: Exception) -> None:
    """Use the ORM for this statement from now on."""
    _remember(key, None)
    note_failure(error)


def _remember(key: Key, statement: Select | Update | None) -> None:
    if len(_statements) >= MAX_STATEMENTS:
        _statements.clear()
    _statements[key] = statement


def _absolute_ages() -> Key:
    return config.ABSOLUTE_AGE, *lifetimes.absolute_ages().items()


# Compiled statements depend on time zones, databases, user models and routers.
on_setting_change(_statements.clear)
