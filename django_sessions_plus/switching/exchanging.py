"""Exchange a refresh token of another package for a session and the pair of its tokens.

The first exchange writes a row whose refresh token is derived from the old one. From then on, the old one is judged
as any refresh token of that row: the same request again, or a parallel one, gets the same successor; who presents it
when the successor has been used has a copy, and the session ends. See ``jwt.refresh``.

The row is written together with the digest of the token, in one transaction. So of twenty parallel requests one
imports, and a token whose session has ended and was purged is never exchanged again.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import transaction

from django_sessions_plus import events, sessions
from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.user_check import backend_of
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import (
    InactiveSessionError,
    SessionsPlusError,
    SignInRefusedError,
    TokenError,
)
from django_sessions_plus.jwt.issuing import IssuedTokens
from django_sessions_plus.jwt.refresh import refresh
from django_sessions_plus.policy import EndReason
from django_sessions_plus.switching.barriers import is_forbidden
from django_sessions_plus.switching.importing import new_row, write
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.old_refresh import OldRefresh
from django_sessions_plus.switching.sealing import LONGEST_KEY, seal
from django_sessions_plus.switching.sources.base import OldSession
from django_sessions_plus.switching.sources.named import TOKENS

REFRESH = ("simplejwt",)
"""The packages whose refresh tokens are exchanged; other tokens are used as they are."""


class Package(Protocol):
    """What the module for such a package has."""

    def read(self, token: object) -> OldRefresh | None:
        """Return the token if the package has issued it and it has not expired; else None. No query."""

    def user_of(self, old: OldRefresh) -> Any:
        """Return its user, who may use it; None if there is none. One query."""

    def is_revoked(self, old: OldRefresh) -> bool:
        """Return whether the package knows that it may not be used any more. One query, if it keeps a list."""

    def revoke(self, old: OldRefresh, user: Any) -> None:
        """Have the package refuse it from now on, if it keeps a list."""

    def refresh(self, token: Any) -> dict[str, Any]:
        """Return what the package's own endpoint answers to the token."""


def package_of(source: str) -> Package:
    """Return the module that knows the refresh tokens of this source."""
    return cast(Package, import_module(TOKENS[source]))


def read(token: object) -> OldRefresh | None:
    """Return a refresh token of a package that ``SESSIONS_PLUS_IMPORT_FROM`` names; None for any other. No query."""
    names = [name for name in REFRESH if name in config.IMPORT_FROM]
    return next((old for name in names if (old := package_of(name).read(token))), None)


def exchange(old: OldRefresh, *, store: SessionStore, request: Any) -> IssuedTokens | None:
    """Return the pair for ``old``; see ``jwt.refresh.refresh()``, also for ``store`` and ``request``.

    None if the token was not exchanged yet, and its own package has to answer, because ``SESSION_ENGINE`` is still
    another engine. Call it outside of a transaction.

    Raises:
        TokenError: the token was revoked, or its user may not use it.
        InactiveSessionError: its session has ended, or all sessions of its user have, since it was issued.
        StaleSessionError, ConfigurationError: as ``refresh()``.
    """
    row = store.rows.find_for_refresh(old.session_id)
    if row is None:
        row = _import(old, store)
    elif _is_signed_out_there(old, using=store.rows.alias):
        sessions.revoke(row, reason=EndReason.SIGNED_OUT)
    if row is None:
        return None
    started_at = row.imported_at or row.created_at
    return refresh(old.first(started_at), store=store, request=request)


def end(old: OldRefresh, store: SessionStore) -> Any:
    """Sign out by the token, which begins no session any more, and return the user; None if nobody was signed in.

    ``store`` is a new one; the session is loaded in it.
    """
    using, package = store.rows.alias, package_of(old.source)
    user = package.user_of(old)
    with transaction.atomic(using=using):
        _, is_first = ImportedKey.objects.using(using).get_or_create(
            digest=old.digest, defaults={"source": old.source}
        )
        package.revoke(old, user)
    store.open_by_id(old.session_id, from_primary=True)
    is_ended = store.end_as(EndReason.SIGNED_OUT) is not None
    return user if is_ended or is_first else None


