"""What a request does if a parallel request has rotated its session's token or changed its row.

A browser may send such requests together: three of one page after a change of ``SECRET_KEY``, a sign-in
form that was submitted twice, a re-authentication beside a poll. The response to the request that
rotated contains the new token. The other request succeeds too:

- It merges its changes with the stored data and saves them in the same row. It sets no cookie,
  because the browser gets the new token from the other response.
- If it has itself authenticated the user, or set a new password, it inserts a separate session with
  a token of its own. So the cookie works whichever response reaches the browser last, or alone.
- If it rotates the token of an anonymous session, to sign a user in, it inserts a separate session
  with the anonymous data.
- If it has saved a new password of its user, a parallel request may find that the session's auth hash is
  that of the old one, and end the session, before this request has stored the new one. It inserts a
  separate session, as Django's own engine does.

If the session has ended otherwise, or another user has signed in to it, the request fails with ``StaleSessionError``.

An attacker with a copy of the old token gains nothing. Only a request that loaded the session before the
rotation gets here. It does not get the new token: that is random, and the database has only its
digest. It can write data until its response, as it could just before the rotation. It gets a token of
its own only with the user's password; or in an anonymous session, for anonymous data that it has
already read. Neither opens a session that a user has signed in to since.

Longer than other modules, because these cases have to be read side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from django.contrib.auth import HASH_SESSION_KEY
from django.utils import timezone

from django_sessions_plus import tokens
from django_sessions_plus.backends import changes, opened, sending, user_key
from django_sessions_plus.backends.merging import merge
from django_sessions_plus.backends.use import Columns, Use
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.policy import EndReason

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.backends.rows import Rows
    from django_sessions_plus.backends.uncommitted import Uncommitted
    from django_sessions_plus.base_session import AbstractSession

T = TypeVar("T")
Data = dict[str, Any]


class Store(Use, Protocol):
    """The part of a session store that these functions use."""

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
        """The object that finds and writes its row."""

    @property
    def uncommitted(self) -> Uncommitted:
        """What it has written in a transaction that is not committed yet."""

    @property
    def session_key(self) -> str | None:
        """The session token."""

    def _get_new_session_key(self) -> str: ...

    def encode(self, session_dict: Data) -> str:
        """Return the data as text."""

    def create_model_instance(self, data: Data) -> AbstractSession:
        """Return a new row."""

    def insert(self, row: AbstractSession) -> None:
        """Insert a new row."""

    def save_columns(self, row: AbstractSession, data: Data) -> Columns:
        """Return the columns that a save has to write."""

    def note_saved(self, row: AbstractSession, columns: Columns) -> None:
        """Update the store after a save."""


def save_merged(store: Store, row: AbstractSession, data: Data) -> None:
    """Save after the conditional statement found no row, or was rolled back: merge, restore, or insert separately.

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
        # The rollback has undone an earlier save of this value, so it has to be written again.
        store.pending_remember = store.remember
        row = or_raise(uncommitted.before)
    merging = store.rows.merge(row, lambda stored: _merged(store, stored, row, data))
    if merging is None and _is_ended_for_own_password(store, row):
        _start_separate_session(store, row, data)
        return
    stored, columns, merged = or_raise(merging)
    if is_rolled_back:
        uncommitted.before = None
    if merged is None:
        _start_separate_session(store, row, data)
        return
    if store.rows.is_in_transaction:
        uncommitted.keep_before(stored)
    store._session_cache = merged
    pending = sending.pending_signal(stored, columns)
    store.note_saved(stored, columns)
    if store.is_token_outdated:
        # This request must not use the new token: a write that depends on the token, such as the
        # issue of refresh tokens, must still fail.
        stored.token_digest = row.token_digest
    sending.send_pending(stored, pending, store, store.rows.alias)


def follow_rotation(store: Store, row: AbstractSession) -> None:
    """Continue after ``cycle_key()`` found that a parallel request has rotated the token; raises like save_merged()."""
    if store.uncommitted.is_rolled_back():
        raise StaleSessionError
    rows = store.rows
    stored = (
        rows.lock(row)
        if rows.is_in_transaction
        else rows.find_current(row, with_user=store.wants_user)
    )
    if stored is None and _is_ended_for_own_password(store, row):
        _start_separate_session(store, row, store._session_cache)
        store.modified = True
        return
    stored = or_raise(stored)
    _note_rotation(store, stored, row)
    if store.is_token_outdated and row.user_id is None:
        # Most likely this request is about to sign a user in.
        _start_separate_session(store, row, store._session_cache)
    elif stored.user_id != row.user_id:
        raise StaleSessionError
    store.modified = True


