"""Start a session for a user who has not signed in, for operators and scripts.

The row is like that of a sign-in: limits, signals and lists make no difference. But nobody has
proved to be that user: ``authenticated_at`` stays None, so that the session is not fresh,
``user_logged_in`` is not sent, and ``last_login`` does not change.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    load_backend,
)

from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.exceptions import SignInRefusedError

# A hundred years. Dates that are much later do not fit into calendars and databases.
LONGEST = timedelta(days=36_500)


def start(
    user: Any,
    *,
    user_agent: str | None = None,
    ip_address: str | None = None,
    remember: bool = True,
    expiry: timedelta | None = None,
) -> SessionStore:
    """Start a session for ``user`` and return its store; call it as ``sessions.start()``.

    With ``expiry`` the session ends after that time, used or not; without, by the timeouts, of
    which ``remember`` decides the idle one. User agent and address are recorded as far as
    settings allow. The session is not fresh until the person authenticates in it; the absolute
    timeout counts from its start.

    Raises:
        SignInRefusedError: the user is inactive, or no authentication backend lets the user in.
        ValueError: ``expiry`` is not above zero, or beyond ``SESSIONS_PLUS_ABSOLUTE_AGE`` or
            ``LONGEST``.
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    _check_expiry(expiry)
    backend = _backend_of(user)
    store = new_store()
    store.transport = "bearer"
    store.bind({"REMOTE_ADDR": ip_address, "HTTP_USER_AGENT": user_agent})
    store[SESSION_KEY] = user._meta.pk.value_to_string(user)
    store[BACKEND_SESSION_KEY] = backend
    if hasattr(user, "get_session_auth_hash"):
        store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.remember = remember
    if expiry is not None:
        store.set_expiry(expiry)
    store.is_authenticated_at_start = False
    store.note_user(user)
    store.save()
    # Whoever makes it the session of a request need not save it once more.
    store.modified = False
    return store


def _check_expiry(expiry: timedelta | None) -> None:
    if expiry is None:
        return
    if expiry <= timedelta(0):
        raise ValueError("The expiry of a session must be above zero.")
    limit = config.ABSOLUTE_AGE
    if limit is not None and expiry > limit:
        raise ValueError(
            f"Sessions last at most {limit}: choose a shorter expiry, or raise {PREFIX}ABSOLUTE_AGE."
        )
    if expiry > LONGEST:
        raise ValueError(f"Sessions last at most {LONGEST.days} days: choose a shorter expiry.")


def _backend_of(user: Any) -> str:
    """Return the first backend that will know ``user`` again at the session's next request."""
    if user.pk is None or not getattr(user, "is_active", True):
        raise SignInRefusedError
    for path in settings.AUTHENTICATION_BACKENDS:
        find = getattr(load_backend(path), "get_user", None)
        if find is not None and find(user.pk) is not None:
            return path
    raise SignInRefusedError
