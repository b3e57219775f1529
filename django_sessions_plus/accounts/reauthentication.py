"""Ask for the password again before a sensitive action; for the API, the pages and the decorator."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from zlib import crc32

from django.contrib.auth import HASH_SESSION_KEY, authenticate
from django.core.exceptions import PermissionDenied
from django.db import router
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import events
from django_sessions_plus.accounts import attempts
from django_sessions_plus.accounts.failed_sign_ins import log_failed_attempt
from django_sessions_plus.accounts.second_factors import check_sign_in
from django_sessions_plus.accounts.sign_in_page import redirect_to_sign_in, sign_in_url
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.running import store_of
from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.events import Event

CONFIRM_PASSWORD = "django_sessions_plus:confirm-password"

SENT_BACK_WITHIN = 60
"""Seconds. A user who returns to the page within this time, still not fresh, was redirected by the sign-in page."""

LONGEST_PASSWORD = 4096

_SENT = "_sessions_plus_sent"
# After more redirects than this to the sign-in page, an error is shown, if our own page is not mounted.
# A few redirects are no error, because users also go back in their browser.
_MOST_RETURNS = 3


def is_fresh(request: HttpRequest, user: Any) -> bool:
    """Return whether ``user`` authenticated in the request's session within ``SESSIONS_PLUS_FRESH_AGE``."""
    session = store_of(request)
    if not user.is_authenticated or session is None:
        return False
    # Not by the row alone: it does not show whether its user may still sign in.
    return session.row is not None and session.row.user_id == user.pk and session.is_fresh()


def is_due_to_end_others(request: HttpRequest) -> bool:
    """Return whether the user has to authenticate again before ending other sessions."""
    return config.FRESH_FOR_ENDING_OTHERS and not is_fresh(request, request.user)


def redirect_to_page(
    request: HttpRequest, return_to: str, default: str | None = None
) -> HttpResponseRedirect:
    """Redirect to ``SESSIONS_PLUS_REAUTHENTICATE_URL``, or ``default``, and from there back to ``return_to``.

    A ``default`` of None means ``LOGIN_URL``. Many sign-in pages redirect a signed-in user back at
    once, which would loop forever. A user who comes back like that is redirected to ``CONFIRM_PASSWORD``.

    Raises:
        PermissionDenied: the user comes back again and again, and ``django_sessions_plus.urls`` is not mounted.
    """
    url = config.REAUTHENTICATE_URL or default
    target = sign_in_url() if url is None else resolve_url(url)
    times = 0 if url == CONFIRM_PASSWORD else _count_redirect(request, return_to)
    confirm_page = _confirm_page() if times else None
    if times > _MOST_RETURNS and confirm_page is None:
        raise PermissionDenied(
            f"This needs a recent sign-in, and {target} sends back who is signed in already: set"
            f" {PREFIX}REAUTHENTICATE_URL, or mount django_sessions_plus.urls."
        )
    return redirect_to_sign_in(request, return_to, confirm_page or target)


def _confirm_page() -> str | None:
    with suppress(NoReverseMatch):
        return reverse(CONFIRM_PASSWORD)
    return None


def _count_redirect(request: HttpRequest, return_to: str) -> int:
    """Count this redirect, and return how often the user was redirected from this page a moment ago.

    0 if the session is not loaded: nobody is signed in then.
    """
    session: Any = getattr(request, "session", None)
    if session is None or not session.session_key or not session.accessed:
        return 0
    # A checksum, because a URL may contain secrets, which must not be stored.
    now, page = timezone.now().timestamp(), crc32(return_to.encode())
    last = session.get(_SENT)
    is_again = isinstance(last, list) and last[0] == page and now - last[1] < SENT_BACK_WITHIN
    times = last[2] + 1 if is_again else 0
    session[_SENT] = [page, now, times]
    return times


def wait_after_attempt(store: SessionStore) -> float | None:
    """Count an attempt of this session; None if ``SESSIONS_PLUS_RATES`` allows it, else seconds."""
    return attempts.wait_after("reauthenticate", str(store.row), config.rate("reauthenticate"))


@sensitive_variables()
def confirm_password(request: HttpRequest, store: SessionStore, user: Any, password: str) -> bool:
    """Make the session fresh and rotate its token, if ``password`` is that of ``user``; return whether it is.

    The session is saved at once, so that the response shows what is stored.

    Raises:
        IncompleteSignInError: the password is right, and ``SESSIONS_PLUS_SIGN_IN`` asks for more.
        StaleSessionError: the session has ended meanwhile, or another user has signed in to it.
    """
    # Django's own forms use this parameter name, so every backend accepts it.
    found: Any = authenticate(request, username=user.get_username(), password=password)
    if found is None:
        # Django has sent user_login_failed, whose receiver logs it.
        return False
    if not found.is_active or found.pk != user.pk:
        log_failed_attempt(request, reason="inactive", user_id=user.pk)
        return False
    check_sign_in(request, found)
    # authenticate() may have upgraded the hash of the password. A custom user model may lack
    # this method.
    if hasattr(found, "get_session_auth_hash"):
        store[HASH_SESSION_KEY] = found.get_session_auth_hash()
    store.mark_authenticated(found)
    save_now(store)
    log_authentication(events.REAUTHENTICATED, store)
    return True


def log_authentication(event: Event, store: SessionStore) -> None:
    """Log, after the commit, that the user of a session has authenticated in it again."""
    row = store.row
    if row is not None:
        event.log_after_commit(
            using=router.db_for_write(type(row)),
            session_id=row.pk,
            user_id=row.user_id,
            transport=store.transport,
        )


def save_now(store: SessionStore) -> None:
    """Save before the response is made, so that it reports what is stored and its token is valid.

    Raises:
        StaleSessionError: the session has ended meanwhile, or another user has signed in to it.
    """
    store.save()
    # Otherwise the middleware would save it again.
    store.modified = False
