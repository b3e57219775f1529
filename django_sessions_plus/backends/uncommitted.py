"""What a store has written in a transaction that is not committed yet, such as that of a view."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction

from django_sessions_plus.backends.twins import in_thread

if TYPE_CHECKING:
    from django_sessions_plus.backends.rows import Rows
    from django_sessions_plus.base_session import AbstractSession


ImportAgain = Callable[[], "AbstractSession | None"]


class Uncommitted:
    """Remembers until the commit what has to be written again after a rollback."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.is_inserted: bool | None = None
        """Whether the row was inserted."""
        self.imported_token: str | None = None
        """The token under which the row was imported from another engine; also if it could not be written."""
        self.import_again: ImportAgain | None = None
        """What imports the token of another package once more; set as ``imported_token`` is for a session."""
        self.forbid_import: Callable[[], None] | None = None
        """What forbids to import the session of the presented token, if the other engine could not be asked for it."""
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

    def keep_import(self, token: str, *, is_written: bool) -> None:
        """Note that the row was just imported from another engine, or was to be but could not be written."""
        if is_written:
            self._keep_until_commit("imported_token", token)
        else:
            self.imported_token = token

    def keep_token_import(self, again: ImportAgain, *, is_written: bool) -> None:
        """Note that the token of another package was just imported, or was to be; ``again`` repeats that."""
        if is_written:
            self._keep_until_commit("import_again", again)
        else:
            self.import_again = again

    def is_import_undone(self, row: AbstractSession) -> bool:
        """Return whether ``row`` was imported, but is not in the database. At most one query.

        A rollback, also one to a savepoint, has undone the import then, or it could not be written. The other
        engine still has the session, so that it can be imported again.
        """
        is_kept = self.imported_token is not None or self.import_again is not None
        return is_kept and not self.rows.query().filter(pk=row.pk).exists()

    def forget_import(self) -> None:
        """Forget the import that was undone, and what was written to its row."""
        self.imported_token = self.import_again = self.before = None

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
