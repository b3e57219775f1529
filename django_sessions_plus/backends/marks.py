"""Marks: what stands for the values of a statement while it is compiled, to be found again in its parameters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import models

from django_sessions_plus.backends.building import RefusedError

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

# No two may be alike.
DIGEST_MARK = "f" * 64
ID_MARK = UUID(int=7777)
REFRESH_MARK = "e" * 64
VERSION_MARK = 7777
NOW_MARK = datetime(2001, 2, 3, 4, 5, 6, 7)  # noqa: DTZ001 - made aware where the project is
LAST_SEEN_MARK = datetime(2002, 3, 4, 5, 6, 7, 8)  # noqa: DTZ001
EXPIRES_MARK = datetime(2003, 4, 5, 6, 7, 8, 9)  # noqa: DTZ001
_USER_MARKS: tuple[tuple[type[models.Field[Any, Any]], Any], ...] = (
    (models.UUIDField, UUID(int=8888)),
    (models.IntegerField, 8888),
    (models.CharField, "dddd"),
)


def aware(moment: datetime) -> datetime:
    """Return a mark as the project's models have moments."""
    return moment.replace(tzinfo=UTC) if settings.USE_TZ else moment


class MarkedRow:
    """What a condition may ask of the row it is about, in marks."""

    pk = ID_MARK
    token_digest = DIGEST_MARK
    version = VERSION_MARK
    refresh_digest = REFRESH_MARK

    def __init__(self, model: type[AbstractSession]) -> None:
        self.last_seen_at = aware(LAST_SEEN_MARK)
        self.expires_at = aware(EXPIRES_MARK)
        self._model = model

    @property
    def user_id(self) -> Any:
        """The mark of a user's key; see user_mark()."""
        return user_mark(self._model)

    def __getattr__(self, name: str) -> Any:
        # What stands for it would be compiled in as a constant.
        raise RefusedError


def user_mark(model: Any) -> Any:
    """Return the mark of a user's key in the rows of ``model``.

    Raises:
        RefusedError: keys are of no usual type.
    """
    field = model._meta.get_field("user")
    while hasattr(field, "target_field"):
        field = field.target_field
    for kind, mark in _USER_MARKS:
        if isinstance(field, kind):
            return mark
    raise RefusedError


def mark_of(field: Any) -> Any:
    """Return a value of the field's type that is not NULL.

    Raises:
        RefusedError: the type is a project's own.
    """
    target = getattr(field, "target_field", field)
    marks: tuple[tuple[type[models.Field[Any, Any]], Any], ...] = (
        (models.DateTimeField, aware(NOW_MARK)),
        (models.UUIDField, ID_MARK),
        (models.BooleanField, True),
        (models.IntegerField, 1),
        (models.GenericIPAddressField, "192.0.2.1"),
        (models.CharField, "x"),
        (models.TextField, "x"),
    )
    for kind, mark in marks:
        if isinstance(target, kind):
            return mark
    # What a project's own field takes nobody knows here.
    raise RefusedError
