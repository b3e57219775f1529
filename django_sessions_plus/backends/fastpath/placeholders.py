"""Placeholder values for compiling a statement, so that its parameters show where each value belongs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

_Table = tuple[tuple["type[models.Field[Any, Any]]", Any], ...]

# All of them must differ.
_NOW = datetime(2001, 2, 3, 4, 5, 6, 7)  # noqa: DTZ001 - made aware where the project is
_LATER = datetime(2002, 3, 4, 5, 6, 7, 8)  # noqa: DTZ001
_LAST_SEEN = datetime(2003, 4, 5, 6, 7, 8, 9)  # noqa: DTZ001
_EXPIRES = datetime(2004, 5, 6, 7, 8, 9, 10)  # noqa: DTZ001
_ID = UUID(int=7777)
_USER_KEYS: _Table = (
    (models.UUIDField, UUID(int=8888)),
    (models.IntegerField, 8888),
    (models.CharField, "dddd"),
)


class UnsupportedError(Exception):
    """The query is of a kind that only the ORM can run."""


def now_and_later() -> tuple[datetime, datetime]:
    """Return two placeholders for the current time: parameters that differ between them depend on the time."""
    return _aware(_NOW), _aware(_LATER)


class PlaceholderRow:
    """A stand-in for the row of a condition. ``asked`` contains each attribute that the condition has read."""

    def __init__(self, model: type[AbstractSession]) -> None:
        self.asked: dict[str, Any] = {}
        self._model = model
        self._values = {
            "pk": _ID,
            "token_digest": "f" * 64,
            "refresh_digest": "e" * 64,
            "version": 7777,
            "last_seen_at": _aware(_LAST_SEEN),
            "expires_at": _aware(_EXPIRES),
        }

    def __getattr__(self, name: str) -> Any:
        if name == "user_id":
            value = _user_key(self._model._meta.get_field("user"))
        elif name in self._values:
            value = self._values[name]
        else:
            # Without a placeholder, the value would become a constant in the statement.
            raise UnsupportedError
        self.asked[name] = value
        return value


def placeholder_for(field: Any, number: int = 1) -> Any:
    """Return a value of the field's type, different for each ``number`` unless the type is boolean; never None.

    Raises:
        UnsupportedError: the type of the field is not known here.
    """
    target = getattr(field, "target_field", field)
    return _placeholder_of_type(
        target,
        (
            (models.DateTimeField, _aware(_NOW) + timedelta(days=number)),
            (models.UUIDField, UUID(int=number)),
            (models.BooleanField, True),
            (models.IntegerField, number),
            (models.GenericIPAddressField, f"192.0.2.{number}"),
            (models.CharField, f"x{number}"),
            (models.TextField, f"x{number}"),
        ),
    )


def _user_key(field: Any) -> Any:
    # The primary key of users may itself be a foreign key.
    while hasattr(field, "target_field"):
        field = field.target_field
    return _placeholder_of_type(field, _USER_KEYS)


def _placeholder_of_type(field: Any, placeholders: _Table) -> Any:
    for kind, placeholder in placeholders:
        if isinstance(field, kind):
            return placeholder
    # A custom field of the project may accept other values.
    raise UnsupportedError


def _aware(moment: datetime) -> datetime:
    """Return the placeholder with a time zone if the project uses time zones."""
    return moment.replace(tzinfo=UTC) if settings.USE_TZ else moment
