"""Find the user of a session: the one that was loaded with the row if Django would return the same, else by Django."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.contrib import auth
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, get_user_model, load_backend
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from django_sessions_plus.backends import user_key
from django_sessions_plus.backends.session import SessionStore
from django_sessions_plus.exceptions import SignInRefusedError
from django_sessions_plus.policy import EndReason


def user_of(session: SessionStore, request: HttpRequest | None = None) -> Any:
    """Return the user who is signed in to ``session``, or an ``AnonymousUser``.

    As in ``django.contrib.auth.get_user``: the backend must be configured, the user active, and the
    session must have the user's current auth hash. If it has not, the session ends.
    """
    data = session.identify()
    user = user_from_row(session, data) if data else AnonymousUser()
    if user is not None:
        return user
    # Django reads the data, and checking_user() puts back what it changes there.
    session.load_if_needed()
    # Django only uses the session of the request.
    asked = request or cast(HttpRequest, SimpleNamespace(session=session))
    # The data may contain a value that cannot be a user's primary key: then nobody is signed in.
    with checking_user(session), suppress(ValidationError):
        found = auth.get_user(asked)
        session.user = found
        return found
    return AnonymousUser()


async def auser_of(session: SessionStore, request: HttpRequest) -> Any:
    """See user_of()."""
    data = await session.aidentify()
    user = user_from_row(session, data) if data else AnonymousUser()
    if user is not None:
        return user
    await session.aload_if_needed()
    with checking_user(session), suppress(ValidationError):
        found = await auth.aget_user(request)
        session.user = found
        return found
    return AnonymousUser()


@contextmanager
def checking_user(session: SessionStore) -> Iterator[None]:
    """Run a block that finds out who is signed in, and in which a failed write must not raise.

    Django ends the session there after a password change, and rotates its token after a change of
    ``SECRET_KEY``, though the caller only asked for the user. If the end cannot be written, the session
    is empty in this request all the same; if the rotation cannot be written, the next request repeats it.
    """
    before = session._session_cache.get(HASH_SESSION_KEY), session.modified
    session.is_checking_user, session.is_rotation_postponed = True, False
    try:
        with ending_as(session, EndReason.PASSWORD_CHANGED):
            yield
    finally:
        session.is_checking_user = False
        if session.is_rotation_postponed:
            session._session_cache[HASH_SESSION_KEY], session.modified = before


@contextmanager
def ending_as(session: SessionStore, reason: str) -> Iterator[None]:
    """Record ``reason`` if the session ends inside the block."""
    before, session.end_reason = session.end_reason, reason
    try:
        yield
    finally:
        session.end_reason = before


def user_from_row(session: SessionStore, data: Mapping[str, Any]) -> Any:
    """Return the user that was loaded with the row if Django would certainly return the same one.

    An ``AnonymousUser`` if there is no user in the data, or another one than in the row. None if only
    ``django.contrib.auth.get_user`` can tell.
    """
    row = session.row
    # Not row.user, which would be a query if the user was not loaded with the row.
    user: Any = None if row is None else row._state.fields_cache.get("user")
    path, auth_hash = data.get(BACKEND_SESSION_KEY), data.get(HASH_SESSION_KEY)
    if (
        row is None
        or row.user_id is None
        or user is None
        or not auth_hash
        or path not in settings.AUTHENTICATION_BACKENDS
    ):
        return _anonymous_or_undecided(session, data)
    backend = _model_backend(str(path))
    if not (
        backend is not None
        and user_key.is_user_of(row, data)
        and row.are_users_in(row._state.db)
        and type(type(user)._default_manager).get_queryset is models.Manager.get_queryset
        and backend().user_can_authenticate(user)
        and (session.is_verified(data) or _verify_session(session, auth_hash, user))
    ):
        return _anonymous_or_undecided(session, data)
    return user


def _anonymous_or_undecided(session: SessionStore, data: Mapping[str, Any]) -> AnonymousUser | None:
    """Return None if data and row have the same user, so that Django has to decide; else an ``AnonymousUser``.

    With different users, the user in the data could neither see nor end the session. Modified
    data may have another user until it is saved.
    """
    if session.get_model_class()._meta.get_field("user").related_model is not get_user_model():
        # A test overrides AUTH_USER_MODEL, and the row cannot refer to such a user.
        return None
    if user_key.named_in(data, session.get_model_class()) is None:
        return AnonymousUser()
    row = session.row
    if row is None or session.modified or user_key.is_user_of(row, data):
        return None
    return AnonymousUser()


def _verify_session(session: SessionStore, auth_hash: Any, user: Any) -> bool:
    """Return whether the auth hash is valid for the user; if it is from an earlier ``SECRET_KEY``, also replace it."""
    present = user.get_session_auth_hash()
    if constant_time_compare(auth_hash, present):
        return True
    # Django also rotates the session token after a change of SECRET_KEY. For a token in a header that
    # must not happen: this client may not get the new token, and a browser with the same session
    # would be signed out. For the cookie, return False, so that Django does it.
    is_renewed = session.transport != "cookie" and user_key.is_of_earlier_key(user, auth_hash)
    if is_renewed and session.transport != "jwt":
        # As Django does, so that the session stays valid when the fallback is removed. For access
        # tokens, the next refresh does it.
        session[HASH_SESSION_KEY] = present
    return is_renewed


@lru_cache(maxsize=16)
def _model_backend(path: str) -> type[ModelBackend] | None:
    """Return the backend class at ``path`` if it inherits ``get_user()`` from ``ModelBackend``; else None."""
    backend: Any = import_string(path)
    is_plain = (
        issubclass(backend, ModelBackend)
        and backend.get_user is ModelBackend.get_user
        and backend.aget_user is ModelBackend.aget_user
    )
    return backend if is_plain else None


def backend_of(user: Any) -> str:
    """Return the path of the first backend whose ``get_user()`` returns a user for the primary key of ``user``.

    Raises:
        SignInRefusedError: the user is inactive, or there is no such backend.
    """
    if user.pk is None or not getattr(user, "is_active", True):
        raise SignInRefusedError
    for path in settings.AUTHENTICATION_BACKENDS:
        find = getattr(load_backend(path), "get_user", None)
        if find is not None and find(user.pk) is not None:
            return path
    raise SignInRefusedError
