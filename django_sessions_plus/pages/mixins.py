"""Mixins for the views of the devices page: who may see them, headers of every response, sign-out."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.core.handlers.exception import response_for_exception
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from django_sessions_plus import sessions
from django_sessions_plus.accounts.sign_in_page import redirect_to_sign_in, sign_in_url
from django_sessions_plus.backends.configured import report_invalidation_delay
from django_sessions_plus.backends.running import store_of
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.http.hidden import hide_posted

DEVICES = "django_sessions_plus:devices"
NOT_IN_USE = "django_sessions_plus/not_in_use.html"


# A page with buttons that end sessions must not be framed, or be shown from a cache after the
# sign-out. Error responses need these headers too, so csrf_protect checks here, not the middleware.
@method_decorator(
    [hide_posted, csrf_exempt, xframe_options_deny, never_cache, csrf_protect], name="dispatch"
)
class PageMixin:
    """CSRF protection and headers, also on error responses."""

    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Return the response; its headers keep the URL, which contains ids, from being sent to other sites."""
        try:
            response: HttpResponseBase = self.unavailable() or super().dispatch(  # type: ignore[misc]
                request, *args, **kwargs
            )
        except Http404 as error:
            # Rendered here, so that the site's own error page gets the headers too.
            response = response_for_exception(request, error)
        # Not "no-referrer": Django's CSRF protection refuses some browsers without it, over HTTPS.
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    def unavailable(self) -> HttpResponse | None:
        """Return the response in place of the page; None if the page can answer."""
        return None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the messages, with or without the context processor; none without the messages app."""
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return {"messages": messages.get_messages(self.request), **context}


def _sign_in_required(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Like Django's ``login_required``, but redirect to a sign-in page that exists."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        return redirect_to_sign_in(request, request.get_full_path())

    return wrapper


@method_decorator([hide_posted, _sign_in_required], name="dispatch")
class PersonalPageMixin(PageMixin):
    """A page for signed-in users."""

    def unavailable(self) -> HttpResponse | None:
        """Refuse if another engine is configured, because the list would be wrong."""
        if store_of(self.request) is not None:
            return None
        is_staff = getattr(self.request.user, "is_staff", False)
        context = {"engine": settings.SESSION_ENGINE if is_staff else None}
        return render(self.request, NOT_IN_USE, context, status=HTTPStatus.SERVICE_UNAVAILABLE)

    def current(self) -> AbstractSession | None:
        """Return the session of the request; None if the user was authenticated in another way."""
        row = sessions.resolve(self.request)
        return row if row is not None and row.user_id == self.request.user.pk else None


def warn_of_delay(request: HttpRequest) -> None:
    """Add a message that other processes may still accept an ended session, if the cache could not be reached."""

    def warn(seconds: int) -> None:
        text = gettext("It can take up to %(seconds)d seconds to take effect everywhere.")
        messages.warning(request, text % {"seconds": seconds}, fail_silently=True)

    report_invalidation_delay(warn)


def sign_out(request: HttpRequest, return_to: str = "") -> HttpResponse:
    """End the current session and redirect to ``LOGOUT_REDIRECT_URL``, or else to sign-in.

    With ``return_to``, redirect to sign-in and from there to that path; it must be checked already.
    """
    logout(request)
    if return_to:
        return redirect_to_login(return_to, sign_in_url())
    url = settings.LOGOUT_REDIRECT_URL
    return HttpResponseRedirect(resolve_url(url) if url else sign_in_url())
