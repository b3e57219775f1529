"""Session and authentication middleware, native in both modes.

Both take the place of Django's and are subclasses of them. They serve any
session engine; what they add needs one of ours.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, cast
from weakref import ReferenceType, ref

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import auth
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.middleware import (
    AuthenticationMiddleware as DjangoAuthenticationMiddleware,
)
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.exceptions import ValidationError
from django.db import models, router
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.policy import EndReason


class SessionMiddleware(DjangoSessionMiddleware):
    """Give the request its session, and the response its cookie.

    A session nobody touched costs nothing. One that was used is touched at most once
    per interval, after the view and outside of its transaction.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve one request."""
        if self.async_mode:
            return self.__acall__(request)
        self.process_request(request)
        running = sessions.set_current(_row_session(request))
        try:
            response = cast(HttpResponseBase, self.get_response(request))
        finally:
            sessions.reset_current(running)
        return self.process_response(request, response)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        self.process_request(request)
        running = sessions.set_current(_row_session(request))
        try:
            response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        finally:
            sessions.reset_current(running)
        return await self.aprocess_response(request, response)

    def process_request(self, request: HttpRequest) -> None:
        """Attach the session, unloaded."""
        super().process_request(request)
        if (session := _row_session(request)) is not None:
            session.bind(request.META)

    def process_response(  # type: ignore[override]  # streaming responses are no HttpResponse
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Save or touch the session, and bring the cookie in line with its row.

        Raises:
            SessionInterrupted: the session ended, or was rotated, before the request completed.
        """
        session = _row_session(request)
        if session is None:
            return super().process_response(request, cast(HttpResponse, response))
        if session.is_end_uncommitted:
            session.settle_end()
        if _is_loading_due(session):
            session.load_if_needed()
        if _is_save_due(session, response, session.is_rolled_back()):
            session.save()
        elif _is_touch_due(session, response):
            session.touch()
        return _with_cookie(request, response, session)

    async def aprocess_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """See process_response()."""
        session = _row_session(request)
        # A project's subclass may know only the sync method: then that is the one to call.
        is_extended = type(self).process_response is not SessionMiddleware.process_response
        if session is None or is_extended:
            return await sync_to_async(self.process_response)(request, response)
        if session.is_end_uncommitted:
            await sync_to_async(session.settle_end)()
        if _is_loading_due(session):
            await session.aload_if_needed()
        if _is_save_due(session, response, await session.ais_rolled_back()):
            await session.asave()
        elif _is_touch_due(session, response):
            await session.atouch()
        return _with_cookie(request, response, session)


class AuthenticationMiddleware(DjangoAuthenticationMiddleware):
    """Give the request its user, from the query that loads the session.

    Nothing of Django's meaning changes: wherever the short way might differ from
    ``django.contrib.auth.get_user``, that is what answers.
    """

    def __call__(self, request: HttpRequest) -> Any:
        """Serve one request."""
        # Nothing here reads or writes, so there is no need for a thread in async mode either.
        self.process_request(request)
        return self.get_response(request)

    def process_request(self, request: HttpRequest) -> None:
        """Attach ``request.user`` and ``request.auser``, unloaded."""
        super().process_request(request)
        session = _row_session(request)
        if session is not None:
            bind_user(request, session)
            request.user = cast(Any, SimpleLazyObject(partial(_cached_user, request)))
            request.auser = partial(_cached_auser, request)


def bind_user(request: HttpRequest, session: SessionStore) -> None:
    """Have ``session`` bring its user along, and take the user from ``request`` when it ends."""
    session.wants_user = True
    session.on_end = partial(_make_anonymous, ref(request))


def get_user(request: HttpRequest) -> Any:
    """Return the user of the request's session, or an ``AnonymousUser``; one query for both.

    As in ``django.contrib.auth.get_user``: the backend must be configured, the user
    active, and the session's auth hash the user's present one.
    """
    session = _row_session(request)
    if session is None:
        return auth.get_user(request)
    user = _user_from_row(session, session.load_if_needed())
    if user is not None:
        return user
    # What stands there in place of a key may fit no user of this project: that is nobody.
    with session.ending_as(EndReason.PASSWORD_CHANGED), suppress(ValidationError):
        return auth.get_user(request)
    return AnonymousUser()


