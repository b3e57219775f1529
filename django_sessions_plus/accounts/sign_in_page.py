"""The site's own sign-in page: its URL, redirects to it, and the message why a user was signed out."""

from __future__ import annotations

from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, get_script_prefix, is_valid_path, reverse
from django.utils.translation import get_language

from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.running import store_of
from django_sessions_plus.presentation import wording

ADMIN_SIGN_IN = "admin:login"


def sign_in_url() -> str:
    """Return the URL of ``LOGIN_URL``; the admin's sign-in if that is unset or a name, and no view serves it."""
    if may_replace_sign_in_url() and is_sign_in_url_broken():
        with suppress(NoReverseMatch):
            return reverse(ADMIN_SIGN_IN)
    return resolve_url(settings.LOGIN_URL)


def may_replace_sign_in_url() -> bool:
    """Return whether ``LOGIN_URL`` is Django's default, or a name, so that the admin's sign-in may replace it."""
    # A path that the project has set may be served by another server in front of Django.
    is_set = settings.is_overridden("LOGIN_URL")  # type: ignore[misc]
    return not is_set or "/" not in str(settings.LOGIN_URL)


def is_sign_in_url_broken() -> bool:
    """Return whether ``LOGIN_URL`` is a path of this site that no view serves, or an unknown name."""
    try:
        parts = urlsplit(resolve_url(settings.LOGIN_URL))
    except NoReverseMatch:
        return True
    prefix = get_script_prefix()
    if parts.netloc or not parts.path.startswith(prefix):
        return False
    path = "/" + parts.path.removeprefix(prefix)
    # LocaleMiddleware redirects to the second path, with i18n_patterns.
    return not (is_valid_path(path) or is_valid_path(f"/{get_language()}{path}"))


def redirect_to_sign_in(
    request: HttpRequest, return_to: str, page: str | None = None
) -> HttpResponseRedirect:
    """Redirect to ``page`` (None: the site's sign-in) and from there to ``return_to``.

    A message tells users who were signed out why.
    """
    add_reason(request)
    return redirect_to_login(return_to, page or sign_in_url())


def reason_signed_out(request: HttpRequest) -> str:
    """Return why the session of the request's cookie has ended or expired, as a text for its user; empty if it has not.

    The text of ``policy.InactiveReason``; it does not say who ended the session.
    """
    store = store_of(request)
    if store is None or sessions.resolve(request) is not None:
        return ""
    return wording.inactive_reason(store.inactive_reason)


def add_reason(request: HttpRequest) -> None:
    """Add a message why the session of the request's cookie has ended or expired, if it has and messages are installed.

    The message is shown once, because the response deletes the cookie.
    """
    text = reason_signed_out(request)
    if text:
        with suppress(messages.MessageFailure):
            messages.info(request, text)
            cast(SessionStore, request.session).inactive_row = None
