"""Whether the user who came with a row is the one Django would return, by Django's own rules."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.contrib import auth
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import models, router
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from django_sessions_plus.backends.db import SessionStore
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
    with session.ending_as(EndReason.PASSWORD_CHANGED), suppress(ValidationError):
        found = auth.get_user(asked)
        session.note_user(found)
        return found
    return AnonymousUser()


def user_from_row(session: SessionStore, data: dict[str, Any]) -> Any:
    """Return the user that came with the row if that is surely the one Django would return; else None."""
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
        return None
    backend = _plain_backend(str(path))
    if not (
        backend is not None
        and session.is_row_user(data)
        and _is_plainly_managed(type(user), row._state.db)
        and backend().user_can_authenticate(user)
        and _is_password_unchanged(session, auth_hash, user)
    ):
        return None
    return user


def _is_password_unchanged(session: SessionStore, auth_hash: Any, user: Any) -> bool:
    if constant_time_compare(auth_hash, user.get_session_auth_hash()):
        return True
    # After a change of SECRET_KEY Django would rotate the session token: here that of a browser,
    # perhaps, that has no part in this request and would be signed out.
    return session.is_opened_by_id and any(
        constant_time_compare(auth_hash, earlier)
        for earlier in user.get_session_auth_fallback_hash()
    )


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
