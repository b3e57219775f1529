"""How a row is kept in a cache: its columns, its keys, and for how long it may be served. No I/O."""

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

# To be raised when entries look different, so that old and new processes do not read each other's.
VERSION = 3
PREFIX = "django_sessions_plus"
# For how many seconds the cache may say that there is no row with a digest.
UNKNOWN_AGE = 5.0
# By how many seconds the clocks of two hosts may differ before an entry from the future is refused.
CLOCK_SKEW = 5.0

_NO_CHANGE: Mapping[str, Any] = {}

Values = tuple[Any, ...]


class Generations(NamedTuple):
    """The numbers in the cache that an entry has to bear to be valid; None for one that is not there."""

    all_rows: int | None
    row: int | None


class Layout(NamedTuple):
    """How the rows of one model in one database are kept."""

    names: tuple[str, ...]
    """The columns, in the order of their values."""
    entry_prefix: str
    generation_prefix: str
    is_known_before_insert: bool
    """Whether a row that was just inserted has the values that were written, and none of the database's own."""

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
        """Return what is kept of a row with ``columns`` changed: its own columns, and nothing of its user."""
        return tuple([columns.get(name, getattr(row, name)) for name in self.names])


_layouts: dict[tuple[Any, str], Layout] = {}


def layout_of(model: type[AbstractSession], alias: str) -> Layout:
    """Return how the rows of ``model`` in the database ``alias`` are kept."""
    try:
        return _layouts[model, alias]
    except KeyError:
        return _layouts.setdefault((model, alias), _made(model, alias))


def entry_of(generations: Generations, read_at: float, digest: str, values: Values | None) -> Any:
    """Return the entry for a digest; ``values`` is None if there is no row with it."""
    return (tuple(generations), read_at, digest, values)


def is_valid(entry: Any, generations: Generations, digest: str) -> bool:
    """Return whether what the cache has under an entry's key may be served now."""
    if not isinstance(entry, tuple) or len(entry) != 4:
        return False
    # The digest, too: a connection that mixes up its answers must not mix up people.
    if None in generations or entry[0] != generations or entry[2] != digest:
        return False
    age: float = time.time() - entry[1]
    return -CLOCK_SKEW <= age < _max_age_of(entry[3])


def seconds_left(values: Values | None, read_at: float) -> float:
    """Return for how much longer what the database said at ``read_at`` may be served; zero or less if no longer."""
    return _max_age_of(values) - (time.time() - read_at)


def max_age() -> float:
    """Return how many seconds after it was read from the database an entry may be served by any host, at the most."""
    return config.CACHE_AGE.total_seconds() + CLOCK_SKEW


def generation_age() -> float:
    """Return for how many seconds a row's generation is kept."""
    # It outlives an entry, so that the next one does not need another; but not by more, because
    # every token that somebody makes up gets one.
    return max(2 * config.CACHE_AGE.total_seconds(), 1)


def _max_age_of(values: Values | None) -> float:
    longest = config.CACHE_AGE.total_seconds()
    return min(longest, UNKNOWN_AGE) if values is None else longest


def _made(model: type[AbstractSession], alias: str) -> Layout:
    fields = [field for field in model._meta.concrete_fields if field.name not in DEFERRED]
    names = tuple(field.attname for field in fields)
    database = connections[alias].settings_dict
    place = [alias, *(str(database.get(name)) for name in ("ENGINE", "HOST", "PORT", "NAME"))]
    # All sites that share a cache share generations, so that an invalidation reaches all of them.
    # Entries are shared with no other version of the project while both are running, no other
    # database, and no copy of this one that another site was given.
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
    """Return whether the database decides what is in the field."""
    return field.generated or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


on_setting_change(_layouts.clear)
