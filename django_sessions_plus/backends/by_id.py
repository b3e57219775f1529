"""A row that is opened by its public id, for whoever has verified a signed token; and its refresh tokens."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.models import Q

from django_sessions_plus import policy
from django_sessions_plus.backends import compiled
from django_sessions_plus.backends.context import Columns
from django_sessions_plus.backends.settling import SettlingSession, news_of
from django_sessions_plus.backends.statements import is_user_in
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.querysets import active_at
from django_sessions_plus.signals import session_context_changed

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.backends.statements import Rows
    from django_sessions_plus.base_session import AbstractSession


class IdSession(SettlingSession):
    """A session that may have been opened by its id.

    Such a store never learns nor tells a session token: ``session_key`` is None, and a
    rotation gives the row a token nobody knows. It never inserts a row.
    """

    def open_by_id(self, session_id: uuid.UUID, *, from_primary: bool = False) -> bool:
        """Load the row ``session_id`` into this new store; return whether it lives. One query.

        An id is public and opens nothing: only who has verified a signature over it may
        call this. ``from_primary`` reads past replicas, for decisions that end sessions.
        Where the answer is False the store is empty and stays so.
        """
        self.is_opened_by_id = True
        self.transport = "jwt"
        alias = self._write_alias() if from_primary else self._read_alias()
        vars(self).pop("_session_cache", None)
        self._session_cache = self._adopt(self._read_by_id(session_id, alias))
        self.accessed = True
        if self.judges_context and self.is_refused_here():
            self.end_elsewhere()
        return self._row is not None

    async def aopen_by_id(self, session_id: uuid.UUID, *, from_primary: bool = False) -> bool:
        """See open_by_id()."""
        return await sync_to_async(self.open_by_id, thread_sensitive=True)(
            session_id, from_primary=from_primary
        )

    def is_empty(self) -> bool:
        """Tell whether there is neither token nor data; of a row opened by its id, whether it is gone."""
        if self.is_opened_by_id:
            return self._row is None
        empty: bool = super().is_empty()
        return empty

    def end_as(self, reason: str) -> AbstractSession | None:
        """End the session and become empty; return the row if this call ended it, else None.

        The reason holds also for the end that repeats this one after a rollback.
        """
        self.end_reason = reason
        ended = None if self._row is None else self._end(self._row)
        self.forget()
        return ended

    def end_elsewhere(self) -> dict[str, Any]:
        """End the session because it is used from elsewhere, tell that, and return what is left of its data: none."""
        changes = self.context_changes()
        ended = self.end_as(policy.EndReason.CONTEXT_CHANGED)
        if ended is not None:
            self._tell(session_context_changed, ended, changes=changes)
        return {}

    # Refresh tokens

    def start_refresh(self, row: AbstractSession, digest: str, started_at: datetime) -> bool:
        """Make ``digest`` the row's refresh token, the first of its line; False if the row is not as it was read.

        Whatever refresh tokens the session had before are replaced. The row must still bear the
        token it was read with: whoever rotates that means to be rid of who knew it.
        """
        columns: Columns = {
            "refresh_digest": digest,
            "refresh_started_at": started_at,
            "refreshed_at": None,
        }
        if not self._run(row, columns, self._signed_in):
            return False
        for name, value in columns.items():
            setattr(row, name, value)
        return True

    def rotate_refresh(self, row: AbstractSession, digest: str, now: datetime) -> bool:
        """Put ``digest`` in the place of the refresh token the row was read with; False if that has changed.

        One statement, which also records the use: time, address and user agent, and the
        expiry where it is due to slide. The session token has no part in it. False also if
        the expiry would slide and somebody else has moved it: what they meant must hold.
        """
        columns: Columns = {
            **self._due_columns(),
            # Also of a refresh that is no activity: where it comes from must not stay unseen, nor
            # become the usual place by that, from where the session would still be fresh.
            **self._place_columns(row, now),
            **self._doubt_columns(row, now),
            "refresh_digest": digest,
            "refreshed_at": now,
        }
        if self.counts_as_activity:
            columns["last_seen_at"] = now
        condition = self._unmoved if "expires_at" in columns else self._unrefreshed
        if not self._run(row, columns, condition):
            return False
        news = news_of(row, columns)
        self._note_written(row, columns)
        self._tell_all(row, news)
        return True

    def _signed_in(self, row: AbstractSession, now: datetime) -> Rows:
        return self._bound(row, active_at(now) & Q(user=row.user_id))

    def _unrefreshed(self, row: AbstractSession, now: datetime) -> Rows:
        return self._by_key(row, active_at(now) & _presented(row))

    def _unmoved(self, row: AbstractSession, now: datetime) -> Rows:
        return self._by_key(row, active_at(now) & _presented(row) & Q(expires_at=row.expires_at))

    # Read

    def _reread(self, row: AbstractSession) -> AbstractSession | None:
        if not self.is_opened_by_id:
            return super()._reread(row)
        # That its token was rotated by a browser interrupts nobody who never knew it.
        stored = self._read_by_id(row.pk, self._write_alias())
        return stored if stored is not None and stored.is_active() else None

    def _read(self) -> AbstractSession | None:
        if not self.is_opened_by_id:
            return super()._read()
        return None if self._row is None else self._read_by_id(self._row.pk, self._read_alias())

    async def _aread(self) -> AbstractSession | None:
        if not self.is_opened_by_id:
            return await super()._aread()
        return await sync_to_async(self._read, thread_sensitive=True)()

    def _read_by_id(self, session_id: uuid.UUID, alias: str) -> AbstractSession | None:
        with_user = self.wants_user and is_user_in(alias)
        if config.FAST_PATH:
            statement = compiled.select_by_id(self.model, alias, with_user, self._lookup_by_id)
            if statement is not None:
                key: Any = self.model._meta.pk
                return statement.run(key.get_db_prep_value(session_id, connections[alias]))
        return self._first(self._lookup_by_id(session_id, alias, with_user))

    def _lookup_by_id(self, session_id: uuid.UUID, alias: str, with_user: bool) -> Rows:
        return self._read_rows(alias, with_user).filter(pk=session_id)

    # Write

    def _refuse_new_row(self) -> None:
        if self.is_opened_by_id:
            raise StaleSessionError


def _presented(row: AbstractSession) -> Q:
    return Q(user=row.user_id, refresh_digest=row.refresh_digest)
