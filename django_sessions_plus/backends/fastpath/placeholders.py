"""What stands for the values of a statement while it is compiled, to be found again in its parameters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

_Table = tuple[tuple["type[models.Field[Any, Any]]", Any], ...]

# No two may be alike.
_NOW = datetime(2001, 2, 3, 4, 5, 6, 7)  # noqa: DTZ001 - made aware where the project is
_LATER = datetime(2002, 3, 4, 5, 6, 7, 8)  # noqa: DTZ001
_LAST_SEEN = datetime(2003, 4, 5, 6, 7, 8, 9)  # noqa: DTZ001
_EXPIRES = datetime(2004, 5, 6, 7, 8, 9, 10)  # noqa: DTZ001
_ID = UUID(int=7777)
_OF_USERS: _Table = (
    (models.UUIDField, UUID(int=8888)),
    (models.IntegerField, 8888),
    (models.CharField, "dddd"),
)


class RefusedError(Exception):
    """The query is of a kind that is left to the ORM."""


def now_and_later() -> tuple[datetime, datetime]:
    """Return two placeholders of the present time: what differs between their statements follows from it."""
    return _aware(_NOW), _aware(_LATER)


class PlaceholderRow:
    """What a condition may ask of the row it is about. ``asked`` has what was asked, by attribute."""

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
            # What stands for it would be compiled in as a constant.
            raise RefusedError
        self.asked[name] = value
        return value


def placeholder_for(field: Any, number: int = 1) -> Any:
    """Return a value of the field's type that is not NULL, and unless that is a truth value, of this ``number`` from 1.

    Raises:
        RefusedError: the type is a project's own.
    """
    target = getattr(field, "target_field", field)
    return _of(
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
    # A user's key may itself be a foreign key.
    while hasattr(field, "target_field"):
        field = field.target_field
    return _of(field, _OF_USERS)


def _of(field: Any, placeholders: _Table) -> Any:
    for kind, placeholder in placeholders:
        if isinstance(field, kind):
            return placeholder
    # What a project's own field takes nobody knows here.
    raise RefusedError


def _aware(moment: datetime) -> datetime:
    """Return a placeholder as the project's models have times."""
    return moment.replace(tzinfo=UTC) if settings.USE_TZ else moment
