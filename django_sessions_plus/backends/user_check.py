"""Whether the user who came with a row is the one Django would return, by Django's own rules."""

from __future__ import annotations

from collections.abc import Iterator
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
from django.db import models, router
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from django_sessions_plus.backends import user_key
from django_sessions_plus.backends.session import SessionStore
from django_sessions_plus.exceptions import SignInRefusedError
from django_sessions_plus.policy import EndReason


def user_of(session: SessionStore, request: HttpRequest | None = None) -> Any:
    """Return the user who is signed in to ``session``, or an ``AnonymousUser``.

    As in ``django.contrib.auth.get_user``: the backend must be configured, the user
    active, and the session's auth hash the user's present one. Where it is not the
    session ends.
    """
    data = session.load_if_needed()
    user = user_from_row(session, data) if data else AnonymousUser()
    if user is not None:
        return user
    # All that Django asks of the request.
    asked = request or cast(HttpRequest, SimpleNamespace(session=session))
    # What stands there in place of a key may fit no user of this project: that is nobody.
    with checking_user(session), suppress(ValidationError):
        found = auth.get_user(asked)
        session.user = found
        return found
    return AnonymousUser()


@contextmanager
def checking_user(session: SessionStore) -> Iterator[None]:
    """Find out inside the block who is signed in.

    Nobody has asked for what comes of it, so that nothing is raised if it cannot be written: the
    end after a changed password, where the session is empty all the same, and the rotation
    after a change of ``SECRET_KEY``, which is then left to the next request.
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
    """Record ``reason`` should the session end inside the block."""
    before, session.end_reason = session.end_reason, reason
    try:
        yield
    finally:
        session.end_reason = before


def user_from_row(session: SessionStore, data: dict[str, Any]) -> Any:
    """Return the user that came with the row if that is surely the one Django would return.

    An ``AnonymousUser`` where the data names nobody, or not whom the row names; None where it
    takes Django's own way to know.
    """
    row = session.row
    # Where it came with the row; asking the row itself would fetch it.
    user: Any = None if row is None else row._state.fields_cache.get("user")
    path, auth_hash = data.get(BACKEND_SESSION_KEY), data.get(HASH_SESSION_KEY)
    if (
        row is None
        or row.user_id is None
        or user is None
        or not auth_hash
        or path not in settings.AUTHENTICATION_BACKENDS
    ):
        return _nobody_or_unknown(session, data)
    backend = _plain_backend(str(path))
    if not (
        backend is not None
        and user_key.is_user_of(row, data)
        and _is_plainly_managed(type(user), row._state.db)
        and backend().user_can_authenticate(user)
        and _verify_auth_hash(session, auth_hash, user)
    ):
        return _nobody_or_unknown(session, data)
    return user


def _nobody_or_unknown(session: SessionStore, data: dict[str, Any]) -> AnonymousUser | None:
    """Return an ``AnonymousUser`` unless the data names a user whom the row names as well; then None.

    A request must not act for a user who could neither see nor end the session. Data that is
    modified is ahead of its row until it is saved.
    """
    if session.get_model_class()._meta.get_field("user").related_model is not get_user_model():
        # A test that overrides AUTH_USER_MODEL: no row can name such a user.
        return None
    if user_key.named_in(data, session.get_model_class()) is None:
        return AnonymousUser()
    row = session.row
    if row is None or session.modified or user_key.is_user_of(row, data):
        return None
    return AnonymousUser()


def _verify_auth_hash(session: SessionStore, auth_hash: Any, user: Any) -> bool:
    present = user.get_session_auth_hash()
    if constant_time_compare(auth_hash, present):
        return True
    # After a change of SECRET_KEY Django would rotate the session token: here that of a browser,
    # perhaps, that has no part in this request and would be signed out; or that of a client, which
    # nobody would tell.
    is_renewed = session.transport != "cookie" and any(
        constant_time_compare(auth_hash, earlier)
        for earlier in user.get_session_auth_fallback_hash()
    )
    if is_renewed and not session.is_opened_by_id:
        # The session is to outlive the fallback, as Django has it. A refresh does it for signed tokens.
        session[HASH_SESSION_KEY] = present
    return is_renewed


@lru_cache(maxsize=16)
def _plain_backend(path: str) -> type[ModelBackend] | None:
    """Return the class at ``path`` if it finds users as ``ModelBackend`` does; else None."""
    backend: Any = import_string(path)
    is_plain = (
        issubclass(backend, ModelBackend)
        and backend.get_user is ModelBackend.get_user
        and backend.aget_user is ModelBackend.aget_user
    )
    return backend if is_plain else None


def _is_plainly_managed(user_model: type[models.Model], alias: str | None) -> bool:
    manager = user_model._default_manager
    if type(manager).get_queryset is not models.Manager.get_queryset:
        return False
    return not router.routers or router.db_for_read(user_model) == alias


def backend_of(user: Any) -> str:
    """Return the first backend that will know ``user`` again at the session's next request.

    Raises:
        SignInRefusedError: the user is inactive, or no backend knows the user.
    """
    if user.pk is None or not getattr(user, "is_active", True):
        raise SignInRefusedError
    for path in settings.AUTHENTICATION_BACKENDS:
        find = getattr(load_backend(path), "get_user", None)
        if find is not None and find(user.pk) is not None:
            return path
    raise SignInRefusedError
