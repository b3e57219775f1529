"""Moments into the database and out of it: the same that Django makes of them, in a fraction of the time.

A row has up to ten. What is not surely as Django has it is left to Django.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

Convert = Callable[[Any, Any, Any], Any]

MOMENT = "timestamp with time zone"
"""What PostgreSQL calls the type of a moment."""


def quick_converter(convert: Convert, connection: Any) -> Convert | None:
    """Return what does the same as ``convert``, if that is Django's converter of moments in UTC; else None."""
    if convert != getattr(connection.ops, "convert_datetimefield_value", None):
        return None
    if not settings.USE_TZ or connection.timezone is not UTC:
        return None

    def aware(value: Any, expression: Any, connection: Any) -> Any:
        if type(value) is datetime and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return convert(value, expression, connection)

    return aware


def prepared(value: datetime | None, connection: Any) -> Any:
    """Return a moment as the driver takes it."""
    if value is not None and value.tzinfo is UTC is connection.timezone:
        # Where there are no time zones Django converts it, from this one to the same one.
        value = value if connection.features.supports_timezones else value.replace(tzinfo=None)
    return connection.ops.adapt_datetimefield_value(value)


class DriversLoader:
    """The loader of moments that psycopg itself has, in place of Django's, for one statement.

    Django's is written in Python and does no more than name the connection's time zone in what
    psycopg's own returns; that is written in C where psycopg is.
    """

    def __init__(self, oid: int, loader: Any) -> None:
        self.oid = oid
        self.loader = loader

    def register(self, cursor: Any) -> None:
        """Have one cursor of Django's use it; others do not notice."""
        # What wraps cursors to watch them may hide it. Then Django's loader does the work.
        adapters = getattr(cursor, "adapters", None)
        if adapters is not None:
            adapters.register_loader(self.oid, self.loader)

    @staticmethod
    def convert(value: Any, expression: Any, connection: Any) -> Any:
        """Return the moment as Django's loader does; a converter."""
        return None if value is None else value.replace(tzinfo=connection.timezone)


def drivers_loader(types: Iterable[str | None], connection: Any) -> DriversLoader | None:
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
    return DriversLoader(oid, loader) if is_in_c and is_django else None
