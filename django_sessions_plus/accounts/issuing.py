"""Tokens that an operator issues for a user: they belong to a new session and are shown once.

For the command and the admin. Every issue is logged, with ids and without tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from django_sessions_plus import events, sessions
from django_sessions_plus.base_session import AbstractSession

Transport = Literal["bearer", "jwt"]
TRANSPORTS: tuple[Transport, ...] = ("bearer", "jwt")

PERMISSION = "django_sessions_plus.issue_token"
"""The permission an operator needs, with every session model."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A session and its new tokens. Its repr does not show the tokens."""

    session: AbstractSession
    transport: Transport
    tokens: dict[str, str] = field(repr=False)
    """The tokens, by the names in the response to a sign-in: ``token``, or ``access`` and ``refresh``."""
    ages: dict[str, Any] = field(default_factory=dict)
    """How long they are valid, by the names in the response to a sign-in; empty for a session token."""


def may_issue(actor: Any, user: Any = None) -> bool:
    """Return whether ``actor`` may issue tokens; with ``user`` given, for that user.

    The holder of a token can do whatever its user can. So only a superuser may issue one for a
    superuser, for staff, or for a user with a permission that the actor lacks. The same holds for a
    token for oneself, because it outlives the actor's session. If the user model has no
    ``has_perm()``, nobody may.
    """
    if not hasattr(actor, "has_perm") or not actor.has_perm(PERMISSION):
        return False
    if user is None or getattr(actor, "is_superuser", False):
        return True
    if getattr(user, "is_superuser", False) or getattr(user, "is_staff", False):
        return False
    return _permissions_of(user) <= _permissions_of(actor)


def _permissions_of(user: Any) -> set[str]:
    # A user model without permissions has none to compare.
    return set(user.get_all_permissions()) if hasattr(user, "get_all_permissions") else set()


def issue(
    user: Any,
    *,
    transport: Transport = "bearer",
    name: str = "",
    expiry: timedelta | None = None,
    actor: Any = None,
) -> Issued:
    """Start a session for ``user`` and return its tokens.

    ``actor`` is the operator, or None at the console. Permission is not checked here; see ``may_issue()``.

    Raises:
        SignInRefusedError: the user is inactive, or no authentication backend lets the user in.
        ValueError: ``expiry`` is not above zero, or beyond the absolute timeout or
            a hundred years; or ``name`` is longer than its column.
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package, or access
            tokens cannot be signed. No session is left behind.
    """
    store = sessions.start(user, name=name, expiry=expiry, transport=transport)
    row = store.row
    assert row is not None  # noqa: S101 - start() has inserted it
    issued = _issue_tokens(row, transport, store)
    events.TOKEN_ISSUED.log(
        session_id=row.pk,
        user_id=row.user_id,
        actor_id=getattr(actor, "pk", None),
        transport=transport,
    )
    return issued


def _issue_tokens(row: AbstractSession, transport: Transport, store: Any) -> Issued:
    if transport == "bearer":
        return Issued(row, transport, {"token": store.session_key})
    try:
        pair = sessions.issue_tokens(row)
    except Exception:
        sessions.revoke(row)
        raise
    return Issued(
        row,
        transport,
        {"access": pair.access, "refresh": pair.refresh},
        {"expires_in": pair.expires_in, "refresh_expires_at": pair.refresh_expires_at},
    )
