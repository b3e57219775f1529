"""Access and refresh tokens of a session: issue the first pair of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone

from django_sessions_plus import policy
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.refresh_tokens import start_refresh
from django_sessions_plus.backends.twins import in_thread
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import lifetimes
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.jwt import access, refresh_token
from django_sessions_plus.jwt.access import IssuedAccess
from django_sessions_plus.jwt.refresh_token import RefreshToken


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """An access token and a refresh token. Its repr does not show them."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int
    """How many seconds the access token is valid, from the moment of issue."""
    expires_at: datetime
    """When the access token expires."""
    refresh_expires_at: datetime
    """When the refresh token expires: at its deadline, or with the session if that is not used before."""


def issue_tokens(session: AbstractSession, *, request: HttpRequest | None = None) -> IssuedTokens:
    """Issue an access token and a refresh token for the session of a signed-in user; call it by ``sessions``.

    Both become invalid when the session ends. A session has one refresh token at a time: the one of
    an earlier call is refused from now on, but using it does not end the session. ``request`` is
    passed to the callables that settings name for issuer, audience and keys of the access token.
    One statement on the engine ``db``, and a query for ``session.user`` if that is not loaded.

    Raises:
        StaleSessionError: the session has ended or expired, nobody is signed in to it, or its user is gone.
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package, or a key or a claim of the
            access token cannot be used. Nothing is written then.
    """
    if session.user_id is None:
        raise StaleSessionError
    started_at = timezone.now()
    if session.refresh_started_at is not None:
        # A second refresh family in the same microsecond would share its start time, so move it on.
        started_at = max(started_at, session.refresh_started_at + timedelta(microseconds=1))
    deadline = policy.deadline(started_at, lifetimes.absolute_age("jwt"))
    until = policy.capped(session.expires_at, deadline)
    issued = access.issue(session, idle_until=until, request=request)
    token = refresh_token.first(session.pk, started_at)
    if not start_refresh(new_store(), session, token.digest(), started_at):
        raise StaleSessionError
    return pair_of(session, issued, token)


async def aissue_tokens(
    session: AbstractSession, *, request: HttpRequest | None = None
) -> IssuedTokens:
    """See issue_tokens()."""
    return await in_thread(issue_tokens, session, request=request)


def pair_of(session: AbstractSession, issued: IssuedAccess, token: RefreshToken) -> IssuedTokens:
    """Return the pair as its holder gets it, with the times at which the tokens expire."""
    return IssuedTokens(
        access=issued.token,
        refresh=token.text(),
        expires_in=issued.expires_in,
        expires_at=issued.expires_at,
        refresh_expires_at=session.refresh_expires_at,
    )
