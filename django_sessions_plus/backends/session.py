"""What one request knows of its session: Django's contract, and when to read and write. Nothing of storage.

A ``SessionStore`` holds ``rows``, which finds and writes its row. Which columns a write carries is decided
in ``changes``, what becomes of a request whose row somebody else has written in ``converging``. Every
write is conditional on the row still being active and still bearing the token it was loaded with.

Longer than other modules, because the contract is one class, whose methods call each other.
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
from django_sessions_plus.backends import changes, context, converging, opened, sending, user_key
from django_sessions_plus.backends.base import BaseStore
from django_sessions_plus.backends.converging import or_raise
from django_sessions_plus.backends.rows import Condition, Rows
from django_sessions_plus.backends.twins import async_twin, in_thread
from django_sessions_plus.backends.uncommitted import Uncommitted
from django_sessions_plus.backends.use import Columns
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.signals import (
    session_context_changed,
    session_ended,
    session_started,
)

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.base_session import AbstractSession

_COOKIE_COLUMNS = ("token_digest", "expires_at", "cookie_expires_at")


class SessionStore(BaseStore):
    """The session of one request, or of whoever else opens one. ``backends.db`` tells what an engine adds."""

    # Defaults of the class, not of __init__: most sessions change none of them.

    row: AbstractSession | None = None
    """The row this store has loaded or created; None before that and after the end."""
    inactive_row: AbstractSession | None = None
    """The row that what was presented names, and that opens nothing: ended, perhaps by this request, or expired."""
    is_skipped = False
    """Whether the answer is the same for everybody: unless a view changes it, the session is not even read."""
    applies_context_policy = True
    """Whether loading acts on ``SESSIONS_PLUS_CONTEXT_POLICY``; whoever switches it off does it later."""
    wants_user = False
    """Whether loading should bring the user along in the same query."""
    on_end: Callable[[], None] | None = None
    """Called when this session ends or is forgotten during the request."""
    end_reason: str = policy.EndReason.SIGNED_OUT
    """The reason that is recorded when this store ends its session."""
    former_cookie_name: str | None = None
    """The earlier name under which the request sent the cookie, where it has to move to the present one."""
    may_have_newer_cookie = False
    """Whether the browser may by now have a newer cookie than the one that opened nothing.

    A token we do not know may have been rotated away a moment ago by a parallel
    request; to delete the cookie then would delete its successor and sign the person out.
    """
    is_opened_by_id = False
    """Whether the row was found by its id, for a signed token. Such a store knows no token and inserts no row."""
    is_token_sent = False
    """Whether the client sent the token in a header of its own, so that a response may tell it a new one there."""
    has_new_token = False
    """Whether this request has given the session its token, which its client then does not know before the response."""
    is_token_lost = False
    """Whether the row has a new session token that nobody knows: no response sends it, or it was opened by its id."""
    has_new_token_since_save = False
    """Whether the token was rotated, or made, since the last save, so that a sign-in need not do it."""
    planned_token: str | None = None
    """The token that the next save gives to the session, if it is chosen already."""
    next_token: str = ""
    """The token whose digest is being written."""
    refresh_family_ended_by: str | None = None
    """The end reason for which this request has voided the refresh tokens; None if it has not."""
    is_checking_user = False
    """Whether it is just being found out who is signed in: nobody has asked for what comes of that."""
    is_rotation_postponed = False
    """Whether a rotation that came of that could not be written."""
    has_touch_failed = False
    """Whether recording the use has failed. It is tried once."""

    @classmethod
    def get_model_class(cls) -> type[AbstractSession]:
        """Return the model of the rows; engines decide."""
        raise NotImplementedError("an engine must name its model in get_model_class()")

    @cached_property
    def rows(self) -> Rows:
        """Where the rows of this store are found and written."""
        return Rows(self.get_model_class())

    def extra_columns(self, data: Mapping[str, Any]) -> Columns:
        """Return the values of your own columns for a session with this ``data``.

        The hook for models with columns of their own. They are written with the
        session when their value differs from the row's.
        """
        return {}

    def create_model_instance(self, data: dict[str, Any]) -> AbstractSession:
        """Return a new row for ``data``; columns of your own come from ``extra_columns()``."""
        model = self.get_model_class()
        user_id = user_key.named_in(data, model)
        columns = changes.new_columns(self.row, data, self, timezone.now(), user_id=user_id)
        # The token is in no local variable, which error reports would show.
        digest = tokens.digest(self._get_or_create_session_key())
        text = self.encode(data)
        columns |= self.extra_columns(data)
        return model(token_digest=digest, session_data=text, **columns)

    @cached_property
    def uncommitted(self) -> Uncommitted:
        """What this store has written in a transaction that may yet be rolled back."""
        return Uncommitted(self.rows)

    @property
    def inactive_reason(self) -> policy.InactiveReason | None:
        """Why nobody is signed in any more by the token that was presented.

        None where somebody is, or nobody was, and for a token that no row bears: one that was
        made up or rotated away is not its session's. It is known from loading the session, and
        meant for whoever presented the token alone; of a session that was opened by its id the
        caller has to judge what was presented for it.
        """
        row = self.inactive_row
        if self.row is not None or row is None or row.user_id is None:
            return None
        return policy.inactive_reason(end_reason=row.end_reason, ended_at=row.ended_at)

    def is_empty(self) -> bool:
        """Return whether there is neither token nor data; of a row opened by its id, whether it is gone."""
        if self.is_opened_by_id:
            return self.row is None
        empty: bool = super().is_empty()
        return empty

    def is_fresh(self) -> bool:
        """Return whether the loaded session was authenticated within ``SESSIONS_PLUS_FRESH_AGE``."""
        return self.row is not None and (self.is_authenticated_now or self.row.is_fresh())

    def mark_authenticated(self, user: Any = None) -> None:
        """Record that the person has just authenticated: the next save rotates the token and renews freshness.

        OWASP ASVS 5.0 7.2.4 asks for a new token also when somebody signs in again. With
        ``user`` given, what is told after the save needs no query for it. ``session_key`` is the
        new token from now on, so that receivers of ``user_logged_in`` keep no key that is dead
        after the save.
        """
        self.is_authenticated_now = True
        is_rotation_due = self.row is not None and not self.has_new_token_since_save
        if is_rotation_due and self.planned_token is None and not self.is_opened_by_id:
            self._session_key = self.planned_token = self._get_new_session_key()
        self.user = user
        self.modified = True

    # Read

    def load_if_needed(self) -> dict[str, Any]:
        """Return the data, from storage the first time; and bring the user along, if wanted."""
        data = self._get_session()
        if self.row is not None and _is_user_missing(self):
            self.rows.add_user(self.row)
        return data

    async def aload_if_needed(self) -> dict[str, Any]:
        """See load_if_needed()."""
        is_loaded = hasattr(self, "_session_cache") or self.session_key is None
        if is_loaded and not _is_user_missing(self):
            return await self._aget_session()
        return await in_thread(self.load_if_needed)

    def load(self) -> dict[str, Any]:
        """Return the session's data; an empty session for a token that opens nothing.

        Unknown, expired, ended and malformed are the same to the caller: no row is
        created (CVE-2015-5143) and nothing is raised. So is a session that ends because it
        is used from elsewhere, where ``SESSIONS_PLUS_CONTEXT_POLICY`` says so.
        """
        data = self._adopt(self._read())
        return (
            self.end_for_context_change() if context.apply_context_policy(self.row, self) else data
        )

    aload = async_twin(load)

    def open_by_id(self, session_id: uuid.UUID, *, from_primary: bool = False) -> bool:
        """Load the row ``session_id`` into this new store; return whether it lives. One query.

        An id is public and opens nothing: only who has verified a signature over it may
        call this. ``from_primary`` reads past replicas, for decisions that end sessions, and
        also what only a refresh has to know. Where the answer is False the store is empty and stays so.

        Such a store never learns nor tells a session token: ``session_key`` is None, and a
        rotation gives the row a token nobody knows.
        """
        self.is_opened_by_id = True
        self.transport = "jwt"
        vars(self).pop("_session_cache", None)
        find = self.rows.find_for_refresh if from_primary else self.rows.find_by_id
        self._session_cache = self._adopt(find(session_id, with_user=self.wants_user))
        self.accessed = True
        if self.applies_context_policy and context.apply_context_policy(self.row, self):
            self.end_for_context_change()
        return self.row is not None

    aopen_by_id = async_twin(open_by_id)

    def exists(self, session_key: str | None) -> bool:
        """Return whether the token names a session that has not ended."""
        return tokens.is_well_formed(session_key) and self.rows.exists(tokens.digest(session_key))

    aexists = async_twin(exists)

    def reread(self) -> AbstractSession | None:
        """Return the row of this session as it is now; None if it has ended, or is another user's.

        Whatever its token is by now: only for who has just authenticated the user.
        """
        row = self.row
        stored = row and self.rows.find_current(row, with_user=self.wants_user)
        return stored if row and stored and stored.user_id == row.user_id else None

    # Write

    def create(self) -> None:
        """Insert a row under a new token, with the data there is.

        Raises:
            StaleSessionError: the row was opened by its id, and there is none any more. Whoever
                presented that has no use for a token.
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
        """Write what changed, and only where the session still lives.

        Changes that parallel requests made to other keys are kept. A session that has ended since
        it was loaded, or that another user has signed in to, is never written. One whose token the
        same user has rotated is: see the module ``converging``.

        Raises:
            CreateError: ``must_create``, and the token is taken.
            StaleSessionError: (an ``UpdateError``) there is no such row to be written any more.
        """
        if self.session_key is None and not self.is_opened_by_id:
            self.create()
            return
        data = self._get_session(no_load=must_create)
        if must_create:
            if self.is_opened_by_id:
                raise StaleSessionError
            self.insert(self.create_model_instance(data))
            return
        row = or_raise(self.row or self._read())
        columns = self.save_columns(row, data)
        is_rolled_back = self.uncommitted.is_rolled_back()
        if is_rolled_back or (columns and not self.rows.update(row, columns)):
            converging.save_merged(self, row, data)
            return
        self.uncommitted.keep_before(row)
        pending = sending.pending_signals(row, columns)
        self.note_saved(row, columns)
        sending.send_pending(row, pending, self, self.rows.alias)

    asave = async_twin(save)

    def record_use(self) -> None:
        """Do what is left to be done after a request that has changed nothing: touch, or save if every request saves.

        Never raises because that fails. What was changed in place, where every request saves, has
        to be saved, though.
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
        """Record that the session is in use, at most once per interval; return whether its expiry moved.

        Of any number of parallel requests one writes: the statement is conditional on
        the time of last activity they all have loaded. Never raises for a session that
        ended meanwhile.
        """
        row, columns = self.row, self.due_columns()
        if row is None or not columns or self.has_touch_failed:
            return False
        # Nobody has asked for it, and the answer of a page that only reads must not depend on it.
        self.has_touch_failed, is_written = True, False
        with best_effort("record that a session is in use", using=self.rows.alias):
            is_written = self.rows.update(row, columns, self.rows.untouched, skip_locked=True)
            self.has_touch_failed = False
        if is_written:
            self._note_and_send(row, columns)
        return is_written and "expires_at" in columns

    async def atouch(self) -> bool:
        """See touch()."""
        return bool(self.due_columns()) and await in_thread(self.touch)

    def cycle_key(self) -> None:
        """Give the session a new token on the same row; the old one is dead at once.

        If a parallel request has rotated it already, that was the rotation; an anonymous session
        begins anew, with its data. See the module ``converging``.

        Raises:
            StaleSessionError: the session ended since it was loaded, or another user has signed in
                to it. To put its data under another token would bring it back.
        """
        if not self.is_checking_user:
            self._rotate()
            return
        # After a change of SECRET_KEY. If it fails it is left to the next request.
        self.is_rotation_postponed = True
        with best_effort("rotate the token of a session", using=self.rows.alias):
            self._rotate()
            self.is_rotation_postponed = False

    acycle_key = async_twin(cycle_key)

    def write_if(self, row: AbstractSession, columns: Columns, condition: Condition) -> bool:
        """Write ``columns`` if ``condition`` finds the row, and send what there is to be told of it."""
        is_written = self.rows.update(row, columns, condition)
        if is_written:
            self._note_and_send(row, columns)
        return is_written

    # End

    def delete(self, session_key: str | None = None) -> None:
        """End the session of this token (default: the store's own).

        The row of a sign-in is kept, its data wiped, until ``SESSIONS_PLUS_RETENTION``
        has passed; an anonymous row is deleted. Harmless for None and unknown tokens.
        """
        is_own = session_key is None or session_key == self.session_key
        digest = _digest_of(self.session_key if is_own else session_key)
        row = self.row if is_own else None
        if row is None and digest is not None:
            row = self.rows.find_not_ended(digest)
        if row is not None:
            self._end(row)

    adelete = async_twin(delete)

    def flush(self) -> None:
        """End the session and become an empty one without a token."""
        if not self.is_checking_user:
            self.delete()
            self.forget(modified=True)
            return
        with best_effort("end a session that its user may not use", using=self.rows.alias):
            self.delete()
            self.forget(modified=True)
            return
        self.give_up()

    aflush = async_twin(flush)

    def end_as(self, reason: str) -> AbstractSession | None:
        """End the session and become empty; return the row if this call ended it, else None.

        The reason holds also for the end that repeats this one after a rollback.
        """
        self.end_reason = reason
        ended = None if self.row is None else self._end(self.row)
        self.forget()
        return ended

    def end_for_context_change(self) -> dict[str, Any]:
        """End the session because it is used from elsewhere, tell that, and return what is left of its data: none."""
        changed = {} if self.row is None else context.context_changes(self.row, self.meta)
        using = self.rows.alias
        with best_effort("end a session used from elsewhere", using=using):
            ended = self.end_as(policy.EndReason.CONTEXT_CHANGED)
            if ended is not None:
                sending.send(session_context_changed, ended, self, using, changes=changed)
            return {}
        self.give_up()
        return {}

    def repeat_end(self) -> None:
        """End the session once more if that happened in a transaction that was rolled back.

        A view signs somebody out and then fails: the person must stay signed out.
        """
        row, self.uncommitted.ended = self.uncommitted.ended, None
        if row is not None:
            self._end(row)

    def forget(self, *, modified: bool = False) -> None:
        """Become empty without touching storage: the row has ended or belongs to nobody here."""
        self._session_cache: dict[str, Any] = {}
        self._session_key = self.row = self.pending_remember = self.planned_token = None
        self.is_authenticated_now = self.has_new_token_since_save = self.has_new_token = False
        self.is_token_outdated = self.is_cookie_due = self.may_have_newer_cookie = False
        self.accessed = True
        self.modified = modified
        if self.on_end is not None:
            self.on_end()

    def forget_and_keep_cookie(self) -> None:
        """Become empty because a parallel request ended or rotated the session, and leave the cookie be."""
        self.forget()
        self.may_have_newer_cookie = True

    # What these are made of

    def _read(self) -> AbstractSession | None:
        """Return the row of this store, whatever its state; no query for what no row can bear."""
        if self.is_opened_by_id:
            return self.row and self.rows.find_by_id(self.row.pk, with_user=self.wants_user)
        # The token is in no local variable: should the database fail, error reports show those.
        if not tokens.is_well_formed(self.session_key):
            return None
        return self.rows.find(tokens.digest(self.session_key), with_user=self.wants_user)

    def _adopt(self, row: AbstractSession | None) -> dict[str, Any]:
        # An explicit load() beside data that is already here must not become the base of
        # its next save: what others wrote in between would look like ours to overwrite, and
        # the data of a session that has ended would go into a new one.
        is_first, is_active = (
            not hasattr(self, "_session_cache"),
            row is not None and row.is_active(),
        )
        if is_first and not is_active:
            self.may_have_newer_cookie = tokens.is_well_formed(self.session_key) and (
                row is None
                or policy.is_just_signed_out(row.end_reason, row.ended_at, timezone.now())
            )
            self._session_key = self.row = None
            self.inactive_row = row
        elif is_first:
            self.row = row
            opened.note_opened(self)
        return self.decode(row.session_data) if row is not None and is_active else {}

    def due_columns(self) -> Columns:
        """Return what a use of the loaded session has to write now; mostly nothing."""
        if self.row is None or not hasattr(self, "_session_cache"):
            return {}
        return changes.touched_columns(self.row, self._session_cache, self, timezone.now())

    def save_columns(self, row: AbstractSession, data: dict[str, Any]) -> Columns:
        """Return what a save of ``data`` has to write over ``row``."""
        text, extra, now = self.encode(data), self.extra_columns(data), timezone.now()
        columns = changes.saved_columns(row, data, self, now, text=text, extra=extra)
        if self.is_authenticated_now and not self.has_new_token_since_save:
            columns |= self._rotation_columns(self.planned_token)
        return columns

    def _rotation_columns(self, planned: str | None = None) -> Columns:
        self.next_token = planned or self._get_new_session_key()
        return {"token_digest": tokens.digest(self.next_token)}

    def _rotate(self) -> None:
        self.load_if_needed()
        row = self.row or self._read()
        if row is None:
            self.create()
            return
        columns = self._rotation_columns()
        if not self.rows.update(row, columns):
            converging.follow_rotation(self, row)
            return
        self.uncommitted.keep_before(row)
        self._note_written(row, columns)
        self.planned_token = None
        self.has_new_token_since_save = self.modified = True

    def insert(self, row: AbstractSession) -> None:
        """Insert ``row``, the session of this store from now on.

        Raises:
            CreateError: its token is taken.
        """
        if not self.rows.insert(row):
            raise CreateError
        self.note_saved(row, {})
        self.has_new_token_since_save = self.has_new_token = self.is_cookie_due = True
        opened.note_created(self)
        self.uncommitted.keep_insert()
        if row.user_id is not None:
            sending.send(session_started, row, self, self.rows.alias)

    def _end(self, row: AbstractSession) -> AbstractSession | None:
        """End the row and return it as it is then; None if nobody was signed in, or others were first."""
        uncommitted, is_own = self.uncommitted, row is self.row
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
            # It has failed visibly: nothing is to be done once more after the view's transaction.
            uncommitted.ended = None
            raise
        if ended is None:
            return None
        if row is self.row:
            self.inactive_row = ended
        arguments = {"reason": self.end_reason, "actor": actor}
        sending.send(session_ended, ended, self, self.rows.alias, **arguments)
        return ended

    def _note_and_send(self, row: AbstractSession, columns: Columns) -> None:
        pending = sending.pending_signals(row, columns)
        self._note_written(row, columns)
        sending.send_pending(row, pending, self, self.rows.alias)

    def _note_written(self, row: AbstractSession, columns: Columns) -> None:
        """Bring the loaded row, and the token, in line with what was written."""
        if columns.get("refresh_digest", "") is None:
            is_sign_in = "authenticated_at" in columns
            reasons = policy.EndReason
            self.refresh_family_ended_by = (
                reasons.SIGNED_OUT if is_sign_in else reasons.PASSWORD_CHANGED
            )
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
        """Note that ``columns`` were written over ``row``, and nothing is left to be written."""
        self._note_written(row, columns)
        self.pending_remember = self.planned_token = None
        self.is_authenticated_now = self.has_new_token_since_save = False


def _digest_of(token: str | None) -> str | None:
    """Return the digest of ``token``; None for what no row can bear."""
    return tokens.digest(token) if tokens.is_well_formed(token) else None


def _is_user_missing(store: SessionStore) -> bool:
    """Return whether the user was wanted and has not come with the row."""
    row = store.row
    if row is None or not store.wants_user or row.user_id is None:
        return False
    return "user" not in row._state.fields_cache


def _is_changed(store: SessionStore, data: dict[str, Any]) -> bool:
    """Return whether the loaded data is not what is stored any more; also if it cannot be stored."""
    try:
        return store.row is None or store.encode(data) != store.row.session_data
    except (TypeError, ValueError):
        return True
