"""What the pages have in common: who is let in, what is said of the answer, how one gets out."""

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
    """What the pages have in common."""

    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, and keep the address with its ids from other sites."""
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
    """A page for who is signed in."""

    def current(self) -> AbstractSession | None:
        """Return the session of the request; None if the person was let in by other means."""
        row = sessions.resolve(self.request)
        return row if row is not None and row.user_id == self.request.user.pk else None


def sign_out(request: HttpRequest, return_to: str = "") -> HttpResponse:
    """End the session in hand and lead to sign-in, or where the site wants those who have signed out.

    With ``return_to``, which is believed, one goes on there after signing in again.
    """
    logout(request)
    if return_to:
        return redirect_to_login(return_to)
    return HttpResponseRedirect(resolve_url(settings.LOGOUT_REDIRECT_URL or settings.LOGIN_URL))
