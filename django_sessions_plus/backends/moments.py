"""Moments into the database and out of it: the same that Django makes of them, in a fraction of the time.

A row has up to ten. What is not surely as Django has it is left to Django.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils.dateparse import parse_datetime

Convert = Callable[[Any, Any, Any], Any]

MOMENT = "timestamp with time zone"
"""What PostgreSQL calls the type of a moment."""

_UTC_OFFSET = "+00:00"
# To the second. Of a date alone the offset would be taken for a time.
_SHORTEST_TEXT = len("2000-01-01 00:00:00")


class NaiveMoments:
    """Moments in UTC that the driver returns without a time zone: the columns of one statement, in one sweep."""

    def __init__(self, connection: Any) -> None:
        self.convert: Convert | None = getattr(connection.ops, "convert_datetimefield_value", None)
        self.is_utc = settings.USE_TZ and connection.timezone is UTC
        self.is_text = False
        self.columns: list[tuple[int, Any]] = []

    def takes(self, position: int, convert: Convert, expression: Any) -> bool:
        """Tell whether this does what ``convert`` would with the column, which is then left to it."""
        is_taken = self.is_utc and convert == self.convert
        if is_taken:
            self.columns.append((position, expression))
        return is_taken

    def as_text(self, sql: str, selected: Sequence[str], connection: Any) -> str:
        """Return the statement with these columns as they are stored, where that is text: on SQLite.

        The driver would call Django's parser for each, and another call would then name the time
        zone. ``+`` before a column does nothing but hide from the driver of which type it is.
        """
        before = ", ".join(selected)
        is_plain = sql.removeprefix("SELECT ").startswith(f"{before} FROM ")
        self.is_text = connection.vendor == "sqlite" and is_plain
        if not self.is_text:
            return sql
        columns = list(selected)
        for position, _ in self.columns:
            columns[position] = f"+{columns[position]}"
        return sql.replace(before, ", ".join(columns), 1)

    def make_aware(self, values: list[Any], connection: Any) -> None:
        """Convert the columns in place, as Django's own converter does."""
        make = _from_text if self.is_text else _from_naive
        for position, expression in self.columns:
            value = values[position]
            if value is not None:
                values[position] = make(value) or self._by_django(value, expression, connection)

    def _by_django(self, value: Any, expression: Any, connection: Any) -> Any:
        if self.is_text:
            # As its converter for the driver does, to which numbers, too, are text.
            value = parse_datetime(str(value))
        return None if self.convert is None else self.convert(value, expression, connection)


def _from_text(value: Any) -> datetime | None:
    """Return the moment if it is written as Django writes it; else None."""
    if type(value) is not str or len(value) < _SHORTEST_TEXT:
        return None
    try:
        return datetime.fromisoformat(value + _UTC_OFFSET)
    except ValueError:
        return None


def _from_naive(value: Any) -> datetime | None:
    """Return the moment if it has no time zone yet; else None."""
    if type(value) is not datetime or value.tzinfo is not None:
        return None
    return datetime.combine(value, value.time(), UTC)


def prepared(value: datetime | None, connection: Any) -> Any:
    """Return a moment as the driver takes it."""
    if value is not None and value.tzinfo is UTC is connection.timezone:
        # Where there are no time zones Django converts it, from this one to the same one.
        if connection.vendor == "sqlite":
            return str(value).removesuffix(_UTC_OFFSET)
        value = value if connection.features.supports_timezones else value.replace(tzinfo=None)
    return connection.ops.adapt_datetimefield_value(value)


class DriversLoader:
    """The loader of moments that psycopg itself has, in place of Django's, for one statement.

    Django's is written in Python and does no more than name the connection's time zone in what
    psycopg's own returns; that is written in C where psycopg is.
    """

    def __init__(self, oid: int, loader: Any, positions: list[int]) -> None:
        self.oid = oid
        self.loader = loader
        self.positions = positions

    def register(self, cursor: Any) -> None:
        """Have one cursor of Django's use it; others do not notice."""
        # What wraps cursors to watch them may hide it. Then Django's loader does the work.
        adapters = getattr(cursor, "adapters", None)
        if adapters is not None:
            adapters.register_loader(self.oid, self.loader)

    def make_aware(self, values: list[Any], connection: Any) -> None:
        """Convert the columns in place to what Django's loader returns."""
        zone = connection.timezone
        for position in self.positions:
            value = values[position]
            if value is not None:
                # replace() takes seven times as long before Python 3.13.
                values[position] = datetime.combine(value, value.time(), zone)


def drivers_loader(types: Sequence[str | None], connection: Any) -> DriversLoader | None:
    """Return what loads the moments among columns of these types; None where Django's loader is to do it.

    Only psycopg in C has one worth it, and only Django's own loader is known to do no more.
    """
    others = {name for name in types if name and name != MOMENT}
    if connection.vendor != "postgresql" or any("timestamp" in n or "tstz" in n for n in others):
        # An array or a range of moments, too, is made of what the loader returns.
        return None
    driver = connection.Database
    if not hasattr(driver, "adapters"):
        # psycopg 2
        return None
    oid, text = driver.adapters.types["timestamptz"].oid, driver.pq.Format.TEXT
    loader = driver.adapters.get_loader(oid, text)
    with connection.cursor() as cursor:
        present = cursor.adapters.get_loader(oid, text)
    is_in_c = loader.__module__.startswith(("psycopg_c.", "psycopg_binary."))
    is_django = present.load.__module__ == "django.db.backends.postgresql.psycopg_any"
    if not (is_in_c and is_django):
        return None
    return DriversLoader(oid, loader, [at for at, name in enumerate(types) if name == MOMENT])
