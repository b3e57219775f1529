"""The statements behind the database engine, and the short transaction they fall back on."""

from __future__ import annotations

from contextlib import nullcontext
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import CreateError
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, connections, router, transaction
from django.db.models import F
from django.dispatch import Signal
from django.utils import timezone
from django.utils.functional import cached_property

from django_sessions_plus import policy, tokens
from django_sessions_plus.backends.columns import Columns, ColumnSession
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.merging import merge
from django_sessions_plus.querysets import SessionQuerySet
from django_sessions_plus.signals import send_after_commit, session_ended, session_started

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.base_session import AbstractSession

    Rows = SessionQuerySet[AbstractSession]

T = TypeVar("T")


class StatementSession(ColumnSession):
    """A session that can find and write its row, in statements that a parallel end defeats."""

    def __init__(self, session_key: str | None = None) -> None:
        self.end_reason: str = policy.EndReason.SIGNED_OUT
        """The reason that is recorded when this store ends its session."""
        # What this store wrote in a transaction that is not committed, and may never be: whether
        # it inserted the row, the row as it was before, the row it ended.
        self._uncommitted_insert: bool | None = None
        self._before_transaction: AbstractSession | None = None
        self._uncommitted_end: AbstractSession | None = None
        super().__init__(session_key)

    @cached_property
    def model(self) -> type[AbstractSession]:
        """The model of the rows."""
        return self.get_model_class()

    def forget(self) -> None:
        """Become empty without touching storage; an end that is not committed stays in mind."""
        self._uncommitted_insert = None
        self._before_transaction = None
        super().forget()

    # Queries

    def create_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """Return a new row for ``data``; columns of your own come from ``extra_columns()``."""
        return self.model(**self._new_columns(data, timezone.now()))

    async def acreate_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """See create_model_instance()."""
        return self.create_model_instance(data)

    def _rows(self, *, for_write: bool = True) -> Rows:
        route = router.db_for_write if for_write else router.db_for_read
        rows: Rows = self.model.objects.using(route(self.model))
        return rows

    def _lookup(self) -> Rows | None:
        """Return the query for the row of this store's token; None if no row can bear it."""
        token = self.session_key
        if not tokens.is_well_formed(token):
            return None
        rows = self._rows(for_write=not config.READ_FROM_REPLICA)
        if self.wants_user:
            rows = rows.select_related("user")
        return rows.filter(token_digest=tokens.digest(token))

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

    async def _afirst(self, query: Rows | None) -> AbstractSession | None:
        try:
            return None if query is None else await query.aget()
        except ObjectDoesNotExist:
            return None

    def _alive(self, row: AbstractSession, columns: Columns) -> Rows:
        """Return the row for a write: living, under its token and, if the data changes, as it was read."""
        rows = self._rows().active().filter(pk=row.pk, token_digest=row.token_digest)
        return rows.filter(version=row.version) if "version" in columns else rows

    def _untouched(self, row: AbstractSession) -> Rows:
        return self._alive(row, {}).filter(last_seen_at=row.last_seen_at)

    def _own_row(self, token: str | None) -> AbstractSession | None:
        return self._row if token == self.session_key else None

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

    def _save_columns(self, row: AbstractSession, data: dict[str, Any]) -> Columns:
        columns = self._changed_columns(row, data, timezone.now())
        if self._authenticated_now and not self._token_is_new:
            columns |= self._rotation_columns()
        return columns

    def _due_columns(self) -> Columns:
        if self._row is None or not hasattr(self, "_session_cache"):
            return {}
        return self._touch_columns(self._row, timezone.now())

    def _rotation_columns(self) -> Columns:
        self._next_token = self._get_new_session_key()
        return {"token_digest": tokens.digest(self._next_token)}

    def _note_written(self, row: AbstractSession, columns: Columns) -> None:
        """Bring the loaded row, and the token, in line with what was written."""
        if "token_digest" in columns:
            self._session_key = self._next_token
        for name, value in columns.items():
            setattr(row, name, value)
        self._row = row

    def _note_rotated(self, row: AbstractSession, columns: Columns) -> None:
        self._note_written(row, columns)
        self._token_is_new = True
        self.modified = True

    def _note_saved(self, row: AbstractSession, columns: Columns) -> bool:
        """Note that nothing is left to be written; return whether a person signed in by this save."""
        self._note_written(row, columns)
        self._remember = None
        self._authenticated_now = False
        self._token_is_new = False
        return columns.get("user_id") is not None

    # Statements that need a transaction, and what is told after it

    def _insert(self, row: AbstractSession) -> None:
        using = router.db_for_write(self.model, instance=row)
        # A savepoint only where a collision would otherwise break somebody's transaction.
        inside = connections[using].in_atomic_block
        try:
            with transaction.atomic(using=using) if inside else nullcontext():
                row.save(force_insert=True, using=using)
        except IntegrityError as exc:
            if self._rows().filter(token_digest=row.token_digest).exists():
                raise CreateError from exc
            raise
        self._note_saved(row, {})
        self._token_is_new = True
        # Of the row there may have been before nothing is left to be restored.
        self._uncommitted_insert = self._before_transaction = None
        self._keep_until_commit("_uncommitted_insert", True)
        if row.user_id is not None:
            self._tell_started(row)

    def _settle(self, row: AbstractSession, data: dict[str, Any]) -> None:
        """Save after a conditional statement found no row: merge, restore, or refuse.

        Under a lock, so that it succeeds or fails for good whatever the contention.
        """
        is_rolled_back = self._is_rolled_back()
        if is_rolled_back and self._uncommitted_insert:
            self._insert_again(row, data)
            return
        if is_rolled_back:
            # Gone with the view's transaction; what the session says now still counts.
            self._remember = self.remember
            row = required(self._before_transaction)
        with transaction.atomic(using=self._rows().db):
            stored = required(self._locked(row))
            merged = merge(
                base=self.decode(row.session_data),
                mine=self.decode(self.encode(data)),
                theirs=self.decode(stored.session_data),
            )
            columns = self._save_columns(stored, required(merged))
            columns = self._with_own_token(stored, columns)
            self._rows().filter(pk=stored.pk).update(**columns)
        self._session_cache = required(merged)
        if is_rolled_back:
            self._before_transaction = None
        self._keep_until_commit("_before_transaction", copy(stored))
        if self._note_saved(stored, columns):
            self._tell_started(stored)

    _ainsert = sync_to_async(_insert, thread_sensitive=True)
    _asettle = sync_to_async(_settle, thread_sensitive=True)

    def _is_rolled_back(self) -> bool:
        """Tell whether what this store wrote in a transaction is gone with it."""
        return self._is_uncommitted and not connections[self._rows().db].in_atomic_block

    async def _ais_rolled_back(self) -> bool:
        return self._is_uncommitted and await sync_to_async(self._is_rolled_back)()

    @property
    def _is_uncommitted(self) -> bool:
        return bool(self._uncommitted_insert) or self._before_transaction is not None

    def _insert_again(self, row: AbstractSession, data: dict[str, Any]) -> None:
        again = self.create_model_instance(data)
        again.pk = row.pk
        self._uncommitted_insert = None
        self._insert(again)

    def _locked(self, row: AbstractSession) -> AbstractSession | None:
        alive = self._alive(row, {})
        if connections[alive.db].features.has_select_for_update:
            return self._first(alive.select_for_update())
        # SQLite: a transaction that begins with a write waits for its turn, one that begins
        # with a read is refused when it comes to write.
        return self._first(alive) if alive.update(version=F("version")) else None

    def _with_own_token(self, stored: AbstractSession, columns: Columns) -> Columns:
        if "token_digest" in columns or self.session_key is None:
            return columns
        self._next_token = self.session_key
        digest = tokens.digest(self.session_key)
        return columns if digest == stored.token_digest else columns | {"token_digest": digest}

    def _end(self, row: AbstractSession) -> None:
        before = self._before_transaction if row is self._row else None
        self._keep_until_commit("_uncommitted_end", before or row)
        if row is self._row:
            self._uncommitted_insert = None
        if before is not None and self._is_rolled_back():
            row = before
        rows = self._rows().filter(pk=row.pk, token_digest=row.token_digest)
        if row.user_id is None and rows.filter(user=None).delete()[0]:
            return
        actor = self._person(row) if self.end_reason == policy.EndReason.SIGNED_OUT else None
        if rows.end(reason=self.end_reason, actor=actor):
            self._tell(session_ended, row, reason=self.end_reason, actor=actor)

    def _keep_until_commit(self, name: str, value: Any) -> None:
        using = self._rows().db
        if getattr(self, name) is None and connections[using].in_atomic_block:
            setattr(self, name, value)
            transaction.on_commit(partial(setattr, self, name, None), using=using)

    def _tell_started(self, row: AbstractSession) -> None:
        self._tell(session_started, row)

    _atell_started = sync_to_async(_tell_started, thread_sensitive=True)

    def _tell(self, signal: Signal, row: AbstractSession, **arguments: Any) -> None:
        if signal.has_listeners(self.model):
            arguments |= {"sender": self.model, "session": row, "user": self._person(row)}
            send_after_commit(signal, using=self._rows().db, **arguments)

    def _person(self, row: AbstractSession) -> Any:
        if getattr(self._user, "pk", None) == row.user_id:
            return self._user
        try:
            return row.user
        except ObjectDoesNotExist:
            return None


def required(value: T | None) -> T:
    """Return ``value``, or refuse the write because there is none."""
    if value is None:
        raise StaleSessionError
    return value


def context_changes(row: AbstractSession, columns: Columns) -> dict[str, tuple[Any, Any]]:
    """Return what of the device is about to differ. To learn what was not known is no change."""
    known = {name: getattr(row, name) for name in ("ip_address", "user_agent") if name in columns}
    return {name: (old, columns[name]) for name, old in known.items() if old is not None}