def _import(old: OldRefresh, store: SessionStore) -> AbstractSession | None:
    """Write the row and return it, also if a parallel request has done so; None if its package has to answer."""
    using = store.rows.alias
    if ImportedKey.objects.using(using).filter(digest=old.digest).exists():
        return _find_again(old, store)
    package = package_of(old.source)
    user = package.user_of(old)
    if user is None:
        raise TokenError
    if package.is_revoked(old):
        # Perhaps by a parallel request that has exchanged it.
        return _find_again(old, store, or_raise=TokenError)
    if is_forbidden(user, old.issued_at, using=using):
        raise InactiveSessionError
    if own_engine() is None:
        return None
    row = _new_row(old, user, store)
    if not _write(old, row, user, store):
        return _find_again(old, store)
    _finish(old, row, user)
    return row


def _write(old: OldRefresh, row: AbstractSession, user: Any, store: SessionStore) -> bool:
    """Write the row and the digest, and revoke the token or keep its key; False if another request has done so."""
    key = ImportedKey(digest=old.digest, source=old.source)
    if config.IMPORT_KEEP_SOURCE and len(old.key) <= LONGEST_KEY:
        key.sealed_key = seal(old.key, old.digest)
    with transaction.atomic(using=store.rows.alias):
        is_ours = write(store.rows, row, key)
        if is_ours and not key.sealed_key:
            package_of(old.source).revoke(old, user)
    return is_ours


def _is_signed_out_there(old: OldRefresh, *, using: str) -> bool:
    """Return whether the package has revoked a token that was left to it; two queries with that setting, else none."""
    if not config.IMPORT_KEEP_SOURCE or not package_of(old.source).is_revoked(old):
        return False
    kept = ImportedKey.objects.using(using).filter(digest=old.digest).exclude(sealed_key="")
    return kept.exists()


def _find_again(
    old: OldRefresh,
    store: SessionStore,
    or_raise: type[SessionsPlusError] = InactiveSessionError,
) -> AbstractSession:
    """Return the row that a parallel request has written since the caller has looked for it.

    Raises:
        InactiveSessionError: there is none, because its session was purged or may not begin; or another error.
    """
    row = store.rows.find_for_refresh(old.session_id)
    if row is None:
        raise or_raise
    return row


def _new_row(old: OldRefresh, user: Any, store: SessionStore) -> AbstractSession:
    """Return the row, not inserted.

    Raises:
        TokenError: no authentication backend lets the user in, or the session would have expired.
    """
    try:
        backend = backend_of(user)
    except SignInRefusedError:
        raise TokenError from None
    data = {SESSION_KEY: user._meta.pk.value_to_string(user), BACKEND_SESSION_KEY: backend}
    if hasattr(user, "get_session_auth_hash"):
        data[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session = OldSession(data, expires_at=old.expires_at, created_at=old.issued_at)
    row = new_row(
        type(store), session, user=user, digest=old.digest, meta=store.meta, transport="jwt"
    )
    if not row.is_active():
        raise TokenError
    assert row.imported_at is not None  # noqa: S101 - new_row() has set it
    row.pk, row.refresh_started_at = old.session_id, row.imported_at
    row.refresh_digest = old.first(row.imported_at).digest()
    return row


def _finish(old: OldRefresh, row: AbstractSession, user: Any) -> None:
    """After the commit: log the import, and end what may not stay."""
    using = row._state.db or ""
    events.SESSION_IMPORTED.log(session_id=row.pk, user_id=row.user_id, source=old.source)
    with best_effort("end a session that was imported too late", using=using):
        # All sessions of the user may have ended between the first look at the barriers and the commit.
        if is_forbidden(user, old.issued_at, using=using):
            sessions.revoke(row)
    with best_effort("end the sessions beyond the limit", using=using):
        sessions.enforce_limit(user, keep=row)
