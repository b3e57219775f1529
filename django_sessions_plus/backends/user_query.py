"""The user of a row that did not come with it: one statement, compiled once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import connections, models, router

from django_sessions_plus.backends import compiled
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession


class UserSelect(compiled.Reading):
    """Find a user by its key."""

    def __init__(self, users: models.QuerySet[Any], mark: Any) -> None:
        compiler: Any = users.query.get_compiler(users.db)
        self.key: Any = users.model._meta.pk
        super().__init__(users.db, compiler, self._prepared(users.db, mark))
        self.user = compiled.Builder(compiler, compiler.klass_info)

    def run(self, key: Any) -> Any:
        """Return the user with this key, or None."""
        values = self.fetch(self._prepared(self.alias, key))
        return None if values is None else self.user.build(self.alias, values)

    def _prepared(self, alias: str, key: Any) -> Any:
        return self.key.get_db_prep_value(key, connections[alias])


def find_user(row: AbstractSession) -> bool:
    """Give ``row`` its user, as the query that reads both would have; False if there is none.

    True also where this is not the way to find it: the authentication backend will.
    """
    alias = row._state.db
    if not config.FAST_PATH or alias is None or router.db_for_read(get_user_model()) != alias:
        return True
    statement = _statement(alias)
    if statement is None:
        return True
    user = statement.run(row.user_id)
    if user is None:
        return False
    row._meta.get_field("user").set_cached_value(row, user)
    return True


def _statement(alias: str) -> UserSelect | None:
    model: Any = get_user_model()

    def compile_() -> UserSelect:
        mark = compiled.mark_of(model._meta.pk)
        return UserSelect(models.QuerySet(model, using=alias).filter(pk=mark), mark)

    return compiled.keep(("user", model, alias), compile_)
