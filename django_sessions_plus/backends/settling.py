"""What needs a transaction: the insert, the merge, the end, and what is told after the commit."""

from __future__ import annotations

from contextlib import nullcontext
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import CreateError
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, connections, router, transaction
from django.db.models import F, Q
from django.dispatch import Signal
from django.utils import timezone

from django_sessions_plus import devices, events, policy, tokens
from django_sessions_plus.backends.context import Columns
from django_sessions_plus.backends.statements import StatementSession
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.merging import merge
from django_sessions_plus.querysets import end_columns
from django_sessions_plus.signals import (
    send_after_commit,
    session_context_changed,
    session_ended,
    session_started,
)

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.backends.statements import Rows
    from django_sessions_plus.base_session import AbstractSession

# How often a save merges without a lock. One is nearly always enough: between reading and
# writing again there is no view.
ATTEMPTS = 3

T = TypeVar("T")
News = list[tuple[Signal, dict[str, Any]]]


class SettlingSession(StatementSession):
    """A session that settles in a short transaction what one statement could not."""

    end_reason: str = policy.EndReason.SIGNED_OUT
    """The reason that is recorded when this store ends its session."""
    # What this store wrote in a transaction that is not committed, and may never be: whether
    # it inserted the row, the row as it was before, the row it ended.
    _uncommitted_insert: bool | None = None
    _before_transaction: AbstractSession | None = None
    _uncommitted_end: AbstractSession | None = None

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
        self._token_is_new = self.is_cookie_due = True
        # Of the row there may have been before nothing is left to be restored.
        self._uncommitted_insert = self._before_transaction = None
        self._keep_until_commit("_uncommitted_insert", True)
        if row.user_id is not None:
            self._tell(session_started, row)

    def _settle(self, row: AbstractSession, data: dict[str, Any]) -> None:
        """Save after a conditional statement found no row: merge, restore, or refuse.

        At first as before, with what is stored by now, so that no lock is held while Python
        works. Who is still overtaken does it under a lock, which succeeds or fails for good
        whatever the contention.
        """
        is_rolled_back = self.is_rolled_back()
        if is_rolled_back and self._uncommitted_insert:
            self._insert_again(row, data)
            return
        if is_rolled_back:
            # Gone with the view's transaction; what the session says now still counts.
            self._remember = self.remember
            row = required(self._before_transaction)
        elif not connections[self._write_alias()].in_atomic_block:
            for _ in range(ATTEMPTS):
                stored = required(self._reread(row))
                merged, columns = self._merged(stored, row, data)
                if self._write(stored, columns):
                    self._note_merged(stored, merged, columns)
                    return
        with transaction.atomic(using=self._rows().db):
            stored = required(self._locked(row))
            merged, columns = self._merged(stored, row, data)
            self._rows().filter(pk=stored.pk).update(**columns)
        if is_rolled_back:
            self._before_transaction = None
        self._keep_row_until_commit(stored)
        self._note_merged(stored, merged, columns)

    def _merged(
        self, stored: AbstractSession, row: AbstractSession, data: dict[str, Any]
    ) -> tuple[dict[str, Any], Columns]:
        """Return the data that comes of both, and what is to be written over ``stored`` for it."""
        merged = required(
            merge(
                base=self.decode(row.session_data),
                mine=self.decode(self.encode(data)),
                theirs=self.decode(stored.session_data),
            )
        )
        return merged, self._with_own_token(stored, self._save_columns(stored, merged))

    def _note_merged(
        self, stored: AbstractSession, merged: dict[str, Any], columns: Columns
    ) -> None:
        self._session_cache = merged
        news = news_of(stored, columns)
        self._note_saved(stored, columns)
        self._tell_all(stored, news)

    def _reread(self, row: AbstractSession) -> AbstractSession | None:
        # Not from a copy in a cache: that may be the one that was overtaken.
        stored = StatementSession._read(self)
        is_same = stored is not None and stored.pk == row.pk and stored.is_active()
        return stored if is_same else None

    _ainsert = sync_to_async(_insert, thread_sensitive=True)
    _asettle = sync_to_async(_settle, thread_sensitive=True)

    def is_rolled_back(self) -> bool:
        """Tell whether what this store wrote in a transaction is gone with it."""
        return self._is_uncommitted and not connections[self._write_alias()].in_atomic_block

    async def ais_rolled_back(self) -> bool:
        """See is_rolled_back()."""
        return self._is_uncommitted and await sync_to_async(self.is_rolled_back)()

    @property
    def _is_uncommitted(self) -> bool:
        return bool(self._uncommitted_insert) or self._before_transaction is not None

    def _insert_again(self, row: AbstractSession, data: dict[str, Any]) -> None:
        again = self.create_model_instance(data)
        again.pk = row.pk
        self._uncommitted_insert = None
        self._insert(again)

    def _locked(self, row: AbstractSession) -> AbstractSession | None:
        alive = self._alive(row, timezone.now())
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

    def _end(self, row: AbstractSession) -> AbstractSession | None:
        """End the row and return it as it is then; None if nobody was signed in, or others were first."""
        before = self._before_transaction if row is self._row else None
        self._keep_until_commit("_uncommitted_end", before or row)
        if row is self._row:
            self._uncommitted_insert = None
        if before is not None and self.is_rolled_back():
            row = before
        actor = None
        if row.user_id is not None and self.end_reason == policy.EndReason.SIGNED_OUT:
            actor = self._person(row)
        ended = self._write_end(row, actor)
        if ended is None:
            return None
        if row is self._row:
            self.row_over = ended
        self._tell(session_ended, ended, reason=self.end_reason, actor=actor)
        return ended

    def _write_end(self, row: AbstractSession, actor: Any) -> AbstractSession | None:
        """Write the end and return the row as it is then; nothing is told before this returns."""
        if row.user_id is None and self._bound(row, Q(user=None)).delete()[0]:
            return None
        now = timezone.now()
        if not self._meant(row).end(reason=self.end_reason, actor=actor, now=now):
            return None
        ended = copy(row)
        for name, value in end_columns(self.end_reason, actor, now).items():
            setattr(ended, name, value)
        return ended

    def _meant(self, row: AbstractSession) -> Rows:
        """Return the row for an end, if it is still what this store means by it."""
        # Who signs out means the session, also if a parallel request has just rotated its
        # token; but not one that somebody else has signed in to.
        whose = self._rows().filter(pk=row.pk, user=row.user_id)
        if row.user_id is not None and self.end_reason == policy.EndReason.SIGNED_OUT:
            return whose
        if row.user_id is not None and self.end_reason == policy.EndReason.REFRESH_REUSED:
            # A line that has begun since has nothing to do with it.
            return whose.filter(refresh_started_at=row.refresh_started_at)
        # Whoever is just changing the password may have stored the new auth hash since.
        is_of_data = self.end_reason == policy.EndReason.PASSWORD_CHANGED
        return self._bound(row, Q(version=row.version) if is_of_data else Q())

    def _keep_row_until_commit(self, row: AbstractSession) -> None:
        # A copy takes longer than the write: only where there is something to be rolled back.
        if connections[self._write_alias()].in_atomic_block:
            self._keep_until_commit("_before_transaction", copy(row))

    def _keep_until_commit(self, name: str, value: Any) -> None:
        using = self._write_alias()
        if getattr(self, name) is None and connections[using].in_atomic_block:
            setattr(self, name, value)
            transaction.on_commit(partial(setattr, self, name, None), using=using)

    def _tell_all(self, row: AbstractSession, news: News) -> None:
        for signal, arguments in news:
            self._tell(signal, row, **arguments)

    async def _atell_all(self, row: AbstractSession, news: News) -> None:
        if news:
            await sync_to_async(self._tell_all, thread_sensitive=True)(row, news)

    def _tell(self, signal: Signal, row: AbstractSession, **arguments: Any) -> None:
        self._log(signal, row, **arguments)
        if signal.has_listeners(self.model):
            arguments |= {"sender": self.model, "session": row, "user": self._person(row)}
            send_after_commit(signal, using=self._rows().db, **arguments)

    def _log(self, signal: Signal, row: AbstractSession, **arguments: Any) -> None:
        fields: dict[str, Any] = {"session_id": row.pk, "user_id": row.user_id}
        if signal is session_started:
            event = events.SESSION_STARTED
            fields["transport"] = self.transport
        elif signal is session_ended:
            actor = arguments["actor"]
            event = events.SESSION_ENDED
            fields |= {"reason": arguments["reason"], "actor_id": getattr(actor, "pk", actor)}
        else:
            event = events.SESSION_CONTEXT_CHANGED
            fields |= {"changed": arguments["changes"], "policy": config.CONTEXT_POLICY}
        event.log_after_commit(using=self._rows().db, **fields)

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


def news_of(row: AbstractSession, columns: Columns) -> News:
    """Return what is to be told of ``columns`` about to be written over ``row``."""
    if columns.get("user_id") is not None:
        return [(session_started, {})]
    if columns.get("user_id", row.user_id) is None or _is_authentication(row, columns):
        # A visit is nobody's, and who signs in again may do so from anywhere.
        return []
    changes = devices.context_changes(vars(row), columns)
    return [(session_context_changed, {"changes": changes})] if changes else []


def _is_authentication(row: AbstractSession, columns: Columns) -> bool:
    # What is in doubt counts as authenticated earlier than it was.
    new, old = columns.get("authenticated_at"), row.authenticated_at
    return new is not None and (old is None or new > old)
