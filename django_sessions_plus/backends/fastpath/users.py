"""The user of a row that was read without it, as from a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import models, router

from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.backends.fastpath.internals import set_related
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession


@dataclass(frozen=True)
class _ByKey:
    """The query for an instance of ``model`` by its primary key."""

    model: Any

    def __call__(self, key: Any, alias: str, with_user: bool) -> models.QuerySet[Any]:
        return models.QuerySet(self.model, using=alias).filter(pk=key)


def find_user(row: AbstractSession) -> None:
    """Give ``row`` its user, or None where there is none, as the query that reads both would have.

    Nothing happens where this is not the way to find it: the authentication backend will.
    """
    alias = row._state.db
    if not config.FAST_PATH or alias is None:
        return
    field: Any = row._meta.get_field("user")
    model = field.related_model
    # Without routers there is but one place to find users.
    if router.routers and router.db_for_read(model) != alias:
        return
    user = compiled.find(model._meta.pk, row.user_id, _ByKey(model), alias)
    try:
        set_related(row, field, user)
    except Exception as error:  # noqa: BLE001 - whatever has changed in Django
        compiled.note_failure(error)
