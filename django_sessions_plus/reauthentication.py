"""The password once more, before a sensitive act; for the API, the pages and the decorator alike."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import HASH_SESSION_KEY, authenticate
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import attempts
from django_sessions_plus.backends.base import RowSession
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf import config
from django_sessions_plus.refusals import log_refusal

SCOPE = "reauthenticate"
"""What attempts are counted under."""

LONGEST_PASSWORD = 4096


def is_fresh(request: HttpRequest, user: Any) -> bool:
    """Tell whether ``user`` authenticated in the request's session within ``SESSIONS_PLUS_FRESH_AGE``."""
    session = getattr(request, "session", None)
    if not user.is_authenticated or not isinstance(session, RowSession):
        return False
    # The row alone does not say that its user may still come in.
    return session.row is not None and session.row.user_id == user.pk and session.is_fresh()


def is_due_to_end_others(request: HttpRequest) -> bool:
    """Tell whether the person has to authenticate again before other sessions are ended."""
    return config.FRESH_FOR_ENDING_OTHERS and not is_fresh(request, request.user)


def redirect_to_page(return_to: str, default: str | None = None) -> HttpResponseRedirect:
    """Redirect to ``SESSIONS_PLUS_REAUTHENTICATE_URL``, or ``default``, and from there back to ``return_to``.

    A ``default`` of None means ``LOGIN_URL``.
    """
    url = config.REAUTHENTICATE_URL or default
    return redirect_to_login(return_to, None if url is None else resolve_url(url))


def wait_after_attempt(store: RowSession) -> float | None:
    """Count an attempt of this session; None if it is within ``SESSIONS_PLUS_REAUTHENTICATE_RATE``, else seconds."""
    return attempts.wait_after(SCOPE, str(store.row), config.REAUTHENTICATE_RATE)


@sensitive_variables()
def confirm_password(request: HttpRequest, store: SessionStore, user: Any, password: str) -> bool:
    """Make the session fresh, under a new token, if ``password`` is that of ``user``; return whether it is.

    The session is saved at once, so that what the caller reports of it is what is stored.

    Raises:
        StaleSessionError: the session has ended, or was renewed, meanwhile.
    """
    # By the parameter's name in Django's own forms, which every backend serves.
    found: Any = authenticate(request, username=user.get_username(), password=password)
    if found is None:
        # Django has told of it, and that is logged.
        return False
    if not found.is_active or found.pk != user.pk:
        log_refusal(request, reason="inactive", user_id=user.pk)
        return False
    # How the password is stored may just have been upgraded. A user model of a project's own
    # need not have one.
    if hasattr(found, "get_session_auth_hash"):
        store[HASH_SESSION_KEY] = found.get_session_auth_hash()
    store.mark_authenticated(found)
    save_now(store)
    return True


def save_now(store: SessionStore) -> None:
    """Save before the response is made, so that it reports what is stored and its token is valid.

    Raises:
        StaleSessionError: the session has ended, or was renewed, meanwhile.
    """
    store.save()
    # The middleware would save once more.
    store.modified = False
