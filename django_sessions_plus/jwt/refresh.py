"""Access and refresh tokens of a session: issue a pair, and exchange a refresh token for the next.

Whoever sends one refresh token many times at once, or again because the answer got lost,
is answered with the same successor for ``SESSIONS_PLUS_REFRESH_GRACE``. Who comes later
with it has a copy, or somebody else has: the session ends (RFC 9700 section 4.14.2).

Call these outside of a transaction. What a rollback undoes, a reused token did not do.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import HASH_SESSION_KEY
from django.db import router
from django.utils import timezone

from django_sessions_plus import events, policy
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.user_check import user_of
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import SessionOverError, StaleSessionError, TokenError
from django_sessions_plus.jwt import access, refresh_token
from django_sessions_plus.jwt.access import IssuedAccess
from django_sessions_plus.jwt.refresh_token import Kept, RefreshToken, Verdict
from django_sessions_plus.signals import refresh_token_reused, send_after_commit

# Who loses a race to a parallel refresh looks once more, and then knows its outcome. What else
# comes in between, such as a new expiry, may do so again.
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """A pair of tokens that was issued. Its repr does not show them."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int
    """How many seconds the access token is valid, from the moment of issue."""
    expires_at: datetime
    refresh_expires_at: datetime
    """When the session expires unless it is used before, and the refresh token with it."""


def issue_tokens(session: AbstractSession) -> IssuedTokens:
    """Issue a pair for ``session``; see ``sessions.issue_tokens()``. One statement on the engine ``db``."""
    if session.user_id is None:
        raise StaleSessionError
    issued = access.issue(session)
    started_at = timezone.now()
    if session.refresh_started_at is not None:
        # Two lines of one moment would be one.
        started_at = max(started_at, session.refresh_started_at + timedelta(microseconds=1))
    token = refresh_token.first(session.pk, started_at)
    if not new_store().start_refresh(session, token.digest(), started_at):
        raise StaleSessionError
    return _pair(session, issued, token)


async def aissue_tokens(session: AbstractSession) -> IssuedTokens:
    """See issue_tokens()."""
    return await sync_to_async(issue_tokens, thread_sensitive=True)(session)


def refresh(token: str, *, store: SessionStore | None = None) -> IssuedTokens:
    """Exchange a refresh token for a pair, at the price of two statements; see the module.

    ``store`` is a new one that knows the request (``bind()``), whose address and user agent
    are recorded; it has the session afterwards. As ``request.session`` it also sees to it
    that an end outlives a transaction of the view.

    Any number of parallel calls with one token succeed with the same ``refresh``, and one
    of them writes; one that loses to it reads once more. No call revives a session that
    ends meanwhile.

    Raises:
        TokenError: the token is not of this site, or a later pair has taken its place.
            Nothing has ended.
        SessionOverError: nobody is signed in to its session any more; perhaps just because
            this token had been used before.
        StaleSessionError: the session changes faster than this transaction can see.
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    presented = refresh_token.parse(token)
    # Should the database fail, error reports show the variables of every frame.
    del token
    return _exchange(presented, store)


async def arefresh(token: str, *, store: SessionStore | None = None) -> IssuedTokens:
    """See refresh()."""
    presented = refresh_token.parse(token)
    del token
    return await sync_to_async(_exchange, thread_sensitive=True)(presented, store)


def _exchange(presented: RefreshToken | None, store: SessionStore | None) -> IssuedTokens:
    if presented is None:
        raise TokenError
    store = new_store() if store is None else store
    for _ in range(_ATTEMPTS):
        row, user = _opened(store, presented)
        now, grace = timezone.now(), config.REFRESH_GRACE
        kept = Kept(row.refresh_digest, row.refresh_started_at, row.refreshed_at)
        verdict = refresh_token.decide(presented, kept, now=now, grace=grace)
        if verdict is Verdict.REUSED:
            if end_reused(store, user, presented, now):
                raise SessionOverError(policy.OverReason.SUSPICIOUS)
            continue
        _require_usable(verdict, store, presented)
        # Before anything is written: a claim that fails must not cost the client its token.
        # A user model of a project's own need not have one.
        auth_hash = getattr(user, "get_session_auth_hash", lambda: None)()
        issued = access.issue(row, user=user, auth_hash=auth_hash)
        if verdict is Verdict.PRECEDING and row.refreshed_at is not None:
            return _pair(row, issued, presented.successor(row.refreshed_at))
        successor = presented.successor(now)
        if store.rotate_refresh(row, successor.digest(), now):
            _renew_identity(store, auth_hash)
            return _pair(row, issued, successor)
    raise StaleSessionError


def _opened(store: SessionStore, presented: RefreshToken) -> tuple[AbstractSession, Any]:
    """Return the session's row and the user who is signed in, as every request judges that."""
    store.wants_user = True
    # A token that was used again is the graver news, and told first.
    store.judges_context = False
    store.open_by_id(presented.session_id, from_primary=True)
    user = user_of(store)
    row = store.row
    if row is None or not user.is_authenticated or user.pk != row.user_id:
        raise _over(store, presented)
    return row, user


