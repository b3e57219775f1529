"""Session and authentication middleware, for sync and async.

They replace Django's and are subclasses of them. They work with any session engine; what they
add needs an engine of this package.

Private names of Django 5.2 to 6.1: ``_cached_user`` and ``_acached_user`` of a request. A sign-in and the end of a
session have to replace both, and Django replaces only one. tests/test_private_names.py fails if they disappear.

Longer than other modules, because both middlewares and the users they keep on a request go together.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any, cast
from weakref import ReferenceType, ref

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.middleware import (
    AuthenticationMiddleware as DjangoAuthenticationMiddleware,
)
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from django_sessions_plus.accounts import password_changes
from django_sessions_plus.backends import bridging, opened
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.twins import in_thread
from django_sessions_plus.backends.user_check import auser_of, user_of
from django_sessions_plus.http.cookie import read_former_cookie, with_cookie
from django_sessions_plus.http.late_touch import is_touched_later


class SessionMiddleware(DjangoSessionMiddleware):
    """Give the request its session, and the response its cookie.

    A session that the view does not use costs no query. One that it uses is written at most once per
    interval, after the view and outside of its transaction.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Handle one request."""
        if self.async_mode:
            return self.__acall__(request)
        before = opened.scope()
        self.process_request(request)
        try:
            response: Any = self.get_response(request)
            response = self.process_response(request, response)
            password_changes.end_unusable_sessions(_row_session(request))
        finally:
            opened.restore(before)
        return response  # type: ignore[no-any-return]

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        before = opened.scope()
        if self._may_be_own(request):
            await in_thread(self.process_request, request)
        else:
            self.process_request(request)
        try:
            answer: Any = self.get_response(request)
            response = await self.aprocess_response(request, await answer)
            await password_changes.aend_unusable_sessions(_row_session(request))
        finally:
            opened.restore(before)
        return response

    def process_request(self, request: HttpRequest) -> None:
        """Set ``request.session``, without loading it, except for a session that ``bridging`` opens."""
        former = read_former_cookie(request)
        super().process_request(request)
        if not issubclass(self.SessionStore, SessionStore):
            bridging.record_device(request, self.SessionStore)
        if self._may_be_own(request):
            request.session = bridging.own_session(request) or request.session
        if (session := _row_session(request)) is not None:
            session.meta = request.META
            session.former_cookie_name = former
            session.can_set_cookie = True
        opened.begin(request.META, session)

    def process_response(  # type: ignore[override]  # streaming responses are no HttpResponse
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Save or touch the session, and set or delete the cookie to match its row.

        Raises:
            SessionInterrupted: the session ended, or another user signed in to it, before the request completed.
        """
        session = _row_session(request)
        if session is None:
            process = super().process_response
            # Imported by a parallel request. The other engine does not find it any more, and would delete its cookie.
            is_moved = self._may_be_own(request) and bridging.has_moved(request)
            return response if is_moved else process(request, cast(HttpResponse, response))
        if _is_untouched(session):
            return response
        if session.has_uncommitted and session.uncommitted.ended is not None:
            session.repeat_end()
        if session.is_empty() or response.status_code >= 500:
            return with_cookie(request, response, session)
        if session.modified and not session.accessed:
            session.load_if_needed()
        # What the view saved in a transaction that was rolled back has to be saved once more.
        is_rolled_back = session.has_uncommitted and session.uncommitted.is_rolled_back()
        if (session.modified or is_rolled_back) and not session.is_empty():
            _prepare_save(request, session)
            session.save()
        elif _is_use_due(request, session) and not is_touched_later(request, response, session):
            session.record_use()
        return with_cookie(request, response, session)

    async def aprocess_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """See process_response()."""
        session = _row_session(request)
        # A subclass of the project may override only the sync method; it must not be skipped.
        is_extended = type(self).process_response is not SessionMiddleware.process_response
        if session is None or is_extended:
            return await in_thread(self.process_response, request, response)
        if _is_untouched(session):
            return response
        if session.has_uncommitted and session.uncommitted.ended is not None:
            await in_thread(session.repeat_end)
        if session.is_empty() or response.status_code >= 500:
            return with_cookie(request, response, session)
        if session.modified and not session.accessed:
            await session.aload_if_needed()
        is_rolled_back = session.has_uncommitted and await session.uncommitted.ais_rolled_back()
        if (session.modified or is_rolled_back) and not session.is_empty():
            _prepare_save(request, session)
            await session.asave()
        elif _is_use_due(request, session):
            await session.arecord_use()
        return with_cookie(request, response, session)

    def _may_be_own(self, request: HttpRequest) -> bool:
        """Return whether the cookie may be that of a session of this package, though another engine is set."""
        return not issubclass(self.SessionStore, SessionStore) and bridging.may_be_own(request)


