"""The format of a row's copy in a cache: its columns, its keys, and how long it may be used. No I/O."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db import connections
from django.db.models import NOT_PROVIDED
from django.utils.crypto import salted_hmac

from django_sessions_plus.backends.changes import DEFERRED
from django_sessions_plus.conf import config
from django_sessions_plus.conf.changes import on_setting_change

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

# Increase it when the format changes, so that old and new processes do not read each other's entries.
VERSION = 3
PREFIX = "django_sessions_plus"
# How many seconds an entry is used that says there is no row with a digest.
UNKNOWN_AGE = 5.0
# How many seconds the clocks of two hosts may differ; an entry from further in the future is not used.
CLOCK_SKEW = 5.0

_NO_CHANGE: Mapping[str, Any] = {}

Values = tuple[Any, ...]


class Generations(NamedTuple):
    """The random numbers that a valid entry has to contain; None for one that is not in the cache."""

    all_rows: int | None
    row: int | None


class Layout(NamedTuple):
    """The format of the copies of one model's rows in one database."""

    names: tuple[str, ...]
    """The names of the columns, in the order of their values."""
    entry_prefix: str
    generation_prefix: str
    is_known_before_insert: bool
    """Whether an inserted row has exactly the values of its instance: False if the database sets any column."""

    def entry_key(self, digest: str) -> str:
        """Return the key of the row's entry."""
        return self.entry_prefix + digest

    def generation_key(self, digest: str) -> str:
        """Return the key of the row's generation."""
        return self.generation_prefix + digest

    @property
    def all_rows_key(self) -> str:
        """The key of the generation of all rows."""
        return f"{self.generation_prefix}all"

    def values_of(self, row: AbstractSession, columns: Mapping[str, Any] = _NO_CHANGE) -> Values:
        """Return the values to store for a row after ``columns`` were written; nothing of its user."""
        return tuple([columns.get(name, getattr(row, name)) for name in self.names])


_layouts: dict[tuple[Any, str], Layout] = {}


def layout_of(model: type[AbstractSession], alias: str) -> Layout:
    """Return the layout for the rows of ``model`` in the database ``alias``."""
    try:
        return _layouts[model, alias]
    except KeyError:
        return _layouts.setdefault((model, alias), _make_layout(model, alias))


def entry_of(generations: Generations, read_at: float, digest: str, values: Values | None) -> Any:
    """Return the entry for a digest; ``values`` is None if no row has it."""
    return (tuple(generations), read_at, digest, values)


def is_valid(entry: Any, generations: Generations, digest: str) -> bool:
    """Return whether ``entry``, which may be anything from the cache, is well formed and may be used now."""
    if not isinstance(entry, tuple) or len(entry) != 4:
        return False
    # The digest too: a client that mixes up its responses must not return another user's session.
    if None in generations or entry[0] != generations or entry[2] != digest:
        return False
    age: float = time.time() - entry[1]
    return -CLOCK_SKEW <= age < _max_age_of(entry[3])


def seconds_left(values: Values | None, read_at: float) -> float:
    """Return how many more seconds values that were read at ``read_at`` may be used; zero or less if no longer."""
    return _max_age_of(values) - (time.time() - read_at)


def max_age() -> float:
    """Return the longest time, in seconds after it was read from the database, that any host uses an entry."""
    return config.CACHE_AGE.total_seconds() + CLOCK_SKEW


def generation_age() -> float:
    """Return how many seconds the cache stores the generation of a row."""
    # Longer than an entry, so that the next entry can use the same one; but not much longer, because
    # every made-up token gets a generation too.
    return max(2 * config.CACHE_AGE.total_seconds(), 1)


def _max_age_of(values: Values | None) -> float:
    longest = config.CACHE_AGE.total_seconds()
    return min(longest, UNKNOWN_AGE) if values is None else longest


def _make_layout(model: type[AbstractSession], alias: str) -> Layout:
    fields = [field for field in model._meta.concrete_fields if field.name not in DEFERRED]
    names = tuple(field.attname for field in fields)
    database = connections[alias].settings_dict
    place = [alias, *(str(database.get(name)) for name in ("ENGINE", "HOST", "PORT", "NAME"))]
    # All sites with the same cache share generations, so that each can invalidate for all. Entries
    # are separate for each version of the project, because two may run during a deployment, and for
    # each database, because a test site may have a copy of it.
    what = repr((VERSION, settings.USE_TZ, names, place))
    kind = salted_hmac(PREFIX, what, algorithm="sha256").hexdigest()[:16]
    prefix = f"{PREFIX}:{model._meta.label_lower}"
    return Layout(
        names=names,
        entry_prefix=f"{prefix}:entry:{kind}:",
        generation_prefix=f"{prefix}:generation:",
        is_known_before_insert=not any(map(_is_the_databases, fields)),
    )


def _is_the_databases(field: Any) -> bool:
    """Return whether the database sets the value of the field."""
    return field.generated or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


on_setting_change(_layouts.clear)
