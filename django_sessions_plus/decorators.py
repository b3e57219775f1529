"""Decorators for views, sync and async alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.http import url_has_allowed_host_and_scheme

from django_sessions_plus.accounts.reauthentication import is_fresh, redirect_to_page
from django_sessions_plus.backends.running import store_of

View = TypeVar("View", bound=Callable[..., Any])


def fresh_session_required(view: View) -> View:
    """Let in only users who authenticated within ``SESSIONS_PLUS_FRESH_AGE`` (OWASP ASVS 5.0 7.5.1).

    Others are redirected to ``SESSIONS_PLUS_REAUTHENTICATE_URL`` (default: ``LOGIN_URL``) and return
    to the page afterwards; after posting a form, to the page of the form. Signing in again makes
    the session fresh. Some sign-in pages redirect a signed-in user back at once; such a user is then
    redirected to the page ``confirm-password`` of ``django_sessions_plus.urls``. If that is not mounted,
    the view raises ``PermissionDenied`` after a few such redirects.
    """

    def check(request: HttpRequest, user: Any) -> HttpResponseBase | None:
        return None if is_fresh(request, user) else redirect_to_page(request, _return_path(request))

    if iscoroutinefunction(view):

        @wraps(view)
        async def asynchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            user = await request.auser()
            if not is_fresh(request, user) and (session := store_of(request)) is not None:
                # The redirects are counted in its data.
                await session.aload_if_needed()
            return check(request, user) or await view(request, *args, **kwargs)

        return cast(View, asynchronous)

    @wraps(view)
    def synchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return check(request, request.user) or view(request, *args, **kwargs)

    return cast(View, synchronous)


def no_activity(view: View) -> View:
    """Do not count requests to this view, such as polling, as activity.

    They move neither the session's expiry nor its time of last activity. Otherwise a tab that is
    left open would keep its session alive.
    """

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if (session := store_of(request)) is not None:
            session.counts_as_activity = False
        return view(request, *args, **kwargs)

    marked = markcoroutinefunction(wrapper) if iscoroutinefunction(view) else wrapper
    return cast(View, marked)


def _return_path(request: HttpRequest) -> str:
    if request.method in {"GET", "HEAD"}:
        return request.get_full_path()
    referer = request.META.get("HTTP_REFERER", "")
    if not url_has_allowed_host_and_scheme(referer, {request.get_host()}, request.is_secure()):
        return "/"
    page = urlsplit(str(referer))
    return page.path + (f"?{page.query}" if page.query else "")