def _over(store: SessionStore, presented: RefreshToken) -> SessionOverError:
    """Return the refusal, with the reason for who holds the token of the session's last refresh."""
    row = store.row_over
    if row is None:
        return SessionOverError()
    kept = Kept(row.refresh_digest, row.refresh_started_at, row.refreshed_at)
    verdict = refresh_token.decide(presented, kept, now=timezone.now(), grace=config.REFRESH_GRACE)
    is_holder = verdict in (Verdict.CURRENT, Verdict.PRECEDING)
    return SessionOverError(store.over_reason if is_holder else None)


def _require_usable(verdict: Verdict, store: SessionStore, presented: RefreshToken) -> None:
    """Refuse a token whose line was replaced, or whose session must not be used from here."""
    if verdict is Verdict.REPLACED:
        raise TokenError
    if store.is_refused_here():
        store.end_elsewhere()
        raise _over(store, presented)


def end_reused(store: SessionStore, user: Any, presented: RefreshToken, now: datetime) -> bool:
    """End the session of a token that was used again, and tell; return whether it was this call that did.

    ``store`` has the row that the token was judged by. False if somebody else has ended the
    session first, or has begun another line.
    """
    row, changes, age = store.row, store.context_changes(), presented.age(now)
    ended = store.end_as(policy.EndReason.REFRESH_REUSED)
    if row is None or ended is None:
        return False
    since_rotation = None if row.refreshed_at is None else now - row.refreshed_at
    using = router.db_for_write(type(row))
    events.REFRESH_TOKEN_REUSED.log_after_commit(
        using=using,
        session_id=row.pk,
        user_id=row.user_id,
        age=age.total_seconds(),
        since_rotation=None if since_rotation is None else since_rotation.total_seconds(),
        context_changed=bool(changes),
        changed=changes,
    )
    send_after_commit(
        refresh_token_reused,
        using=using,
        sender=type(row),
        session=ended,
        user=user,
        age=age,
        since_rotation=since_rotation,
        context_changed=bool(changes),
        changes=changes,
    )
    return True


def _renew_identity(store: SessionStore, auth_hash: str | None) -> None:
    """Have the session outlive the fallback of a ``SECRET_KEY`` that was changed, as Django does for cookies."""
    if auth_hash is None or store.get(HASH_SESSION_KEY) == auth_hash:
        return
    store[HASH_SESSION_KEY] = auth_hash
    # Whoever was faster has done it, or has ended the session.
    with suppress(StaleSessionError):
        store.save()


def _pair(session: AbstractSession, issued: IssuedAccess, token: RefreshToken) -> IssuedTokens:
    limit = policy.deadline(session.limited_from, config.ABSOLUTE_AGE)
    return IssuedTokens(
        access=issued.token,
        refresh=token.text(),
        expires_in=issued.expires_in,
        expires_at=issued.expires_at,
        refresh_expires_at=policy.capped(session.expires_at, limit),
    )
