"""The user's key that session data names, as the column ``user`` can hold it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth import SESSION_KEY
from django.core.exceptions import ValidationError
from django.db import connections, models, router

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession


def named_in(data: Mapping[str, Any], model: type[models.Model]) -> Any:
    """Return the key of the user the data names, in the type of the user's key; None if it names none.

    Data can hold anything under that name; what cannot be a key is nobody. ``model`` is that of the rows.
    """
    value = data.get(SESSION_KEY)
    if value is None:
        return None
    field: Any = model._meta.get_field("user")
    return from_data(value, field.target_field, connections[router.db_for_write(model)])


def is_user_of(row: AbstractSession, data: Mapping[str, Any]) -> bool:
    """Return whether the data names the user of ``row``."""
    # As Django writes it, mostly; what else may mean the same key has to be converted.
    key = row.user_id
    is_as_written = key is not None and data.get(SESSION_KEY) == str(key)
    return is_as_written or bool(named_in(data, type(row)) == key)


def from_data(value: Any, field: Any, connection: Any) -> Any:
    """Return ``value`` as a key of the type of ``field``, the primary key of users; None if it is none.

    By ``to_python()`` alone, as Django reads it. Validators are not run: they judge what somebody
    enters, and may have been added after the user signed in. None also for a key that the database
    behind ``connection`` cannot store.
    """
    # A model that inherits from another in tables of its own has a foreign key for a primary key.
    while hasattr(field, "target_field"):
        field = field.target_field
    try:
        key = field.to_python(value)
        field.get_db_prep_save(key, connection)
    except (ValidationError, ValueError, TypeError, ArithmeticError):
        return None
    return key if _fits(key, field, connection) else None


def _fits(key: Any, field: Any, connection: Any) -> bool:
    """Return whether the column has room for ``key``; a statement that tried would be an error."""
    if isinstance(field, models.IntegerField):
        least, most = connection.ops.integer_field_range(field.get_internal_type())
        return (least is None or least <= key) and (most is None or key <= most)
    if isinstance(key, str):
        return _is_storable_text(key, field.max_length, connection.vendor)
    return True


def _is_storable_text(text: str, max_length: int | None, vendor: str) -> bool:
    try:
        # A lone surrogate, which JSON can express, has no UTF-8 form.
        text.encode()
    except UnicodeEncodeError:
        return False
    if vendor == "sqlite":
        return True
    is_too_long = max_length is not None and len(text) > max_length
    return not is_too_long and not ("\0" in text and vendor == "postgresql")
