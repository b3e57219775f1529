"""Rows with snapshots in the memory of the process. Writes go to the database, and reads of data without a snapshot.

Of a touch nobody is told, so a snapshot may have an earlier time of last activity than its row. A write whose
condition fails for that reason removes the snapshot, and the next request reads the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django_sessions_plus.backends.commits import is_in_any_transaction
from django_sessions_plus.backends.fastpath.users import find_user
from django_sessions_plus.backends.leasing.announcing import announced
from django_sessions_plus.backends.leasing.memory import Memory, Ticket
from django_sessions_plus.backends.leasing.snapshots import Snapshot, snapshot_of
from django_sessions_plus.backends.leasing.triggers import silent_fields
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.backends.use import Columns, Condition

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

T = TypeVar("T")


class LeasedRows(Rows):
    """Finds and writes rows of one model, and keeps snapshots of them in ``memory``.

    Each store needs its own instance, which remembers its last read.
    """

    def __init__(self, model: type[AbstractSession], memory: Memory) -> None:
        super().__init__(model)
        self.memory = memory
        self._ticket: Ticket | None = None
        self._found: AbstractSession | None = None

    @property
    def read_alias(self) -> str:
        """The database for writes: a row from a replica that lags behind would be kept as if it were current."""
        return self.alias

    # Memory

    def leased(self, key: str | UUID) -> Snapshot | None:
        """Return the snapshot of the row with this digest or id, without a query; None if the database has to be asked.

        None in a transaction, which has to see what it has written itself.
        """
        if is_in_any_transaction(self.alias):
            return None
        return self.memory.find(key)

    def keep(self, row: AbstractSession, data: Mapping[str, Any]) -> None:
        """Keep a snapshot of the row that was just found, and of nothing that ``data`` does not say of its user."""
        ticket, self._ticket = self._ticket, None
        if ticket is None or row is not self._found:
            # One that was imported from another engine may not be in the database.
            return
        snapshot = snapshot_of(row, data, ticket.at, with_user=self.memory.has_users)
        if snapshot is not None:
            self.memory.keep(snapshot, ticket)

    # Find

    def find(self, digest: str, *, with_user: bool = False) -> AbstractSession | None:
        """See Rows."""
        self._begin()
        self._found = super().find(digest, with_user=with_user)
        return self._found

    def find_by_id(self, session_id: UUID, *, with_user: bool = False) -> AbstractSession | None:
        """See Rows."""
        self._begin()
        self._found = super().find_by_id(session_id, with_user=with_user)
        return self._found

    def add_user(self, row: AbstractSession) -> None:
        """Load the user of a row from memory, where users are not kept, by one query; see Rows."""
        if not self.memory.has_users:
            find_user(row)

    # Write

    def update(
        self,
        row: AbstractSession,
        columns: Columns,
        condition: Condition | None = None,
        *,
        skip_locked: bool = False,
    ) -> bool:
        """See Rows. A save of nothing but data leaves a snapshot that has none."""
        is_written, silent = False, {*silent_fields()}
        try:
            with nullcontext() if columns.keys() <= silent else self._announced(row):
                is_written = super().update(row, columns, condition, skip_locked=skip_locked)
            return is_written
        finally:
            # The next touch compares the time of last activity.
            if not is_written or not columns.keys() <= silent - {"last_seen_at"}:
                self._forget(row)

    def merge(
        self,
        row: AbstractSession,
        decide: Callable[[AbstractSession], tuple[Columns, T]],
    ) -> tuple[AbstractSession, Columns, T] | None:
        """See Rows."""
        try:
            return super().merge(row, decide)
        finally:
            self._forget(row)

    def end(self, row: AbstractSession, reason: str, actor: Any = None) -> AbstractSession | None:
        """See Rows."""
        try:
            with self._announced(row):
                return super().end(row, reason, actor)
        finally:
            self._forget(row)

    # Helpers

    def _begin(self) -> None:
        is_kept = not is_in_any_transaction(self.alias)
        self._ticket = self.memory.begin() if is_kept else None

    def _forget(self, row: AbstractSession) -> None:
        self.memory.hear(f"s {row.pk}")

    def _announced(self, row: AbstractSession) -> AbstractContextManager[None]:
        return announced([f"s {row.pk}"], self.alias, [self.memory])