class AuthenticationMiddleware(DjangoAuthenticationMiddleware):
    """Give the request its user, from the query that loads the session.

    The result is always that of ``django.contrib.auth.get_user``, which is called wherever this
    shorter way could differ from it.
    """

    def __call__(self, request: HttpRequest) -> Any:
        """Handle one request."""
        # No I/O here, so async mode needs no thread.
        self.process_request(request)
        return self.get_response(request)

    def process_request(self, request: HttpRequest) -> None:
        """Set ``request.user`` and ``request.auser``, without loading the user.

        Raises:
            ImproperlyConfigured: the request has no session: the session middleware must come first.
        """
        session = _row_session(request)
        if session is None:
            super().process_request(request)
            return
        bind_user(request, session)
        user: Any = SimpleLazyObject(partial(_cached_user, request))
        request.user = user
        request.auser = partial(_cached_auser, request)


def bind_user(request: HttpRequest, session: SessionStore) -> None:
    """Have ``session`` load its user in the same query, and make ``request`` anonymous when it ends."""
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
    return await auser_of(session, request)


def _row_session(request: HttpRequest) -> SessionStore | None:
    session = getattr(request, "session", None)
    return session if isinstance(session, SessionStore) else None


def _is_untouched(session: SessionStore) -> bool:
    """Return whether the session needs neither a write nor a cookie."""
    if session.modified:
        return False
    return session.is_skipped or (
        not session.accessed
        and session.session_key is not None
        and session.transport == "cookie"
        and not settings.SESSION_SAVE_EVERY_REQUEST
    )


def _prepare_save(request: HttpRequest, session: SessionStore) -> None:
    """Make the save that follows set a cookie if a view has replaced ``request.session``, as Django does."""
    if session.meta is not request.META:
        session.meta = request.META
        session.can_set_cookie = True
    if session.transport != "cookie":
        return
    if session.session_key != request.COOKIES.get(settings.SESSION_COOKIE_NAME):
        session.is_cookie_due = True
        # The browser will use this session next. Without a statement, the save would not notice that
        # the session has ended or was rotated meanwhile.
        session.counts_as_activity = True


def _is_use_due(request: HttpRequest, session: SessionStore) -> bool:
    # A view that only reads another session does not use it. Moving its expiry would also set a
    # cookie, and so sign this browser in to it.
    is_used = session.row is not None and session.accessed and session.meta is request.META
    return (is_used and not session.is_touched) or settings.SESSION_SAVE_EVERY_REQUEST


# Any: Django does not declare the two attributes that hold a request's user.
def _cached_user(request: Any) -> Any:
    if not hasattr(request, "_cached_user"):
        request._cached_user = get_user(request)
    return request._cached_user


async def _cached_auser(request: Any) -> Any:
    if not hasattr(request, "_acached_user"):
        request._acached_user = await aget_user(request)
    return request._acached_user


def _make_anonymous(reference: ReferenceType[HttpRequest]) -> None:
    """Make a request anonymous whose session has ended, for sync and async code."""
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
