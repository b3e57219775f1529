"""Session and authentication middleware, native in both modes.

Both take the place of Django's and are subclasses of them. They serve any
session engine; what they add needs one of ours.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Any, cast
from weakref import ReferenceType, ref

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.middleware import (
    AuthenticationMiddleware as DjangoAuthenticationMiddleware,
)
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.user_check import user_from_row, user_of
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
        running = sessions.set_current(getattr(request, "session", None))
        try:
            response: Any = self.get_response(request)
        finally:
            sessions.reset_current(running)
        return self.process_response(request, response)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        self.process_request(request)
        running = sessions.set_current(getattr(request, "session", None))
        try:
            answer: Any = self.get_response(request)
            response = await answer
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
        if _is_untouched(session):
            return response
        if session.is_end_uncommitted:
            session.settle_end()
        if session.is_empty():
            return _with_cookie(request, response, session)
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
        if _is_untouched(session):
            return response
        if session.is_end_uncommitted:
            await sync_to_async(session.settle_end)()
        if session.is_empty():
            return _with_cookie(request, response, session)
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
        session = _row_session(request)
        if session is None:
            super().process_request(request)
            return
        bind_user(request, session)
        user: Any = SimpleLazyObject(partial(_cached_user, request))
        request.user = user
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
    return auth.get_user(request) if session is None else user_of(session, request)


async def aget_user(request: HttpRequest) -> Any:
    """See get_user()."""
    session = _row_session(request)
    if session is None:
        return await auth.aget_user(request)
    data = await session.aload_if_needed()
    user = user_from_row(session, data) if data else AnonymousUser()
    if user is not None:
        return user
    with session.ending_as(EndReason.PASSWORD_CHANGED), suppress(ValidationError):
        found = await auth.aget_user(request)
        session.note_user(found)
        return found
    return AnonymousUser()


def _row_session(request: HttpRequest) -> SessionStore | None:
    session = getattr(request, "session", None)
    return session if isinstance(session, SessionStore) else None


def _is_untouched(session: SessionStore) -> bool:
    """Tell whether the response owes the session nothing: nobody read it, or its view passes it over."""
    return (session.is_passed_over and not session.modified) or (
        not session.accessed
        and session.session_key is not None
        and session.transport == "cookie"
        and not settings.SESSION_SAVE_EVERY_REQUEST
    )


def _is_loading_due(session: SessionStore) -> bool:
    """Tell whether a session nobody read has to be loaded all the same, because every request saves it."""
    return not session.accessed and settings.SESSION_SAVE_EVERY_REQUEST


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
        _vary_on(response, "Authorization")
        return response
    is_dead = session.is_empty() and not session.may_have_successor
    is_deletion_due = is_dead and settings.SESSION_COOKIE_NAME in request.COOKIES
    is_due = session.is_cookie_due and response.status_code < 500
    token = session.session_key if is_due else None
    if is_deletion_due:
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
    if session.accessed or token is not None or is_deletion_due:
        _vary_on(response, "Cookie")
    return response


def _vary_on(response: HttpResponseBase, header: str) -> None:
    # Most responses do not vary yet, and then there is nothing to take apart and to compare.
    if response.has_header("Vary"):
        patch_vary_headers(response, (header,))
    else:
        response.headers["Vary"] = header


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
