"""Find the user of a row that was read without its user, for example from a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import models

from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.backends.fastpath.internals import set_related
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession


@dataclass(frozen=True)
class _ByKey:
    """A ``Lookup`` that finds an instance of ``model`` by its primary key."""

    model: Any

    def __call__(self, key: Any, alias: str, with_user: bool) -> models.QuerySet[Any]:
        return models.QuerySet(self.model, using=alias).filter(pk=key)


def find_user(row: AbstractSession) -> None:
    """Set ``row.user`` (None if there is no such user) by one query, as ``select_related()`` would have.

    Does nothing if the fast path is off, or if users are in another database; the authentication
    backend finds the user then.
    """
    alias = row._state.db
    if not config.FAST_PATH or alias is None or not row.are_users_in(alias):
        return
    field: Any = row._meta.get_field("user")
    model = field.related_model
    user = compiled.find(model._meta.pk, row.user_id, _ByKey(model), alias)
    try:
        set_related(row, field, user)
    except Exception as error:  # noqa: BLE001 - any change in Django
        compiled.note_failure(error)
