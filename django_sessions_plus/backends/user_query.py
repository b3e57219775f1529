"""The user of a row that did not come with it: one statement, compiled once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections, models, router

from django_sessions_plus.backends import compiled, marks
from django_sessions_plus.backends.building import Builder
from django_sessions_plus.backends.reading import Reading
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession


class UserSelect(Reading):
    """Find a user by its key."""

    def __init__(self, users: models.QuerySet[Any], mark: Any) -> None:
        compiler: Any = users.query.get_compiler(users.db)
        self.key: Any = users.model._meta.pk
        super().__init__(users.db, compiler, self._prepared(users.db, mark))
        self.user = Builder(compiler, compiler.klass_info)

    def run(self, key: Any) -> Any:
        """Return the user with this key, or None."""
        values = self.fetch(self._prepared(self.alias, key))
        return None if values is None else self.user.build(self.alias, values)

    def _prepared(self, alias: str, key: Any) -> Any:
        return self.key.get_db_prep_value(key, connections[alias])


def find_user(row: AbstractSession) -> None:
    """Give ``row`` its user, or None where there is none, as the query that reads both would have.

    Nothing happens where this is not the way to find it: the authentication backend will.
    """
    alias = row._state.db
    if not config.FAST_PATH or alias is None:
        return
    field: Any = row._meta.get_field("user")
    # Without routers there is but one place to find users.
    if router.routers and router.db_for_read(field.related_model) != alias:
        return
    statement = _statement(field.related_model, alias)
    if statement is not None:
        field.set_cached_value(row, statement.run(row.user_id))


def _statement(model: Any, alias: str) -> UserSelect | None:
    def compile_() -> UserSelect:
        mark = marks.mark_of(model._meta.pk)
        return UserSelect(models.QuerySet(model, using=alias).filter(pk=mark), mark)

    return compiled.keep(("user", model, alias), compile_)
