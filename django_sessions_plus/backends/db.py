"""The database session engine.

``SESSION_ENGINE = "django_sessions_plus.backends.db"``. Every write is one
statement that is conditional on the row still living and still bearing the token
it was loaded with. Only when such a statement finds no row does the store look
closer, in a short transaction (``_settle``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import CreateError
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, connections, router, transaction
from django.db.models import F
from django.dispatch import Signal
from django.utils import timezone
from django.utils.functional import cached_property

from django_sessions_plus import policy, tokens
from django_sessions_plus.backends.base import Columns, RowSession
from django_sessions_plus.base_session import AbstractSession, EndReason
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.merging import merge
from django_sessions_plus.querysets import SessionQuerySet
from django_sessions_plus.signals import (
    send_after_commit,
    session_context_changed,
    session_ended,
    session_started,
)

T = TypeVar("T")
Rows = SessionQuerySet[AbstractSession]


class SessionStore(RowSession):
    """Keep sessions in the database, each bound to the digest of its token."""

    def __init__(self, session_key: str | None = None) -> None:
        self.end_reason: str = EndReason.SIGNED_OUT
        """The reason that is recorded when this store ends its session."""
        # What this store wrote in a transaction that is not committed, and may never be: whether
        # it inserted the row, the row as it was before, the row it ended.
        self._uncommitted_insert: bool | None = None
        self._before_transaction: AbstractSession | None = None
        self._uncommitted_end: AbstractSession | None = None
        super().__init__(session_key)

    @classmethod
    def get_model_class(cls) -> type[AbstractSession]:
        """Return the model of the rows; override it in an engine of your own."""
        # Not at import: the engine must be importable while apps are still loading.
        from django_sessions_plus.models import Session  # noqa: PLC0415

        return Session

    @cached_property
    def model(self) -> type[AbstractSession]:
        """The model of the rows."""
        return self.get_model_class()

    # Read

    def load(self) -> dict[str, Any]:
        """Return the session's data; an empty session for a token that opens nothing.

        Unknown, expired, ended and malformed are the same to the caller: no row is
        created (CVE-2015-5143) and nothing is raised.
        """
        return self._adopt(self._first(self._lookup()))

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        return self._adopt(await self._afirst(self._lookup()))

    def load_if_needed(self) -> dict[str, Any]:
        """Return the data, from storage the first time."""
        data: dict[str, Any] = self._get_session()
        return data

    async def aload_if_needed(self) -> dict[str, Any]:
        """See load_if_needed()."""
        data: dict[str, Any] = await self._aget_session()
        return data

    def exists(self, session_key: str | None) -> bool:
        """Tell whether the token names a session that has not ended."""
        query = self._bearing(session_key)
        return query is not None and query.exists()

    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        query = self._bearing(session_key)
        return query is not None and await query.aexists()

    # Write

    def create(self) -> None:
        """Insert a row under a new token, with the data there is."""
        while True:
            self._session_key = self._get_new_session_key()
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    async def acreate(self) -> None:
        """See create()."""
        while True:
            self._session_key = await self._aget_new_session_key()
            try:
                await self.asave(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def create_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """Return a new row for ``data``; columns of your own come from ``extra_columns()``."""
        return self.model(**self._new_columns(data, timezone.now()))

    async def acreate_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """See create_model_instance()."""
        return self.create_model_instance(data)

    def save(self, must_create: bool = False) -> None:
        """Write what changed, and only where the session still lives.

        Changes that parallel requests made to other keys are kept. A session that has
        ended, or whose token was rotated, since it was loaded is never written.

        Raises:
            CreateError: ``must_create``, and the token is taken.
            StaleSessionError: (an ``UpdateError``) there is no such row to be written any more.
        """
        if self.session_key is None:
            return self.create()
        data = self._get_session(no_load=must_create)
        if must_create:
            return self._insert(self.create_model_instance(data))
        row = self._row or _required(self._first(self._lookup()))
        columns = self._save_columns(row, data)
        if columns and not self._alive(row, columns).update(**columns):
            return self._settle(row, data)
        self._keep_until_commit("_before_transaction", copy(row))
        if self._note_written(row, columns):
            self._tell_started(row)

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        if self.session_key is None:
            return await self.acreate()
        data = await self._aget_session(no_load=must_create)
        if must_create:
            return await self._ainsert(await self.acreate_model_instance(data))
        row = self._row or _required(await self._afirst(self._lookup()))
        columns = self._save_columns(row, data)
        if columns and not await self._alive(row, columns).aupdate(**columns):
            return await self._asettle(row, data)
        if self._note_written(row, columns):
            await self._atell_started(row)

    def cycle_key(self) -> None:
        """Give the session a new token on the same row; the old one is dead at once.

        Raises:
            StaleSessionError: the session ended or was rotated since it was loaded. To put its
                data under another token would bring it back.
        """
        self._get_session()
        row = self._row or self._first(self._lookup())
        if row is None:
            return self.create()
        columns = self._rotation_columns()
        if not self._alive(row, columns).update(**columns):
            raise StaleSessionError
        self._keep_until_commit("_before_transaction", copy(row))
        self._note_rotated(row, columns)

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await self._aget_session()
        row = self._row or await self._afirst(self._lookup())
        if row is None:
            return await self.acreate()
        columns = self._rotation_columns()
        if not await self._alive(row, columns).aupdate(**columns):
            raise StaleSessionError
        self._note_rotated(row, columns)

    def touch(self) -> bool:
        """Record that the session is in use, at most once per interval; return whether its expiry moved.

        Of any number of parallel requests one writes: the statement is conditional on
        the time of last activity they all have loaded. Never raises for a session that
        ended meanwhile.
        """
        row, columns = self._row, self._due_columns()
        if row is None or not columns or not self._untouched(row).update(**columns):
            return False
        changes = _context_changes(row, columns)
        self._note_written(row, columns)
        if changes:
            self._tell(session_context_changed, row, changes=changes)
        return "expires_at" in columns

    async def atouch(self) -> bool:
        """See touch()."""
        row, columns = self._row, self._due_columns()
        if row is None or not columns or not await self._untouched(row).aupdate(**columns):
            return False
        changes = _context_changes(row, columns)
        self._note_written(row, columns)
        if changes:
            await sync_to_async(self._tell)(session_context_changed, row, changes=changes)
        return "expires_at" in columns

    # End

    def delete(self, session_key: str | None = None) -> None:
        """End the session of this token (default: the store's own).

        The row of a sign-in is kept, its data wiped, until ``SESSIONS_PLUS_RETENTION``
        has passed; an anonymous row is deleted. Harmless for None and unknown tokens.
        """
        row = self._own_row(session_key) or self._first(self._bearing(session_key or self.session_key))
        if row is not None:
            self._end(row)

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        await sync_to_async(self.delete)(session_key)

    def flush(self) -> None:
        """End the session and become an empty one without a token."""
        self.delete()
        self._become_empty()

    async def aflush(self) -> None:
        """See flush()."""
        await self.adelete()
        self._become_empty()

    @contextmanager
    def ending_as(self, reason: str) -> Iterator[None]:
        """Record ``reason`` should the session end inside the block."""
        before, self.end_reason = self.end_reason, reason
        try:
            yield
        finally:
            self.end_reason = before

    def settle_end(self) -> None:
        """End the session once more if that happened in a transaction that was rolled back.

        A view signs somebody out and then fails: the person must stay signed out.
        """
        row, self._uncommitted_end = self._uncommitted_end, None
        if row is not None:
            self._end(row)

    @property
    def is_end_uncommitted(self) -> bool:
        """Whether ``settle_end()`` may have something to do."""
        return self._uncommitted_end is not None

    @classmethod
    def clear_expired(cls) -> None:
        """Delete expired sessions, and ended and expired sign-ins past their retention, in batches."""
        cls()._rows().purge()

    @classmethod
    async def aclear_expired(cls) -> None:
        """See clear_expired()."""
        await cls()._rows().apurge()

    # Queries

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
        return self._row if token is None or token == self.session_key else None

    # What comes of reads and writes

    def _adopt(self, row: AbstractSession | None) -> dict[str, Any]:
        if row is None or not row.is_active():
            self.may_have_successor = tokens.is_well_formed(self.session_key) and (
                row is None or policy.is_just_signed_out(row.end_reason, row.ended_at, timezone.now())
            )
            self._session_key = None
            return {}
        # An explicit load() beside data that is already here must not become the base of
        # its next save: what others wrote in between would look like ours to overwrite.
        if not hasattr(self, "_session_cache"):
            self._row = row
        return self.decode(row.session_data)

    def _save_columns(self, row: AbstractSession, data: dict[str, Any]) -> Columns:
        columns = self._changed_columns(row, data, timezone.now())
        if self._authenticated_now and not self._token_is_new:
            columns |= self._rotation_columns()
        return columns

    def _due_columns(self) -> Columns:
        return {} if self._row is None else self._touch_columns(self._row, timezone.now())

    def _rotation_columns(self) -> Columns:
        self._next_token = self._get_new_session_key()
        return {"token_digest": tokens.digest(self._next_token)}

    def _note_rotated(self, row: AbstractSession, columns: Columns) -> None:
        self._note_written(row, columns)
        self._token_is_new = True
        self.modified = True

    def _note_written(self, row: AbstractSession, columns: Columns) -> bool:
        """Bring the store in line with what was written; return whether a person signed in by it."""
        if "token_digest" in columns:
            self._session_key = self._next_token
        for name, value in columns.items():
            setattr(row, name, value)
        self._row = row
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
        self._note_written(row, {})
        self._token_is_new = True
        self._keep_until_commit("_uncommitted_insert", True)
        if row.user_id is not None:
            self._tell_started(row)

    def _settle(self, row: AbstractSession, data: dict[str, Any]) -> None:
        """Save after a conditional statement found no row: merge, restore, or refuse.

        Under a lock, so that it succeeds or fails for good whatever the contention.
        """
        using = self._rows().db
        if not connections[using].in_atomic_block:
            if self._uncommitted_insert:
                return self._insert_again(row, data)
            # Rolled back with the view's transaction; what the session says now still counts.
            row = self._before_transaction or row
        with transaction.atomic(using=using):
            stored = _required(self._locked(row))
            merged = merge(
                base=self.decode(row.session_data),
                mine=self.decode(self.encode(data)),
                theirs=self.decode(stored.session_data),
            )
            columns = self._save_columns(stored, _required(merged))
            columns = self._with_own_token(stored, columns)
            self._rows().filter(pk=stored.pk).update(**columns)
        self._session_cache = _required(merged)
        self._before_transaction = None
        if self._note_written(stored, columns):
            self._tell_started(stored)

    _ainsert = sync_to_async(_insert, thread_sensitive=True)
    _asettle = sync_to_async(_settle, thread_sensitive=True)

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
        rows = self._rows().filter(pk=row.pk, token_digest=row.token_digest)
        if row.user_id is None and rows.filter(user=None).delete()[0]:
            return
        self._keep_until_commit("_uncommitted_end", row)
        actor = row.user_id if self.end_reason == EndReason.SIGNED_OUT else None
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
            user = self._user if getattr(self._user, "pk", None) == row.user_id else _person(row)
            arguments |= {"sender": self.model, "session": row, "user": user}
            send_after_commit(signal, using=self._rows().db, **arguments)

    def _become_empty(self) -> None:
        self.forget()
        # Django's flush() leaves the session modified.
        self.modified = True


def _required(value: T | None) -> T:
    if value is None:
        raise StaleSessionError
    return value


def _person(row: AbstractSession) -> Any:
    try:
        return row.user
    except ObjectDoesNotExist:
        return None


def _context_changes(row: AbstractSession, columns: Columns) -> dict[str, tuple[Any, Any]]:
    """Return what of the device is about to differ. To learn what was not known is no change."""
    known = {name: getattr(row, name) for name in ("ip_address", "user_agent") if name in columns}
    return {name: (old, columns[name]) for name, old in known.items() if old is not None}
