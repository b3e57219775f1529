"""Exchange a refresh token for an access token and the next refresh token.

A client may send one refresh token several times in parallel, or again because a response was
lost. For ``SESSIONS_PLUS_REFRESH_GRACE`` it gets the same successor each time. If it also sends the
attempt that rotated the token, it gets the successor until that one is used, for at most
``SESSIONS_PLUS_REFRESH_RETRY_AGE``. Otherwise somebody has a copy of the token, and the session
ends (RFC 9700 section 4.14.2).

Call these functions outside of a transaction: a rollback would undo that a reused token has
ended the session.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import events, policy
from django_sessions_plus.backends import context, refresh_tokens
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.twins import in_thread
from django_sessions_plus.backends.use import Columns
from django_sessions_plus.backends.user_check import user_of
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.exceptions import InactiveSessionError, StaleSessionError, TokenError
from django_sessions_plus.jwt import access, refresh_token, verdicts
from django_sessions_plus.jwt.issuing import IssuedTokens, pair_of
from django_sessions_plus.jwt.refresh_token import RefreshToken
from django_sessions_plus.jwt.replays import end_reused, record_replay
from django_sessions_plus.jwt.verdicts import Verdict

# A refresh that loses a race to a parallel one reads the row again, and then knows the result. Other
# writes may come between as well: a new expiry, or each of the replays that are left.
_TRIES = 4 + verdicts.MAX_REPLAYS

Presented = RefreshToken | ValueError | None


def refresh(
    token: str | RefreshToken,
    *,
    attempt: str | None = None,
    store: SessionStore | None = None,
    request: Any = None,
) -> IssuedTokens:
    """Exchange a refresh token for a new pair; two statements. See the module.

    ``store`` is a new store whose ``meta`` is that of the request, whose address and user agent are
    recorded; the session is loaded in it afterwards. If it is also ``request.session``, an end
    persists even if the view's transaction is rolled back.

    ``request`` is passed to the callables that settings name for issuer, audience and keys.
    ``token`` is the text, or what it was parsed to, with its attempt if there was one.
    ``attempt`` is the client's proof that a late call is a retry: 32 random hexadecimal digits, new
    for each refresh and the same for its retries. See docs/refresh.md.

    Parallel calls with one token all succeed with the same ``refresh``. One of them writes; the
    others read the row again. No call makes a session active again that ends meanwhile.

    Raises:
        TokenError: this site has not issued the token, a pair of a later sign-in has replaced it, or
            its deadline has passed. No session was ended.
        InactiveSessionError: nobody is signed in to its session any more; perhaps because this call
            has just ended it, as the token had been used before.
        StaleSessionError: the row changed again and again during the call.
        ValueError: ``attempt`` is not 32 hexadecimal digits. Nothing was rotated.
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package, or a key or a claim of the
            access token cannot be used. Nothing was rotated.
    """
    presented = _parse(token, attempt)
    # If the database fails, error reports show the variables of every frame.
    del token, attempt
    return _exchange(presented, store, request)


async def arefresh(
    token: str | RefreshToken,
    *,
    attempt: str | None = None,
    store: SessionStore | None = None,
    request: Any = None,
) -> IssuedTokens:
    """See refresh()."""
    presented = _parse(token, attempt)
    del token, attempt
    return await in_thread(_exchange, presented, store, request)


@sensitive_variables()
def _parse(token: str | RefreshToken, attempt: str | None) -> Presented:
    # Errors are returned and not raised: the frames of an exception would show the token.
    if attempt is not None and not refresh_token.is_attempt(attempt):
        return ValueError("An attempt is 32 hexadecimal digits, in lower case.")
    presented = token if isinstance(token, RefreshToken) else refresh_token.parse(token)
    if attempt is None or presented is None:
        return presented
    return presented.with_attempt(attempt)


def _exchange(presented: Presented, store: SessionStore | None, request: Any) -> IssuedTokens:
    if presented is None:
        raise TokenError
    if isinstance(presented, ValueError):
        raise presented
    store = new_store() if store is None else store
    for _ in range(_TRIES):
        row, user = _open(store, presented)
        now = timezone.now()
        verdict = verdicts.judge(presented, row, now)
        if verdict is Verdict.REUSED:
            if end_reused(store, user, presented, now):
                raise InactiveSessionError(policy.InactiveReason.SUSPICIOUS)
            continue
        _require_usable(verdict, store, presented)
        # A custom user model may lack this method.
        auth_hash = getattr(user, "get_session_auth_hash", lambda: None)()
        due = {} if verdict is Verdict.RETRIED else store.due_columns()
        idle_until = due.get("expires_at") or row.expires_at
        idle_until = policy.capped(idle_until, row.refresh_limited_until)
        # Before the rotation is written: if a callable of a claim raises, the client's token must stay valid.
        issued = access.issue(
            row, user=user, auth_hash=auth_hash, idle_until=idle_until, request=request
        )
        successor = _apply_verdict(store, row, presented, verdict, now, due)
        if successor is not None:
            if verdict is Verdict.CURRENT:
                _renew_identity(store, auth_hash)
            events.TOKENS_REFRESHED.log(session_id=row.pk, user_id=row.user_id)
            return pair_of(row, issued, successor)
    raise StaleSessionError


def _apply_verdict(
    store: SessionStore,
    row: AbstractSession,
    presented: RefreshToken,
    verdict: Verdict,
    now: datetime,
    due: Columns,
) -> RefreshToken | None:
    """Write what the verdict requires and return the successor; None if the row has changed meanwhile.

    ``due`` are the other columns that this use of the session has to write.
    """
    if verdict is Verdict.CURRENT:
        successor = presented.successor(now)
        attempt, replays = verdicts.attempt_to_keep(presented, row)
        digest = successor.digest()
        is_written = refresh_tokens.rotate_refresh(
            store, row, digest, now, due, attempt=attempt, replays=replays
        )
        return successor if is_written else None
    rotated_at, changes = row.refreshed_at, context.context_changes(row, store.meta)
    # Within the grace, any holder of the token gets an answer. One from another network or browser is
    # recorded: otherwise a thief could copy each rotation without being noticed.
    is_recorded = verdict is Verdict.RETRIED or bool(changes)
    if is_recorded and not record_replay(store, row, now, verdict, changes):
        return None
    return None if rotated_at is None else presented.successor(rotated_at)


def _open(store: SessionStore, presented: RefreshToken) -> tuple[AbstractSession, Any]:
    """Return the session's row and the user who is signed in, by the same rules as for every request.

    Raises:
        InactiveSessionError: nobody is signed in to the session.
    """
    store.wants_user = True
    # A reused token is worse than another network, so the verdict on the token comes first.
    store.applies_context_policy = False
    store.open_by_id(presented.session_id, from_primary=True)
    user = user_of(store)
    row = store.row
    if row is None or not user.is_authenticated or user.pk != row.user_id:
        raise _inactive_error(store, presented)
    return row, user


def _inactive_error(store: SessionStore, presented: RefreshToken) -> InactiveSessionError:
    """Return the error; its reason is set only if the token is that of the session's last refresh."""
    row = store.inactive_row
    if row is None:
        return InactiveSessionError()
    verdict = verdicts.judge(presented, row, timezone.now())
    is_holder = verdict not in (Verdict.REUSED, Verdict.REPLACED)
    return InactiveSessionError(store.inactive_reason if is_holder else None)


def _require_usable(verdict: Verdict, store: SessionStore, presented: RefreshToken) -> None:
    """Refuse a token of a replaced or expired family, and a session that must not be used from here."""
    if verdict in (Verdict.REPLACED, Verdict.EXPIRED):
        raise TokenError
    if context.apply_context_policy(store.row, store):
        store.end_for_context_change()
        raise _inactive_error(store, presented)


def _renew_identity(store: SessionStore, auth_hash: str | None) -> None:
    """Store the auth hash of the present ``SECRET_KEY``, as Django does for cookies, before a fallback is removed."""
    if auth_hash is None or store.get(HASH_SESSION_KEY) == auth_hash:
        return
    store[HASH_SESSION_KEY] = auth_hash
    # A parallel request has done it, or has ended the session.
    with (
        suppress(StaleSessionError),
        best_effort("renew the auth hash of a session", using=store.rows.alias),
    ):
        store.save()
