"""Read the user of a session from its data or its row: primary key, instance and auth hash. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth import SESSION_KEY
from django.core.exceptions import ValidationError
from django.db import connections, models, router
from django.utils.crypto import constant_time_compare

from django_sessions_plus.backends.use import Use

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession


def named_in(data: Mapping[str, Any], model: type[models.Model]) -> Any:
    """Return the primary key of the user in ``data``, in the type of the column; None if there is no user.

    The data may contain any value there; None too if it cannot be a primary key. ``model`` is the model of the rows.
    """
    value = data.get(SESSION_KEY)
    if value is None:
        return None
    field: Any = model._meta.get_field("user")
    return from_data(value, field.target_field, connections[router.db_for_write(model)])


def is_user_of(row: AbstractSession, data: Mapping[str, Any]) -> bool:
    """Return whether the user in the data is the user of ``row``."""
    # Django stores the key as text, so that nearly always no conversion is necessary.
    key = row.user_id
    is_as_written = key is not None and data.get(SESSION_KEY) == str(key)
    return is_as_written or bool(named_in(data, type(row)) == key)


def known_user(row: AbstractSession, use: Use) -> Any:
    """Return the user of ``row``; None where that would take a query."""
    is_in_use = getattr(use.user, "pk", None) == row.user_id
    return use.user if is_in_use else row._state.fields_cache.get("user")


def is_of_earlier_key(user: Any, auth_hash: Any) -> bool:
    """Return whether ``auth_hash`` is that of the user's password under an earlier ``SECRET_KEY``."""
    fallbacks = user.get_session_auth_fallback_hash()
    return any(constant_time_compare(auth_hash, each) for each in fallbacks)


def from_data(value: Any, field: Any, connection: Any) -> Any:
    """Return ``value`` in the type of ``field``, the primary key of users; None if it cannot be one.

    Converted by ``to_python()``, as Django does. Validators are not run: they are for user input, and
    may have been added after the user signed in. None too if the database of ``connection``
    cannot store the key.
    """
    # With multi-table inheritance, the primary key of a model is a foreign key to its parent.
    while hasattr(field, "target_field"):
        field = field.target_field
    try:
        key = field.to_python(value)
        field.get_db_prep_save(key, connection)
    except (ValidationError, ValueError, TypeError, ArithmeticError):
        return None
    return key if _fits(key, field, connection) else None


def _fits(key: Any, field: Any, connection: Any) -> bool:
    """Return whether the column can store ``key``; if not, a statement with it would fail."""
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
