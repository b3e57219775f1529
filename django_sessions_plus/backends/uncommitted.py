"""What a store has written in a transaction that is not committed yet, such as that of a view."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction

from django_sessions_plus.backends.twins import in_thread

if TYPE_CHECKING:
    from django_sessions_plus.backends.rows import Rows
    from django_sessions_plus.base_session import AbstractSession


class Uncommitted:
    """Remembers until the commit what has to be written again after a rollback."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.is_inserted: bool | None = None
        """Whether the row was inserted."""
        self.is_imported: bool | None = None
        """Whether the row was imported from another engine."""
        self.before: AbstractSession | None = None
        """The row as it was before it was written."""
        self.ended: AbstractSession | None = None
        """The row that was ended, as it was before."""

    def is_rolled_back(self) -> bool:
        """Return whether the row was inserted or written in a transaction that was rolled back."""
        return self._is_anything_written and not self.rows.is_in_transaction

    async def ais_rolled_back(self) -> bool:
        """See is_rolled_back()."""
        return self._is_anything_written and await in_thread(self.is_rolled_back)

    def keep_insert(self) -> None:
        """Note that the row was just inserted. A row that the store had before is forgotten."""
        self.is_inserted = self.before = None
        self._keep_until_commit("is_inserted", True)

    def keep_import(self) -> None:
        """Note that the row was just imported from another engine."""
        self._keep_until_commit("is_imported", True)

    def forget_rolled_back_import(self) -> bool:
        """Return whether the row was imported in a transaction that was rolled back; if so, forget it and its writes.

        The other engine still has the session then, so that it can be imported again.
        """
        if not self.is_imported or self.rows.is_in_transaction:
            return False
        self.is_imported = self.before = None
        return True

    def keep_before(self, row: AbstractSession) -> None:
        """Note that ``row`` was just written; to be called before the instance is changed.

        Copying takes longer than the write itself. So call it only in a transaction: otherwise there is no rollback.
        """
        self._keep_until_commit("before", copy(row))

    def keep_end(self, row: AbstractSession) -> None:
        """Note that ``row`` is about to be ended."""
        self._keep_until_commit("ended", row)

    @property
    def _is_anything_written(self) -> bool:
        return bool(self.is_inserted) or self.before is not None

    def _keep_until_commit(self, name: str, value: Any) -> None:
        if getattr(self, name) is None and self.rows.is_in_transaction:
            setattr(self, name, value)
            transaction.on_commit(partial(setattr, self, name, None), using=self.rows.alias)
