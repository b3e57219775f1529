"""Tokens of another package in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from django.db import models, router
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import sessions, tokens
from django_sessions_plus.switching.sources.base import KeptSource

COLUMNS = {"authtoken": "key", "knox": "digest"}
"""The column by which a token is found. knox stores a digest there, so that nobody who reads it can use the token."""

MODELS: dict[tuple[str, str], None] = {}
"""The packages and the labels of their models, ``app.Model``, that a class of ``contrib`` reads; in their order."""

_is_own_deletion: ContextVar[bool] = ContextVar("django_sessions_plus_own_deletion", default=False)


def is_own_deletion() -> bool:
    """Return whether a row is being deleted by a ``TokenSource``, because its session has ended."""
    return _is_own_deletion.get()


@contextmanager
def _own_deletion() -> Iterator[None]:
    before = _is_own_deletion.set(True)
    try:
        yield
    finally:
        _is_own_deletion.reset(before)


class TokenSource(KeptSource):
    """The tokens of one model. A key is the value of the column that finds the token.

    They stay there as long as they are valid: the package's own views, to sign out for example, work on its rows.
    A proxy model is the same source as the model with the table.
    """

    def __init__(self, package: str, model: type[models.Model]) -> None:
        table: Any = model._meta.concrete_model
        super().__init__(f"{package}:{table._meta.label}")
        self.model: type[models.Model] = table
        self.column = COLUMNS[package]

    @property
    def is_of_users(self) -> bool:
        """Whether a token is one of a user of this site; also if the model does not say of whom.

        The tokens of another model's instances are left to their package: a user may have the same primary key.
        """
        fields = self.model._meta.concrete_fields
        owners: Any = next((field.related_model for field in fields if field.name == "user"), None)
        users: Any = sessions.session_model()._meta.get_field("user").related_model
        # Without the package's app its model is abstract, and names its users by a text.
        return not isinstance(owners, type) or issubclass(owners, users)

    @property
    def alias(self) -> str:
        """The database for writes."""
        return router.db_for_write(self.model)

    @sensitive_variables("token")
    def digest_of(self, token: str) -> str:
        """See KeptSource."""
        return tokens.foreign_digest(self.name, token)

    @sensitive_variables("key")
    def update(self, key: str, expires_at: datetime, data: Mapping[str, Any] | None) -> None:
        """See KeptSource. A token has no data, and one without an expiry gets none."""
        if any(field.name == "expiry" for field in self.model._meta.concrete_fields):
            self._named(key).filter(expiry__isnull=False).update(expiry=expires_at)

    @sensitive_variables("key")
    def delete(self, key: str) -> None:
        """See KeptSource."""
        self.delete_rows(self._named(key))

    def delete_rows(self, rows: models.QuerySet[Any]) -> None:
        """Delete rows whose sessions have ended already, or that were never imported."""
        with _own_deletion():
            rows.delete()

    def rows(self) -> models.QuerySet[Any]:
        """Return all rows."""
        return self.model._default_manager.using(self.alias).all()

    @sensitive_variables("key")
    def _named(self, key: str) -> models.QuerySet[Any]:
        return self.rows().filter(**{self.column: key})
