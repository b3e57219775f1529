"""Who is signed in to a session of another engine, judged as Django would judge it: no more, no less."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, load_backend
from django.utils.crypto import constant_time_compare

from django_sessions_plus.backends import user_key
from django_sessions_plus.base_session import AbstractSession


class RefusedError(Exception):
    """Nobody could go on with this session in the other engine either; the message says why."""


def user_of(data: dict[str, Any], model: type[AbstractSession]) -> Any:
    """Return the user who is signed in by this ``data``; None for an anonymous session.

    As ``django.contrib.auth.get_user()``: the backend must be configured and return the user, and the
    auth hash must be that of the user's present password.

    Raises:
        RefusedError: the user is gone or inactive, the password has changed since, or the backend was removed.
    """
    if SESSION_KEY not in data:
        return None
    key, path = user_key.named_in(data, model), data.get(BACKEND_SESSION_KEY)
    if key is None:
        raise RefusedError("its user cannot be one of this site")
    if path not in settings.AUTHENTICATION_BACKENDS:
        raise RefusedError("its backend is not in AUTHENTICATION_BACKENDS")
    user: Any = load_backend(str(path)).get_user(key)
    if user is None:
        raise RefusedError("its user does not exist or may not sign in")
    if hasattr(user, "get_session_auth_hash") and not _is_of_password(user, data):
        raise RefusedError("the password of its user has changed")
    return user


def _is_of_password(user: Any, data: dict[str, Any]) -> bool:
    auth_hash = str(data.get(HASH_SESSION_KEY) or "")
    present = user.get_session_auth_hash()
    return constant_time_compare(auth_hash, present) or user_key.is_of_earlier_key(user, auth_hash)
