"""Import one token of another package when it is presented, as ``importing`` does for the session of a cookie.

The package judges whether the token is valid. Its row stays as long as the session here is active, because the
package's own views delete it to sign out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import DatabaseError, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import events, sessions
from django_sessions_plus.backends.changes import EXPIRY_KEY
from django_sessions_plus.backends.session import SessionStore
from django_sessions_plus.backends.uncommitted import ImportAgain
from django_sessions_plus.backends.user_check import backend_of
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bookkeeping import best_effort, log_failure
from django_sessions_plus.conf.kinds import LONGEST_DURATION
from django_sessions_plus.conf.lifetimes import FOREIGN
from django_sessions_plus.exceptions import SignInRefusedError
from django_sessions_plus.switching.asking import NoAnswer, call, unknown_tokens
from django_sessions_plus.switching.barriers import is_forbidden
from django_sessions_plus.switching.importing import is_dead, new_row, write
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sealing import seal
from django_sessions_plus.switching.sources.base import OldSession
from django_sessions_plus.switching.sources.tokens import TokenSource

FAILED: Literal[NoAnswer.FAILED] = NoAnswer.FAILED


@dataclass(frozen=True)
class OldToken:
    """A token that its package has accepted."""

    user: Any
    # What finds the token in its table. Not in the repr, which may get into a log.
    key: str = field(repr=False)
    created_at: datetime | None
    expires_at: datetime | None


@sensitive_variables("old")
def import_token(
    store: SessionStore,
    source: TokenSource,
    digest: str,
    find: Callable[[], OldToken | None],
    *,
    refusals: type[Exception],
    errors: tuple[type[Exception], ...] = (),
) -> AbstractSession | Literal[NoAnswer.FAILED] | None:
    """Return the row of the session for the token with this digest, now imported; None if it may not be.

    ``find()`` asks the package. ``FAILED`` is returned if its table cannot be read: the token may be valid. If our
    own database cannot be written to, the row is not saved, and the next request tries again.

    Raises:
        Exception: of the type ``refusals``, by which the package refuses the token, or one of ``errors``, by which
            the project's class refuses the request.
    """
    if digest in unknown_tokens:
        return None
    try:
        old = call(find, source, refusals=(refusals, *errors))
    except refusals:
        unknown_tokens.add(digest)
        raise
    if old is NoAnswer.FAILED:
        return FAILED
    # A database that ignores case finds other spellings of a key too.
    if not isinstance(old, OldToken) or source.digest_of(old.key) != digest:
        return None

    def import_again() -> AbstractSession | None:
        with suppress(refusals, *errors):
            row = import_token(store, source, digest, find, refusals=refusals, errors=errors)
            return None if row is FAILED else row
        return None

    try:
        return _import(store, source, old, digest, import_again)
    except SignInRefusedError:
        return None


@sensitive_variables("old")
def _import(
    store: SessionStore, source: TokenSource, old: OldToken, digest: str, again: ImportAgain
) -> AbstractSession | None:
    rows, session = store.rows, _session_of(old)
    row = new_row(
        type(store), session, user=old.user, digest=digest, meta=store.meta, transport=FOREIGN
    )
    if is_dead(row, session, old.user, rows):
        found = rows.find_not_ended(digest)
        if found is None:
            # Or the package's own sign-in would return this token again.
            with best_effort(f"delete an ended token of {source.name}", using=source.alias):
                source.delete(old.key)
        return found
    key = ImportedKey(digest=digest, source=source.name, sealed_key=seal(old.key, digest))
    try:
        is_ours = write(rows, row, key)
    except DatabaseError as error:
        # The database may be read-only for a while.
        log_failure(f"import a token of {source.name}", error)
        store.uncommitted.keep_token_import(again, is_written=False)
        row._state.db = rows.alias
        return row
    if not is_ours:
        return rows.find_not_ended(digest)
    store.uncommitted.keep_token_import(again, is_written=True)
    transaction.on_commit(_Imported(row, old, source.name).finish, using=rows.alias)
    return row


def _session_of(old: OldToken) -> OldSession:
    """Return the token as a session. It has the hash of the user's present password, so that a new one ends it.

    Raises:
        SignInRefusedError: no authentication backend of this site has such a user.
    """
    user, now = old.user, timezone.now()
    users: Any = sessions.session_model()._meta.get_field("user").related_model
    if not isinstance(user, users):
        # A user of this site with the same primary key is somebody else.
        raise SignInRefusedError
    # Without an expiry, it lasts until it is ended.
    expires_at = old.expires_at or now + LONGEST_DURATION
    data = {
        SESSION_KEY: user._meta.pk.value_to_string(user),
        BACKEND_SESSION_KEY: backend_of(user),
        EXPIRY_KEY: expires_at.isoformat(),
    }
    if hasattr(user, "get_session_auth_hash"):
        data[HASH_SESSION_KEY] = user.get_session_auth_hash()
    return OldSession(data=data, created_at=old.created_at)


@dataclass(frozen=True, repr=False)
class _Imported:
    """What is left to do after the commit. Without a repr: error reports show callbacks that wait for a commit."""

    row: AbstractSession
    old: OldToken
    source: str

    def finish(self) -> None:
        """End the session if it may not stay. ``SESSIONS_PLUS_MAX_PER_USER`` is left to the next sign-in.

        Tokens did not count before, so that the first use of one must not sign a browser out.
        """
        row, using = self.row, self.row._state.db or ""
        events.SESSION_IMPORTED.log(session_id=row.pk, user_id=row.user_id, source=self.source)
        with best_effort("end a session that was imported too late", using=using):
            # All sessions of the user may have ended between the first look at the barriers and the commit.
            if is_forbidden(self.old.user, self.old.created_at, using=using):
                sessions.revoke(row)
