"""Who is signed in to a session of another engine, judged as Django would judge it: no more, no less."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.contrib.auth.backends import ModelBackend
from django.db import models
from django.utils.crypto import constant_time_compare

from django_sessions_plus.backends import user_key
from django_sessions_plus.base_session import AbstractSession


class RefusedError(Exception):
    """Nobody could go on with this session in the other engine either; the message says why."""


FindUser = Callable[[str, Any], Any]
"""Returns the user that the backend with this path has for this primary key; None if it has none."""


def find_user(path: str, key: Any) -> Any:
    """Return the user that the backend with this path has for this primary key; None if it has none."""
    return load_backend(path).get_user(key)


def user_of(data: dict[str, Any], model: type[AbstractSession], find: FindUser = find_user) -> Any:
    """Return the user who is signed in by this ``data``; None for an anonymous session.

    As ``django.contrib.auth.get_user()``: the backend must be configured and return the user, and the
    auth hash must be that of the user's present password. ``find`` may know the users of many sessions already.

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
    user: Any = find(str(path), key)
    if user is None:
        raise RefusedError("its user does not exist or may not sign in")
    if hasattr(user, "get_session_auth_hash") and not _is_of_password(user, data):
        raise RefusedError("the password of its user has changed")
    return user


def users_of(many: Iterable[dict[str, Any]], model: type[AbstractSession]) -> FindUser:
    """Load the users who are signed in by these data, by one query, and return what finds them as ``find_user()`` does.

    A backend that has a ``get_user()`` of its own is asked for each user.
    """
    named = {(str(data.get(BACKEND_SESSION_KEY)), user_key.named_in(data, model)) for data in many}
    paths = {path for path, _ in named if path in settings.AUTHENTICATION_BACKENDS}
    loading = {path for path in paths if _finds_by_primary_key(load_backend(path))}
    keys = {key for path, key in named if path in loading and key is not None}
    users = get_user_model()._default_manager.in_bulk(keys) if keys else {}

    def find(path: str, key: Any) -> Any:
        user = users.get(key)
        # A database may find a text that differs in case, and in_bulk() then has it under the other one.
        is_certain = user is not None or isinstance(key, (int, UUID))
        if path not in loading or not is_certain:
            return find_user(path, key)
        backend: Any = load_backend(path)
        return user if user is not None and backend.user_can_authenticate(user) else None

    return find


def _finds_by_primary_key(backend: Any) -> bool:
    """Return whether the backend finds users as Django's ``ModelBackend`` does, by the ``get()`` of every manager."""
    users = get_user_model()._default_manager
    return (
        getattr(type(backend), "get_user", None) is ModelBackend.get_user
        and type(users).get is models.Manager.get
        and type(users.all()).get is models.QuerySet.get
    )


def _is_of_password(user: Any, data: dict[str, Any]) -> bool:
    auth_hash = str(data.get(HASH_SESSION_KEY) or "")
    present = user.get_session_auth_hash()
    return constant_time_compare(auth_hash, present) or user_key.is_of_earlier_key(user, auth_hash)