async def aget_user(request: HttpRequest) -> Any:
    """See get_user()."""
    session = _row_session(request)
    if session is None:
        return await auth.aget_user(request)
    user = _user_from_row(session, await session.aload_if_needed())
    if user is not None:
        return user
    with session.ending_as(EndReason.PASSWORD_CHANGED), suppress(ValidationError):
        return await auth.aget_user(request)
    return AnonymousUser()


def _row_session(request: HttpRequest) -> SessionStore | None:
    session = getattr(request, "session", None)
    return session if isinstance(session, SessionStore) else None


def _is_loading_due(session: SessionStore) -> bool:
    """Tell whether a session nobody looked at has to be loaded, to be saved or to learn that it is none."""
    return settings.SESSION_SAVE_EVERY_REQUEST and not session.is_empty()


def _is_save_due(session: SessionStore, response: HttpResponseBase, is_rolled_back: bool) -> bool:
    # What a view saved in a transaction that is gone has to be saved once more.
    wanted = session.modified or is_rolled_back or settings.SESSION_SAVE_EVERY_REQUEST
    return bool(wanted and not session.is_empty() and response.status_code < 500)


def _is_touch_due(session: SessionStore, response: HttpResponseBase) -> bool:
    return session.row is not None and session.accessed and response.status_code < 500


def _with_cookie(
    request: HttpRequest, response: HttpResponseBase, session: SessionStore
) -> HttpResponseBase:
    if session.transport != "cookie":
        patch_vary_headers(response, ("Authorization",))
        return response
    is_dead = session.is_empty() and not session.may_have_successor
    has_cookie = settings.SESSION_COOKIE_NAME in request.COOKIES
    is_due = session.is_cookie_due and response.status_code < 500
    token = session.session_key if is_due else None
    if has_cookie and is_dead:
        response.delete_cookie(
            settings.SESSION_COOKIE_NAME,
            path=settings.SESSION_COOKIE_PATH,
            domain=settings.SESSION_COOKIE_DOMAIN,
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )
    elif token is not None:
        response.set_cookie(
            settings.SESSION_COOKIE_NAME,
            token,
            max_age=session.cookie_age(timezone.now()),
            domain=settings.SESSION_COOKIE_DOMAIN,
            path=settings.SESSION_COOKIE_PATH,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=settings.SESSION_COOKIE_HTTPONLY,
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )
    if session.accessed or token is not None or (has_cookie and is_dead):
        patch_vary_headers(response, ("Cookie",))
    return response


# Any: the two attributes in which Django keeps a request's user are nobody's declared ones.
def _cached_user(request: Any) -> Any:
    if not hasattr(request, "_cached_user"):
        request._cached_user = get_user(request)
    return request._cached_user


async def _cached_auser(request: Any) -> Any:
    if not hasattr(request, "_acached_user"):
        request._acached_user = await aget_user(request)
    return request._acached_user


def _make_anonymous(reference: ReferenceType[HttpRequest]) -> None:
    """Take the user from a request whose session has ended, in both modes."""
    request = reference()
    if request is not None:
        set_request_user(request, AnonymousUser())


def set_request_user(request: Any, user: Any) -> None:
    """Make ``user`` the user of the request for ``request.user`` and ``request.auser`` alike."""
    request._cached_user = request._acached_user = user
    if hasattr(request, "user"):
        request.user = user
    if hasattr(request, "auser"):
        request.auser = partial(_cached_auser, request)


def _user_from_row(session: SessionStore, data: dict[str, Any]) -> Any:
    """Return the user that came with the row if that is surely the one Django would return; else None."""
    row = session.row
    if row is None or row.user_id is None or "user" not in row._state.fields_cache:
        return None
    user: Any = row.user
    path, auth_hash = data.get(BACKEND_SESSION_KEY), data.get(HASH_SESSION_KEY)
    if not user or not auth_hash or path not in settings.AUTHENTICATION_BACKENDS:
        return None
    backend = _plain_backend(str(path))
    if not (
        backend is not None
        and session.is_row_user(data)
        and _is_plainly_managed(type(user), row._state.db)
        and backend().user_can_authenticate(user)
        and constant_time_compare(auth_hash, user.get_session_auth_hash())
    ):
        return None
    return user


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
