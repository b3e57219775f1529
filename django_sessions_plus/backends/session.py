"""The session store: Django's session API for one request, and when to read and write the row. No SQL here.

``rows`` finds and writes the row, ``changes`` decides which columns a write has, and ``converging``
decides what a request does if a parallel request has changed its row. Every write is conditional: the
row must still be active and have the token with which it was loaded.

Longer than other modules, because Django's session API is one class whose methods call each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.sessions.backends.base import CreateError
from django.utils import timezone
from django.utils.functional import cached_property

from django_sessions_plus import policy, tokens
from django_sessions_plus.backends import (
    changes,
    context,
    converging,
    importing,
    opened,
    sending,
    user_key,
)
from django_sessions_plus.backends.base import BaseStore
from django_sessions_plus.backends.converging import or_raise
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.backends.twins import async_twin, in_thread
from django_sessions_plus.backends.uncommitted import Uncommitted
from django_sessions_plus.backends.use import NO_META, Columns, Condition
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.signals import session_context_changed, session_ended, session_started

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.base_session import AbstractSession

_COOKIE_COLUMNS = ("token_digest", "expires_at", "cookie_expires_at")


class SessionStore(BaseStore):
    """The session of a request, or one that other code opened. ``backends.db`` lists what an engine may override."""

    # Class attributes, so that __init__ need not set them: most sessions change none of them.
    row: AbstractSession | None = None
    """The row that this store has loaded or created; None before that, and after the session has ended."""
    inactive_row: AbstractSession | None = None
    """The row of the presented credential if it cannot be used: ended, perhaps by this request, or expired."""
    is_skipped = False
    """Whether the middleware ignores the session unless a view changes it; for responses that all users share."""
    applies_context_policy = True
    """Whether loading applies ``SESSIONS_PLUS_CONTEXT_POLICY``; with False, the caller has to apply it later."""
    wants_user = False
    """Whether the query that loads the row also loads its user."""
    on_end: Callable[[], None] | None = None
    """Called when this session ends or is forgotten during the request."""
    end_reason: str = policy.EndReason.SIGNED_OUT
    """The end reason to record when this store ends its session."""
    may_have_newer_cookie = False
    """Whether the browser may already have a newer cookie than the one of this request, whose token is unknown.

    A parallel request may have rotated the token a moment ago. If this response deleted the
    cookie, it would delete the new one and sign the user out.
    """
    is_opened_by_id = False
    """Whether the row was found by an id in a signed token, or by another package's token. It inserts no row then."""
    has_new_token = False
    """Whether this request created or rotated the token, so that the client does not know it before the response."""
    has_new_token_since_save = False
    """Whether the token was created or rotated since the last save, so that a sign-in need not rotate it again."""
    planned_token: str | None = None
    """The token that the next save has to write; None if the save makes one when it needs one."""
    next_token: str = ""
    """The token whose digest is being written."""
    refresh_family_ended_by: str | None = None
    """The end reason for which this request has invalidated the refresh tokens; None if it has not."""
    is_checking_user = False
    """Whether the current call only finds out who is signed in. A write that fails is logged then, not raised."""
    is_rotation_postponed = False
    """Whether such a call could not write its rotation of the token; the next request repeats it."""
    is_touched = False
    """Whether ``touch()`` was called. If a view has called it, the middleware need not."""
    has_touch_failed = False
    """Whether a touch has failed. Each store tries it only once."""
    has_uncommitted = False
    """Whether ``uncommitted`` is in use. If not, no rollback has undone a write of this store."""

    @classmethod
    def get_model_class(cls) -> type[AbstractSession]:
        """Return the model of the rows. Each engine overrides this."""
        raise NotImplementedError("an engine must name its model in get_model_class()")

    @cached_property
    def rows(self) -> Rows:
        """The object that finds and writes the rows of this store."""
        return Rows(self.get_model_class())

    def extra_columns(self, data: Mapping[str, Any]) -> Columns:
        """Return the values of your own columns for a session with this ``data``; override it if your model has any.

        A save writes those that differ from the row.
        """
        return {}

    def create_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """Return a new row for ``data``, not inserted; ``extra_columns()`` adds columns of your own."""
        model = self.get_model_class()
        user_id = user_key.named_in(data, model)
        columns = changes.new_columns(self.row, data, self, timezone.now(), user_id=user_id)
        # The token is in no local variable, because error reports show those.
        digest = tokens.digest(self._get_or_create_session_key())
        text = self.encode(data)
        columns |= self.extra_columns(data)
        return model(token_digest=digest, session_data=text, **columns)

    @cached_property
    def uncommitted(self) -> Uncommitted:
        """What this store has written in a transaction that is not committed yet."""
        self.has_uncommitted = True
        return Uncommitted(self.rows)

    @property
    def inactive_reason(self) -> policy.InactiveReason | None:
        """Why the session of the presented token can no longer be used, for the client that presented it; else None.

        None if the session is active, if nobody was signed in, and for a token that no row has: it
        was made up, or rotated since. Known once the session is loaded. Only the holder of the
        session's current token may know the reason; for a session that was opened by its id, the
        caller has to check that.
        """
        row = self.inactive_row
        if self.row is not None or row is None or row.user_id is None:
            return None
        return policy.inactive_reason(end_reason=row.end_reason, ended_at=row.ended_at)

    def is_empty(self) -> bool:
        """Return whether there is neither token nor data; for a row opened by its id, whether there is no row."""
        if self.is_opened_by_id:
            return self.row is None
        empty: bool = super().is_empty()
        return empty

    def is_fresh(self) -> bool:
        """Return whether the loaded session was authenticated within ``SESSIONS_PLUS_FRESH_AGE``."""
        return self.row is not None and (self.is_authenticated_now or self.row.is_fresh())

    def mark_authenticated(self, user: Any = None) -> None:
        """Record that the user has just authenticated: the next save rotates the token and makes the session fresh.

        A repeated sign-in needs a new token too (OWASP ASVS 5.0 7.2.4). With ``user``, the signals
        after the save need no query. ``session_key`` changes at once, so that receivers of
        ``user_logged_in`` do not store a key that the save replaces.
        """
        self.is_authenticated_now = True
        is_rotation_due = self.row is not None and not self.has_new_token_since_save
        if is_rotation_due and self.planned_token is None and not self.is_opened_by_id:
            self._session_key = self.planned_token = self._get_new_session_key()
        self.user = user
        self.modified = True

    # Read

    def load_if_needed(self) -> dict[str, Any]:
        """Return the data, loading it the first time; also load the row's user if ``wants_user`` is set."""
        data = self._get_session()
        if self.row is not None and is_user_missing(self):
            self.rows.add_user(self.row)
        return data

    async def aload_if_needed(self) -> dict[str, Any]:
        """See load_if_needed()."""
        is_loaded = hasattr(self, "_session_cache") or self.session_key is None
        if is_loaded and not is_user_missing(self):
            return await self._aget_session()
        return await in_thread(self.load_if_needed)

    def load(self) -> dict[str, Any]:
        """Load the session and return its data; an empty dictionary if the token is not that of an active session.

        An unknown, expired, ended or malformed token looks the same to the caller: no row is
        created (CVE-2015-5143) and nothing is raised. So does a session that ends now because it is used
        from another network or browser, if ``SESSIONS_PLUS_CONTEXT_POLICY`` is "end".
        """
        data = self._set_loaded_row(self._find_row())
        if context.apply_context_policy(self.row, self):
            self.end_for_context_change()
            return {}
        return data

    aload = async_twin(load)

    def open_by_id(self, session_id: uuid.UUID, *, from_primary: bool = False) -> bool:
        """Load the row with this id into this new store, by one query; return whether it is active.

        An id is public and no credential: call this only after verifying a signature over it. With
        ``from_primary``, the row is read from the database for writes, with the columns that only a
        refresh needs; decisions that end sessions need that. If False, the store is empty and stays empty.

        Such a store has no session token: ``session_key`` is None, and a rotation gives the row a
        token that nobody knows.
        """
        self.is_opened_by_id = True
        self.transport = "jwt"
        vars(self).pop("_session_cache", None)
        find = self.rows.find_for_refresh if from_primary else self.rows.find_by_id
        self._session_cache = self._set_loaded_row(find(session_id, with_user=self.wants_user))
        self.accessed = True
        if self.applies_context_policy and context.apply_context_policy(self.row, self):
            self.end_for_context_change()
        return self.row is not None

    aopen_by_id = async_twin(open_by_id)

    def exists(self, session_key: str | None) -> bool:
        """Return whether a session that has not ended has this token."""
        return tokens.is_well_formed(session_key) and (
            self.rows.exists(tokens.digest(session_key)) or importing.is_importable(session_key)
        )

    aexists = async_twin(exists)

    def reread(self) -> AbstractSession | None:
        """Read the row again, by its id; return None if it is inactive, or if another user is signed in to it.

        The token may have changed since. So call this only if the caller has just authenticated the user.
        """
        row = self.row
        stored = row and self.rows.find_current(row, with_user=self.wants_user)
        return stored if row and stored and stored.user_id == row.user_id else None

    # Write

    def create(self) -> None:
        """Insert a row with a new token and the present data.

        Raises:
            StaleSessionError: the store was opened by an id, and its row has ended; the client could
                not use a session token.
        """
        if self.is_opened_by_id:
            raise StaleSessionError
        while True:
            self._session_key = self._get_new_session_key()
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    acreate = async_twin(create)

    def save(self, must_create: bool = False) -> None:
        """Write the columns that changed, if the session is still active.

        Changes that parallel requests made to other keys are kept. If the session has ended since
        it was loaded, or if another user has signed in to it, nothing is written. If the same user
        has rotated its token, the save still succeeds: see ``converging``.

        Raises:
            CreateError: with ``must_create``, the token is taken.
            StaleSessionError: (an ``UpdateError``) the session has ended, or has another user now.
        """
        if self.session_key is None and not self.is_opened_by_id:
            self.create()
            return
        data = self._get_session(no_load=must_create)
        if must_create:
            if self.is_opened_by_id:
                raise StaleSessionError
            self.is_new = True
            self.insert(self.create_model_instance(data))
            return
        row = or_raise(importing.imported_again(self, self.row) or self._find_row())
        is_imported_again = self.row not in (None, row)
        columns = self.save_columns(row, data)
        is_rolled_back = self.has_uncommitted and self.uncommitted.is_rolled_back()
        if is_imported_again or is_rolled_back or (columns and not self.rows.update(row, columns)):
            converging.save_merged(self, row, data)
            return
        if self.rows.is_in_transaction:
            self.uncommitted.keep_before(row)
        pending = sending.pending_signal(row, columns)
        self.note_saved(row, columns)
        sending.send_pending(row, pending, self, self.rows.alias)

    asave = async_twin(save)

    def record_use(self) -> None:
        """After a request that set nothing: touch the session, or save it with ``SESSION_SAVE_EVERY_REQUEST``.

        A failure is logged, not raised, unless the view has changed a value in place; such a change is saved
        only with ``SESSION_SAVE_EVERY_REQUEST``.
        """
        if not settings.SESSION_SAVE_EVERY_REQUEST:
            self.touch()
            return
        is_changed = False
        with best_effort("save a session that was not changed"):
            data = self.load_if_needed()
            if not self.is_empty() and not (is_changed := _is_changed(self, data)):
                self.save()
        if is_changed:
            self.save()

    async def arecord_use(self) -> None:
        """See record_use()."""
        if settings.SESSION_SAVE_EVERY_REQUEST:
            await in_thread(self.record_use)
        else:
            await self.atouch()

    def touch(self) -> bool:
        """Record the last activity and slide the expiry, at most once per interval; return whether the expiry moved.

        Of several parallel requests only one writes, because the statement is conditional on the time of
        last activity that all of them have loaded. A failure is logged, not raised; nothing happens if the
        session has ended meanwhile.
        """
        self.is_touched = True
        row, columns = self.row, self.due_columns()
        if row is None or not columns or self.has_touch_failed:
            return False
        # The caller did not ask for a write, so a page that only reads must not fail because of one.
        self.has_touch_failed, is_written = True, False
        with best_effort("record that a session is in use", using=self.rows.alias):
            is_written = self.rows.update(row, columns, self.rows.untouched, skip_locked=True)
            self.has_touch_failed = False
        if is_written:
            self._note_and_send(row, columns)
        return is_written and "expires_at" in columns

    async def atouch(self) -> bool:
        """See touch()."""
        self.is_touched = True
        return bool(self.due_columns()) and await in_thread(self.touch)

    def cycle_key(self) -> None:
        """Rotate: give the session's row a new token. The old token is invalid at once.

        If a parallel request has rotated it already, it is not rotated again; an anonymous session
        gets a new row with its data. See ``converging``.

        Raises:
            StaleSessionError: the session has ended since it was loaded, or another user has signed in
                to it. A new token for its data would revive it.
        """
        if not self.is_checking_user:
            self._rotate()
            return
        # Django rotates the token after a change of SECRET_KEY. If that fails, the next request does it.
        self.is_rotation_postponed = True
        with best_effort("rotate the token of a session", using=self.rows.alias):
            self._rotate()
            self.is_rotation_postponed = False

    acycle_key = async_twin(cycle_key)

    def write_if(self, row: AbstractSession, columns: Columns, condition: Condition) -> bool:
        """Write ``columns`` if ``condition`` finds the row, send the signals; return whether they were written."""
        is_written = self.rows.update(row, columns, condition)
        if is_written:
            self._note_and_send(row, columns)
        return is_written

    # End

    def delete(self, session_key: str | None = None) -> None:
        """End the session of this token (default: this store's own session).

        A signed-in row is kept without its data until ``SESSIONS_PLUS_RETENTION`` has passed; an
        anonymous row is deleted. Does nothing if no session has the token.
        """
        is_own = session_key is None or session_key == self.session_key
        digest = self._digest_of(self.session_key if is_own else session_key)
        row = self.row if is_own else None
        if row is None:
            row = importing.row_to_end(self if is_own else type(self)(session_key), digest)
        if row is not None:
            self._end(row)

    adelete = async_twin(delete)

    def flush(self) -> None:
        """End the session and become an empty one without a token."""
        if not self.is_checking_user:
            self.delete()
            self.forget(modified=True)
            return
        # The request that has changed the password may be about to set another cookie.
        with best_effort("end a session that its user may not use", using=self.rows.alias):
            self.delete()
        self.forget_and_keep_cookie()

    aflush = async_twin(flush)

    def end_as(self, reason: str) -> AbstractSession | None:
        """End the session for ``reason`` and become empty; return the row if this call ended it, else None.

        ``repeat_end()`` records the same reason after a rollback.
        """
        self.end_reason = reason
        ended = None if self.row is None else self._end(self.row)
        self.forget()
        return ended

    def end_for_context_change(self) -> None:
        """End the session because its network or browser changed, and send the signal; if that fails, become empty."""
        changed = {} if self.row is None else context.context_changes(self.row, self.meta)
        using = self.rows.alias
        with best_effort("end a session used from another network or browser", using=using):
            ended = self.end_as(policy.EndReason.CONTEXT_CHANGED)
            if ended is not None:
                sending.send(session_context_changed, ended, self, using, changes=changed)
            return
        self.forget_and_keep_cookie()

    def repeat_end(self) -> None:
        """End the session again if the transaction in which it ended was rolled back.

        If a view signs the user out and then fails, the user must stay signed out.
        """
        row, self.uncommitted.ended = self.uncommitted.ended, None
        if row is not None:
            self._end(row)

    def forget(self, *, modified: bool = False) -> None:
        """Become empty without a write, because the session has ended or does not belong to this client."""
        self._session_cache: dict[str, Any] = {}
        self._session_key = self.row = self.pending_remember = self.planned_token = None
        self.is_authenticated_now = self.has_new_token_since_save = self.has_new_token = False
        self.is_token_outdated = self.is_cookie_due = self.may_have_newer_cookie = False
        self.accessed, self.modified = True, modified
        if self.on_end is not None:
            self.on_end()

    def forget_and_keep_cookie(self) -> None:
        """Become empty because a parallel request ended or rotated the session; the response keeps the cookie."""
        self.forget()
        self.may_have_newer_cookie = True

    # Helpers

    def _find_row(self) -> AbstractSession | None:
        """Return the row of this store, active or not; no query for a malformed token."""
        if self.is_opened_by_id:
            return self.row and self.rows.find_by_id(self.row.pk, with_user=self.wants_user)
        # The token is in no local variable, because error reports show those if the database fails.
        if not tokens.is_well_formed(self.session_key):
            return importing.row_of_cookie(self)
        row = self.rows.find(tokens.digest(self.session_key), with_user=self.wants_user)
        return row or importing.import_row(self)

    def _set_loaded_row(self, row: AbstractSession | None) -> dict[str, Any]:
        # A second load() must not replace the row: the next save would overwrite what other
        # requests wrote in between, or put the data of an ended session into a new one.
        is_first = not hasattr(self, "_session_cache")
        is_active = row is not None and row.is_active()
        if is_first and not is_active:
            self.may_have_newer_cookie = tokens.is_well_formed(self.session_key) and (
                row is None
                or policy.is_just_signed_out(row.end_reason, row.ended_at, timezone.now())
            )
            self._session_key = self.row = None
            self.inactive_row = row
        elif is_first:
            self.row = row
            if self.meta is NO_META:
                # Other code has opened the session; the middleware adds its own.
                opened.add_if_presented(self)
        return self.decode(row.session_data) if row is not None and is_active else {}

    def due_columns(self) -> Columns:
        """Return the columns that a touch of the loaded session has to write now; usually none."""
        if self.row is None or (data := self.known_data) is None:
            return {}
        return changes.touched_columns(self.row, data, self, timezone.now())

    def save_columns(self, row: AbstractSession, data: dict[str, Any]) -> Columns:
        """Return the columns that a save of ``data`` has to write to ``row``."""
        text, extra, now = self.encode(data), self.extra_columns(data), timezone.now()
        columns = changes.saved_columns(row, data, self, now, text=text, extra=extra)
        if self.is_authenticated_now and not self.has_new_token_since_save:
            columns |= self._rotation_columns(row, self.planned_token)
        return columns

    def _rotation_columns(self, row: AbstractSession, planned: str | None = None) -> Columns:
        if changes.has_fixed_token(row):
            return {}
        self.next_token = planned or self._get_new_session_key()
        return {"token_digest": tokens.digest(self.next_token)}

    def _rotate(self) -> None:
        self.load_if_needed()
        row = self._find_row() if self.row is None else importing.imported_again(self, self.row)
        if row is None and self.row is None:
            importing.forbid_unasked(self)
            self.create()
            return
        columns = self._rotation_columns(row := or_raise(row))
        if columns and not self.rows.update(row, columns):
            converging.follow_rotation(self, row)
            return
        if self.rows.is_in_transaction:
            self.uncommitted.keep_before(row)
        self._note_written(row, columns)
        self.planned_token = None
        self.has_new_token_since_save = self.modified = True

    def insert(self, row: AbstractSession) -> None:
        """Insert ``row``, which becomes the row of this store.

        Raises:
            CreateError: its token is taken.
        """
        if not self.rows.insert(row):
            raise CreateError
        self.note_saved(row, {})
        self.has_new_token_since_save = self.has_new_token = self.is_cookie_due = True
        if self.meta is NO_META:
            # Other code has created the session. Its token is new, so no other client has it.
            opened.add(self)
        self.uncommitted.keep_insert()
        if row.user_id is not None:
            sending.send(session_started, row, self, self.rows.alias)

    def _end(self, row: AbstractSession) -> AbstractSession | None:
        """End the row and return the ended row; None if nobody was signed in, or it had already ended."""
        uncommitted, is_own = self.uncommitted, row is self.row
        again = importing.imported_again(self, row)
        if again is None:
            return None
        row, self.row = again, again if is_own else self.row
        before = uncommitted.before if is_own else None
        uncommitted.keep_end(before or row)
        if is_own:
            uncommitted.is_inserted = None
        if before is not None and uncommitted.is_rolled_back():
            row = before
        is_signed_out = row.user_id is not None and self.end_reason == policy.EndReason.SIGNED_OUT
        actor = sending.user_of(row, self) if is_signed_out else None
        try:
            ended = self.rows.end(row, self.end_reason, actor)
        except Exception:
            # The caller sees the failure, so the end must not be repeated after the view's transaction.
            uncommitted.ended = None
            raise
        if ended is not None or row.user_id is None:
            importing.delete_in_source(row, self.rows.alias)
        if ended is None:
            return None
        if row is self.row:
            self.inactive_row = ended
        arguments = {"reason": self.end_reason, "actor": actor}
        sending.send(session_ended, ended, self, self.rows.alias, **arguments)
        return ended

    def _note_and_send(self, row: AbstractSession, columns: Columns) -> None:
        pending = sending.pending_signal(row, columns)
        self._note_written(row, columns)
        sending.send_pending(row, pending, self, self.rows.alias)

    def _note_written(self, row: AbstractSession, columns: Columns) -> None:
        """Update the loaded row and this store's attributes after ``columns`` were written."""
        if columns.get("refresh_digest", "") is None:
            is_sign_in = "authenticated_at" in columns
            reasons = policy.EndReason
            reason = reasons.SIGNED_OUT if is_sign_in else reasons.PASSWORD_CHANGED
            self.refresh_family_ended_by = reason
        importing.follow_write(self, row, columns)
        if "token_digest" in columns:
            if self.is_opened_by_id:
                self.is_token_lost = True
            else:
                self._session_key, self.has_new_token = self.next_token, True
        is_moved = not columns.keys().isdisjoint(_COOKIE_COLUMNS)
        if not self.is_token_outdated and (
            is_moved or changes.is_first_use_after_slide(row, columns)
        ):
            self.is_cookie_due = True
        if "authenticated_at" in columns or self.is_authenticated_now:
            row.is_reauthentication_due = False
        for name, value in columns.items():
            setattr(row, name, value)
        self.row = row

    def note_saved(self, row: AbstractSession, columns: Columns) -> None:
        """Update this store after a save wrote ``columns`` to ``row``: nothing is left to be written."""
        self._note_written(row, columns)
        self.pending_remember = self.planned_token = None
        self.is_authenticated_now = self.has_new_token_since_save = False


def is_user_missing(store: SessionStore) -> bool:
    """Return whether ``wants_user`` is set, and the user was not loaded with the row."""
    row = store.row
    if row is None or not store.wants_user or row.user_id is None:
        return False
    return "user" not in row._state.fields_cache


def _is_changed(store: SessionStore, data: dict[str, Any]) -> bool:
    """Return whether the data differs from the stored text, or cannot be encoded."""
    try:
        return store.row is None or store.encode(data) != store.row.session_data
    except (TypeError, ValueError):
        return True
