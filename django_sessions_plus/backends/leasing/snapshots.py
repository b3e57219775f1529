"""What is kept of a row and its user: the values of their columns, of which each request gets instances of its own.

Shared instances would leak what one request sets to them into the requests of other people. Of the session's data, only
the keys that say who is signed in are kept; with ``SESSIONS_PLUS_LEASE_DATA`` all of it, as text, which each request
decodes for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models

from django_sessions_plus.backends.changes import EXPIRY_KEY
from django_sessions_plus.backends.fastpath.internals import instance_of, set_related
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

IDENTITY_KEYS = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY, EXPIRY_KEY)
"""The keys of the session's data that say who is signed in and until when."""

LONGEST_DATA = 16 * 1024
"""How many characters of a session's data are kept; longer data is read from the database when it is used."""

_UNCHANGEABLE = (
    *(str, bytes, int, float, bool, type(None), Decimal, UUID),
    *(datetime, date, time, timedelta),
)

_PLAIN_KEYS = (
    *("AutoField", "BigAutoField", "SmallAutoField", "IntegerField", "BigIntegerField"),
    *("SmallIntegerField", "PositiveIntegerField", "PositiveBigIntegerField"),
    *("PositiveSmallIntegerField", "UUIDField", "CharField", "SlugField", "TextField"),
)


@dataclass(frozen=True)
class Columns:
    """The columns of one model instance that were loaded."""

    model: Any
    names: tuple[str, ...]
    values: tuple[Any, ...] = field(repr=False)
    is_changeable: bool
    """Whether a value, such as that of a ``JSONField``, can be changed in place, so that each instance needs a copy."""

    @classmethod
    def of(cls, instance: Any, *, without: Sequence[str] = ()) -> Columns:
        """Return those of an instance that nobody has changed since it was loaded."""
        loaded = vars(instance)
        fields = instance._meta.concrete_fields
        names = tuple(
            field.attname
            for field in fields
            if field.attname in loaded and field.attname not in without
        )
        values = tuple(loaded[name] for name in names)
        # Not isinstance(): an instance of a subclass may have attributes.
        is_changeable = not all(type(value) in _UNCHANGEABLE for value in values)
        return cls(
            type(instance), names, deepcopy(values) if is_changeable else values, is_changeable
        )

    def instance(self, alias: str) -> Any:
        """Return a new instance with these columns, as if it had just been loaded from the database ``alias``."""
        values = deepcopy(self.values) if self.is_changeable else self.values
        return instance_of(self.model, self.names, values, alias)


@dataclass(frozen=True)
class Snapshot:
    """A row, its user, and who is signed in to it, as they were when the database was read."""

    session_id: UUID
    digest: str = field(repr=False)
    user_key: str | None
    """The primary key of the user as text; None if nobody is signed in, or the user is not kept."""
    identity: Mapping[str, Any] = field(repr=False)
    """Those of ``IDENTITY_KEYS`` that the session's data has. All requests share it, so nobody can change it."""
    alias: str
    read_at: float
    """On the clock of the memory."""
    row: Columns
    user: Columns | None

    def instance(self) -> AbstractSession:
        """Return a row of its own for a request, with its user; without the session's data, unless that is kept."""
        row: AbstractSession = self.row.instance(self.alias)
        if self.user is not None:
            set_related(row, row._meta.get_field("user"), self.user.instance(self.alias))
        return row


def snapshot_of(
    row: AbstractSession, data: Mapping[str, Any], read_at: float, *, with_user: bool = True
) -> Snapshot | None:
    """Return the snapshot of a row that was just read; None if it cannot be served from memory.

    It has the user, unless ``with_user`` is False: then each request reads the user and checks the auth hash.
    """
    user = row._state.fields_cache.get("user") if with_user else None
    model: Any = type(row)
    if not row.is_active() or not is_plain(model) or row._state.db is None:
        return None
    is_user_needed = with_user and row.user_id is not None
    if is_user_needed and (user is None or not _is_plain_and_active(user)):
        return None
    identity = {key: data[key] for key in IDENTITY_KEYS if key in data}
    if not all(isinstance(value, _UNCHANGEABLE) for value in identity.values()):
        return None
    # Django allows for user models without one.
    present = getattr(user, "get_session_auth_hash", str)()
    if user is not None and identity.get(HASH_SESSION_KEY) != present:
        # It is one of an earlier SECRET_KEY, or the session has to end: Django decides that.
        return None
    try:
        columns = Columns.of(row, without=() if _is_data_kept(row) else ("session_data",))
        of_user = None if user is None else Columns.of(user)
    except Exception:  # noqa: BLE001 - what copying a value raises that another package's field returns
        return None
    return Snapshot(
        session_id=row.pk,
        digest=row.token_digest,
        # Not the row's: where case makes no difference to the database, it may differ from what is announced.
        user_key=None if user is None else str(user.pk),
        identity=MappingProxyType(identity),
        alias=row._state.db,
        read_at=read_at,
        row=columns,
        user=of_user,
    )


def _is_data_kept(row: AbstractSession) -> bool:
    return config.LEASE_DATA and len(row.session_data) <= LONGEST_DATA


def _is_plain_and_active(user: Any) -> bool:
    model: Any = type(user)
    return is_plain_user(model) and bool(user.is_active)


@lru_cache(maxsize=64)
def is_plain(model: Any) -> bool:
    """Return whether instances are made from columns as Django makes them: ``from_db()`` is Django's own."""
    return getattr(model.from_db, "__func__", None) is models.Model.from_db.__func__  # type: ignore[attr-defined]


@lru_cache(maxsize=64)
def is_plain_user(model: Any) -> bool:
    """Return whether the columns of a user decide alone whether a session is valid, by Django's own methods."""
    django: Any = AbstractBaseUser
    names = {field.attname for field in model._meta.concrete_fields}
    return (
        is_plain(model)
        and _is_key_announced(model._meta.pk)
        and issubclass(model, django)
        and model.get_session_auth_hash is django.get_session_auth_hash
        and ("is_active" in names or model.is_active is True)
    )


def _is_key_announced(key: Any) -> bool:
    """Return whether ``str()`` of a key is the text that PostgreSQL has for it, by which a trigger announces a user."""
    while key.remote_field is not None:
        key = key.target_field
    return key.get_internal_type() in _PLAIN_KEYS and not hasattr(key, "from_db_value")
