"""The statements behind the database engine, each conditional on the row it was made for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.db import router
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property

from django_sessions_plus import policy, tokens
from django_sessions_plus.backends import compiled
from django_sessions_plus.backends.columns import ColumnSession
from django_sessions_plus.backends.context import NO_CONTEXT_CHANGE, Columns
from django_sessions_plus.conf import config
from django_sessions_plus.locking import beside_key
from django_sessions_plus.querysets import SessionQuerySet, active_at

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.base_session import AbstractSession

    Rows = SessionQuerySet[AbstractSession]


_OF_DATA = ("version", "expires_at")


class StatementSession(ColumnSession):
    """A session that can find and write its row, in statements that a parallel end defeats."""

    row_over: AbstractSession | None = None
    """The row that what was presented names, and that opens nothing: ended, perhaps by this request, or expired."""

    @property
    def over_reason(self) -> policy.OverReason | None:
        """Why nobody is signed in any more by the token that was presented.

        None where somebody is, or nobody was, and for a token that no row bears: one that was
        made up or rotated away is not its session's. It is known from loading the session, and
        meant for whoever presented the token alone; of a session that was opened by its id the
        caller has to judge what was presented for it.
        """
        row = self.row_over
        if self._row is not None or row is None or row.user_id is None:
            return None
        return policy.over_reason(end_reason=row.end_reason, ended_at=row.ended_at)

    @cached_property
    def model(self) -> type[AbstractSession]:
        """The model of the rows."""
        return self.get_model_class()

    def create_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """Return a new row for ``data``; columns of your own come from ``extra_columns()``."""
        return self.model(**self._new_columns(data, timezone.now()))

    async def acreate_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """See create_model_instance()."""
        return self.create_model_instance(data)

    def _rows(self) -> Rows:
        rows: Rows = self.model.objects.using(self._write_alias())
        return rows

    def _write_alias(self) -> str:
        return router.db_for_write(self.model)

    # Read

    def _read(self) -> AbstractSession | None:
        """Return the row of this store's token, whatever its state; no query for what no row can bear."""
        # The token is in no local variable: should the database fail, error reports show those.
        if not tokens.is_well_formed(self.session_key):
            return None
        digest, alias = tokens.digest(self.session_key), self._read_alias()
        with_user = self.wants_user and is_user_in(alias)
        if config.FAST_PATH:
            statement = compiled.select(self.model, alias, with_user, self._lookup)
            if statement is not None:
                return statement.run(digest)
        return self._first(self._lookup(digest, alias, with_user))

    async def _aread(self) -> AbstractSession | None:
        if not tokens.is_well_formed(self.session_key):
            return None
        return await sync_to_async(self._read, thread_sensitive=True)()

    def _lookup(self, digest: str, alias: str, with_user: bool) -> Rows:
        return self._read_rows(alias, with_user).filter(token_digest=digest)

    def _read_rows(self, alias: str, with_user: bool) -> Rows:
        rows = self.model.objects.using(alias).defer(*NO_CONTEXT_CHANGE)
        return rows.select_related("user") if with_user else rows

    def _read_alias(self) -> str:
        # A replica that lags would serve sessions that have ended.
        route = router.db_for_read if config.READ_FROM_REPLICA else router.db_for_write
        return route(self.model)

    def _bearing(self, token: str | None) -> Rows | None:
        if not tokens.is_well_formed(token):
            return None
        return self._rows().filter(token_digest=tokens.digest(token), ended_at=None)

    def _first(self, query: Rows | None) -> AbstractSession | None:
        # get() and not first(), which would sort by the primary key what the unique index finds.
        try:
            return None if query is None else query.get()
        except ObjectDoesNotExist:
            return None

    # Write

    def _write(self, row: AbstractSession, columns: Columns) -> bool:
        """Write ``columns`` if the row still lives as it was read; False if it does not."""
        # Who changes the data must have seen the last of it, and who moves the expiry what it asks for.
        is_of_data = not columns.keys().isdisjoint(_OF_DATA)
        condition = self._as_read if is_of_data else self._alive
        return self._run(row, columns, condition)

    def _write_touch(self, row: AbstractSession, columns: Columns) -> bool:
        """Write ``columns`` unless somebody else has written a touch since the row was read."""
        return self._run(row, columns, self._untouched, skip_locked=True)

    def _run(
        self,
        row: AbstractSession,
        columns: Columns,
        condition: Callable[[AbstractSession, datetime], Rows],
        *,
        skip_locked: bool = False,
    ) -> bool:
        now = timezone.now()
        if config.FAST_PATH:
            alias, names = self._write_alias(), tuple(columns)
            statement = compiled.update(
                self.model, alias, names, condition, skip_locked=skip_locked
            )
            if statement is not None:
                return statement.run(list(columns.values()), row, now)
        return bool(condition(row, now).update(**columns))

    _awrite = sync_to_async(_write, thread_sensitive=True)
    _awrite_touch = sync_to_async(_write_touch, thread_sensitive=True)

    def _alive(self, row: AbstractSession, now: datetime) -> Rows:
        return self._bound(row, active_at(now))

    def _as_read(self, row: AbstractSession, now: datetime) -> Rows:
        return self._bound(row, active_at(now) & Q(version=row.version))

    def _untouched(self, row: AbstractSession, now: datetime) -> Rows:
        # The expiry, too, for what somebody has asked for meanwhile must hold.
        seen = Q(last_seen_at=row.last_seen_at, expires_at=row.expires_at)
        return self._bound(row, active_at(now) & seen)

    def _bound(self, row: AbstractSession, condition: Q) -> Rows:
        """Return the row for a write if it still bears its token and meets the condition."""
        return self._by_key(row, condition & Q(token_digest=row.token_digest))

    def _by_key(self, row: AbstractSession, condition: Q) -> Rows:
        """Return the row for a write if it meets the condition."""
        rows = self._rows().filter(pk=row.pk)
        return rows.filter(beside_key(condition, rows.db))

    def _own_row(self, token: str | None) -> AbstractSession | None:
        return self._row if token is None or token == self.session_key else None

    def _named(self, token: str | None) -> Rows | None:
        return self._bearing(self.session_key if token is None else token)

    # What comes of reads and writes

    def _adopt(self, row: AbstractSession | None) -> dict[str, Any]:
        # An explicit load() beside data that is already here must not become the base of
        # its next save: what others wrote in between would look like ours to overwrite, and
        # the data of a session that has ended would go into a new one.
        is_first = not hasattr(self, "_session_cache")
        if row is None or not row.is_active():
            if is_first:
                self._note_nothing_opened(row)
            return {}
        if is_first:
            self._row = row
        return self.decode(row.session_data)

    def _note_nothing_opened(self, row: AbstractSession | None) -> None:
        self.may_have_successor = tokens.is_well_formed(self.session_key) and (
            row is None or policy.is_just_signed_out(row.end_reason, row.ended_at, timezone.now())
        )
        self._session_key = None
        self._row = None
        self.row_over = row

    def _save_columns(self, row: AbstractSession, data: dict[str, Any]) -> Columns:
        columns = self._changed_columns(row, data, timezone.now())
        if self._authenticated_now and not self._token_is_new:
            columns |= self._rotation_columns()
        return columns

    def _due_columns(self) -> Columns:
        if self._row is None or not hasattr(self, "_session_cache"):
            return {}
        return self._touch_columns(self._row, self._session_cache, timezone.now())

    def _rotation_columns(self) -> Columns:
        self._next_token = self._get_new_session_key()
        return {"token_digest": tokens.digest(self._next_token)}

    def _note_written(self, row: AbstractSession, columns: Columns) -> None:
        """Bring the loaded row, and the token, in line with what was written."""
        if "token_digest" in columns and not self.is_opened_by_id:
            self._session_key = self._next_token
        if "token_digest" in columns or "expires_at" in columns:
            self.is_cookie_due = True
        if "authenticated_at" in columns:
            row.is_in_doubt = False
        for name, value in columns.items():
            setattr(row, name, value)
        self._row = row

    def _note_rotated(self, row: AbstractSession, columns: Columns) -> None:
        self._note_written(row, columns)
        self._token_is_new = True
        self.modified = True

    def _note_saved(self, row: AbstractSession, columns: Columns) -> None:
        """Note that nothing is left to be written."""
        self._note_written(row, columns)
        self._remember = None
        self._authenticated_now = False
        self._token_is_new = False


def is_user_in(alias: str) -> bool:
    """Tell whether users live in the database ``alias``, where a join can reach them."""
    # Without routers there is but one place, and no need to look up the model.
    return not router.routers or router.db_for_read(get_user_model()) == alias