def or_raise(value: T | None) -> T:
    """Return ``value`` unless it is None.

    Raises:
        StaleSessionError: it is None.
    """
    if value is None:
        raise StaleSessionError
    return value


def _merged(
    store: Store, stored: AbstractSession, row: AbstractSession, data: Data
) -> tuple[Columns, Data | None]:
    """Return the columns to write to ``stored``, and the merged data; None for it if the session has to be separate.

    ``data`` is what this request wants to save, ``row`` the row from which it was loaded.

    Raises:
        StaleSessionError: another user is signed in to ``stored``.
    """
    base, mine = store.decode(row.session_data), store.decode(store.encode(data))
    is_my_password_new = _has_set_new_password(row, base, mine, store)
    _note_rotation(store, stored, row)
    if store.is_token_outdated:
        is_own = store.is_authenticated_now or is_my_password_new
        if is_own or not user_key.is_user_of(row, mine):
            if stored.user_id not in (row.user_id, user_key.named_in(mine, type(row))):
                raise StaleSessionError
            return {}, None
        if stored.user_id != row.user_id:
            raise StaleSessionError
    elif store.is_opened_by_id and _has_authenticated_meanwhile(stored, row):
        # Another rotation would invalidate the token in the other request's response, and this
        # store, which was opened by its id, has no use for a new token.
        store.is_authenticated_now = False
    theirs = store.decode(stored.session_data)
    merged = or_raise(
        merge(base=base, mine=mine, theirs=theirs, is_my_password_new=is_my_password_new)
    )
    if merged.get(HASH_SESSION_KEY) != theirs.get(HASH_SESSION_KEY):
        # Load the user: it shows whether the password is new, or the same under another SECRET_KEY.
        sending.user_of(stored, store)
    columns = store.save_columns(stored, merged)
    if (
        not store.is_token_outdated
        and "token_digest" not in columns
        and store.session_key is not None
    ):
        # This request may have rotated to this token in a transaction that was rolled back.
        store.next_token = store.session_key
        digest = tokens.digest(store.session_key)
        columns |= {} if digest == stored.token_digest else {"token_digest": digest}
    return columns, merged


def _start_separate_session(store: Store, row: AbstractSession, data: Data) -> None:
    """Insert a separate row for this request, with a token of its own."""
    store.pending_remember = store.remember
    is_signing_in = store.is_authenticated_now or not user_key.is_user_of(row, data)
    # The row decides which transport's timeouts apply: the new session continues the old one.
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
    expected = opened.find_expected(row.pk)
    if expected is not None:
        opened.add_expected(new.pk, expected)


def _is_ended_for_own_password(store: Store, row: AbstractSession) -> bool:
    """Return whether the session was ended because of a password that this very request has saved for its user."""
    if store.is_opened_by_id or opened.find_expected(row.pk) is None:
        return False
    ended = store.rows.query().filter(pk=row.pk, end_reason=EndReason.PASSWORD_CHANGED)
    return ended.exists()


def _note_rotation(store: Store, stored: AbstractSession, row: AbstractSession) -> None:
    """Set ``is_token_outdated`` if a parallel request has rotated the token since ``row`` was read."""
    if stored.token_digest == row.token_digest or store.is_opened_by_id:
        return
    # A planned token is not in the database yet.
    token = None if store.planned_token else store.session_key
    if token is not None and tokens.digest(token) not in (row.token_digest, stored.token_digest):
        # This request's own rotation was rolled back, so neither of its tokens is valid.
        raise StaleSessionError
    store.is_token_outdated = True
    store.is_cookie_due = False


def _has_authenticated_meanwhile(stored: AbstractSession, row: AbstractSession) -> bool:
    """Return whether the user has authenticated in a parallel request."""
    is_same_user = stored.user_id == row.user_id and row.user_id is not None
    return is_same_user and stored.authenticated_at != row.authenticated_at


def _has_set_new_password(row: AbstractSession, base: Data, mine: Data, use: Use) -> bool:
    """Return whether this request stored the hash of a new password, not another hash of the same password."""
    before, after = base.get(HASH_SESSION_KEY), mine.get(HASH_SESSION_KEY)
    user = user_key.known_user(row, use)
    if before == after or not hasattr(user, "get_session_auth_hash"):
        return False
    is_set = after == user.get_session_auth_hash()
    return is_set and not user_key.is_of_earlier_key(user, before)
