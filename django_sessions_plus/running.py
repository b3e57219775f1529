"""The session of the running request, for code that has no access to the request."""

from __future__ import annotations

from contextvars import ContextVar, Token

from django.contrib.sessions.backends.base import SessionBase

from django_sessions_plus.backends.base import RowSession

_current: ContextVar[SessionBase | None] = ContextVar("django_sessions_plus_current", default=None)


def current() -> RowSession | None:
    """Return the session store of the running request; None outside of one, or if the engine is not one of ours."""
    store = _current.get()
    return store if isinstance(store, RowSession) else None


def set_current(store: SessionBase | None) -> Token[SessionBase | None]:
    """Set the session store of the running request; for the middleware and header authentication."""
    return _current.set(store)


def reset_current(token: Token[SessionBase | None]) -> None:
    """Undo set_current()."""
    _current.reset(token)
