"""What becomes of a request whose session token a parallel request has rotated.

Both come from one browser, which cannot help sending them together: three requests of one page
after a change of ``SECRET_KEY``, a sign-in that was pressed twice, a re-authentication beside a
poll. The one that rotated was answered with the new token. The other one goes on as if it had won:

- It saves what it changed, merged with what is stored, over the row that its token opened. It sets
  no cookie: the browser gets the new token from the answer of the one that rotated.
- If it has authenticated the user itself, or set a new password, it begins a session of its own,
  under a token of its own. So whichever of the two answers reaches the browser last, or alone, its
  cookie works. Django has two sessions then as well.
- An anonymous visit that rotates at its sign-in begins a session of its own too, with its data.

Another user on the row, or its end, interrupts it (``StaleSessionError``).

What does somebody gain who holds a copy of the old token? Nothing opens by it any more, so only a
request that was loaded before the rotation and is held open gets here. Most rotations are meant to
be rid of such copies, so it never learns the new token: that is random, the database has but its
digest, and no later request of the copy's holder finds the row. Until it is answered it can write
data into the session, which it could have done a moment before. A token of its own it gets for the
password alone, with which anybody can sign in; or, while anonymous, for a copy of the anonymous
data that it has read already. That is no way into a session that somebody has signed in to since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from django.contrib.auth import HASH_SESSION_KEY
from django.utils import timezone

from django_sessions_plus import tokens
from django_sessions_plus.backends import changes, sending, user_key
from django_sessions_plus.backends.merging import merge
from django_sessions_plus.backends.use import Columns, Use
from django_sessions_plus.exceptions import StaleSessionError

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.backends.rows import Rows
    from django_sessions_plus.backends.uncommitted import Uncommitted
    from django_sessions_plus.base_session import AbstractSession

T = TypeVar("T")
Data = dict[str, Any]


class Store(Use, Protocol):
    """What of a session store these functions use."""

    row: AbstractSession | None
    planned_token: str | None
    next_token: str
    is_opened_by_id: bool
    wants_user: bool
    modified: bool
    pending_remember: bool | None
    _session_cache: Data
    _session_key: str | None

    @property
    def rows(self) -> Rows:
        """Where its row is found and written."""

    @property
    def uncommitted(self) -> Uncommitted:
        """What it has written in a transaction that may yet be rolled back."""

    @property
    def session_key(self) -> str | None:
        """Its token."""

    def _get_new_session_key(self) -> str: ...

    def encode(self, session_dict: Data) -> str:
        """Return the data as it is stored."""

    def create_model_instance(self, data: Data) -> AbstractSession:
        """Return a new row."""

    def insert(self, row: AbstractSession) -> None:
        """Insert a new row."""

    def save_columns(self, row: AbstractSession, data: Data) -> Columns:
        """Return what a save has to write."""

    def note_saved(self, row: AbstractSession, columns: Columns) -> None:
        """Note that nothing is left to be written."""


def save_merged(store: Store, row: AbstractSession, data: Data) -> None:
    """Save after a conditional statement found no row: merge, restore, begin anew, or refuse.

    Raises:
        StaleSessionError: the session has ended, or another user is signed in to it.
    """
    uncommitted = store.uncommitted
    is_rolled_back = uncommitted.is_rolled_back()
    if is_rolled_back and uncommitted.is_inserted:
        again = store.create_model_instance(data)
        again.pk = row.pk
        store.insert(again)
        return
    if is_rolled_back:
        # Gone with the view's transaction; what the session says now still counts.
        store.pending_remember = store.remember
        row = or_raise(uncommitted.before)
    merging = store.rows.merge(
        row, lambda stored: _merged(store, stored, row, data), with_user=store.wants_user
    )
    stored, columns, merged = or_raise(merging)
    if is_rolled_back:
        uncommitted.before = None
    if merged is None:
        _start_separate_session(store, row, data)
        return
    uncommitted.keep_before(stored)
    store._session_cache = merged
    pending = sending.pending_signals(stored, columns)
    store.note_saved(stored, columns)
    if store.is_token_outdated:
        # The row as this request may use it: what is bound to its token, such as the issue of
        # refresh tokens, stays refused.
        stored.token_digest = row.token_digest
    sending.send_pending(stored, pending, store, store.rows.alias)


def follow_rotation(store: Store, row: AbstractSession) -> None:
    """Go on after a rotation that found the token rotated by a parallel request.

    Raises:
        StaleSessionError: the session has ended, or another user is signed in to it.
    """
    if store.uncommitted.is_rolled_back():
        raise StaleSessionError
    rows = store.rows
    stored = or_raise(
        rows.lock(row)
        if rows.is_in_transaction
        else rows.find_current(row, with_user=store.wants_user)
    )
    _note_rotation(store, stored, row)
    if store.is_token_outdated and row.user_id is None:
        # Most likely it is about to sign somebody in.
        _start_separate_session(store, row, store._session_cache)
    elif stored.user_id != row.user_id:
        raise StaleSessionError
    store.modified = True


def or_raise(value: T | None) -> T:
    """Return ``value``, or refuse the write because there is none.

    Raises:
        StaleSessionError: it is None.
    """
    if value is None:
        raise StaleSessionError
    return value


def _merged(
    store: Store, stored: AbstractSession, row: AbstractSession, data: Data
) -> tuple[Columns, Data | None]:
    """Return what is to be written over ``stored`` for the data that comes of both, and that data.

    ``row`` is what the data was read from. The data is None if this request has to begin a session of
    its own.

    Raises:
        StaleSessionError: another user is signed in to ``stored``.
    """
    base, mine = store.decode(row.session_data), store.decode(store.encode(data))
    is_my_password_new = _is_password_mine(row, base, mine, store)
    _note_rotation(store, stored, row)
    if store.is_token_outdated:
        is_own = store.is_authenticated_now or is_my_password_new
        if is_own or not user_key.is_user_of(row, mine):
            if stored.user_id not in (row.user_id, user_key.named_in(mine, type(row))):
                raise StaleSessionError
            return {}, None
        if stored.user_id != row.user_id:
            raise StaleSessionError
    elif store.is_opened_by_id and _is_authenticated_meanwhile(stored, row):
        # It has no session token to be renewed. To rotate once more would void the one that the
        # other request was answered with.
        store.is_authenticated_now = False
    merged = or_raise(
        merge(
            base=base,
            mine=mine,
            theirs=store.decode(stored.session_data),
            is_my_password_new=is_my_password_new,
        )
    )
    columns = store.save_columns(stored, merged)
    if (
        not store.is_token_outdated
        and "token_digest" not in columns
        and store.session_key is not None
    ):
        # It may have been rotated to in a transaction that was rolled back.
        store.next_token = store.session_key
        digest = tokens.digest(store.session_key)
        columns |= {} if digest == stored.token_digest else {"token_digest": digest}
    return columns, merged


def _start_separate_session(store: Store, row: AbstractSession, data: Data) -> None:
    """Insert a row for this request alone, under a token of its own."""
    store.pending_remember = store.remember
    is_signing_in = store.is_authenticated_now or not user_key.is_user_of(row, data)
    # Of the session that goes on, so by the timeouts of the transport that it started with.
    store.row = row
    expires_at = changes.next_expiry(row, data, store, timezone.now(), since=row.limited_from)
    store.row = None
    store.is_token_outdated = False
    store._session_key = store.planned_token or store._get_new_session_key()
    new = store.create_model_instance(data)
    if not is_signing_in:
        new.authenticated_at = row.authenticated_at
        new.reauthentication_required = row.reauthentication_required
        new.transport, new.expires_at = row.transport, expires_at
        if new.cookie_expires_at is not None:
            new.cookie_expires_at = new.expires_at
    store.insert(new)


def _note_rotation(store: Store, stored: AbstractSession, row: AbstractSession) -> None:
    """Note whether somebody else has rotated the token since ``row`` was read."""
    if stored.token_digest == row.token_digest or store.is_opened_by_id:
        return
    # What the next save would have given to the session is no token yet.
    token = None if store.planned_token else store.session_key
    if token is not None and tokens.digest(token) not in (row.token_digest, stored.token_digest):
        # What this request rotated to itself was rolled back: it has no token to keep.
        raise StaleSessionError
    store.is_token_outdated = True
    store.is_cookie_due = False


def _is_authenticated_meanwhile(stored: AbstractSession, row: AbstractSession) -> bool:
    """Return whether the user has authenticated beside this request."""
    is_same_user = stored.user_id == row.user_id and row.user_id is not None
    return is_same_user and stored.authenticated_at != row.authenticated_at


def _is_password_mine(row: AbstractSession, base: Data, mine: Data, use: Use) -> bool:
    """Return whether this request has set another password; a new form of the same one's hash is none."""
    before, after = base.get(HASH_SESSION_KEY), mine.get(HASH_SESSION_KEY)
    user = changes.known_user(row, use)
    if before == after or user is None or after != user.get_session_auth_hash():
        return False
    return before not in user.get_session_auth_fallback_hash()
