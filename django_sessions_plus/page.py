"""What the views of the devices page share: who is let in, headers of every response, sign-out."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.handlers.exception import response_for_exception
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from django_sessions_plus import sessions
from django_sessions_plus.base_session import AbstractSession

DEVICES = "django_sessions_plus:devices"


# What has a button that ends something must not be framed, nor come back after the sign-out. That
# goes for refusals as well, so it is csrf_protect here that refuses, and not the middleware before.
@method_decorator([csrf_exempt, xframe_options_deny, never_cache, csrf_protect], name="dispatch")
class PageMixin:
    """What the pages have in common: CSRF protection and headers, also on what they refuse."""

    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, and keep the URL with its ids from other sites."""
        try:
            response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        except Http404 as error:
            # The site's own page, told here what the others are told.
            response = response_for_exception(request, error)
        # Not "no-referrer": without it Django's CSRF protection refuses some browsers by HTTPS.
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Give messages, with or without the context processor; none without the app."""
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return {"messages": messages.get_messages(self.request), **context}


@method_decorator(login_required, name="dispatch")
class PersonalPageMixin(PageMixin):
    """A page for signed-in users."""

    def current(self) -> AbstractSession | None:
        """Return the session of the request; None if the person was let in by other means."""
        row = sessions.resolve(self.request)
        return row if row is not None and row.user_id == self.request.user.pk else None


def sign_out(request: HttpRequest, return_to: str = "") -> HttpResponse:
    """End the current session and redirect to ``LOGOUT_REDIRECT_URL``, or else to sign-in.

    With ``return_to``, redirect to sign-in and from there to that path; it must be checked already.
    """
    logout(request)
    if return_to:
        return redirect_to_login(return_to)
    return HttpResponseRedirect(resolve_url(settings.LOGOUT_REDIRECT_URL or settings.LOGIN_URL))
