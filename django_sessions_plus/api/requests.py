"""What a request presents to the API, and the session it is given in place of the cookie's."""

from __future__ import annotations

import logging
import re
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.utils.translation import gettext as _
from rest_framework.authentication import CSRFCheck
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from django_sessions_plus import sessions, tokens
from django_sessions_plus.api.errors import CsrfFailedError
from django_sessions_plus.backends.base import Transport
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.middleware import bind_user, set_request_user

# Django's own, so that what is configured for it sees these as well.
csrf_logger = logging.getLogger("django.security.csrf")

PASSIVE = "passive"
"""The parameter of ``GET session`` for whoever asks by a timer and not because a person is there."""

_SCHEME = re.compile(r"\s*([!#$%&'*+.^_`|~0-9a-z-]*)", re.ASCII | re.IGNORECASE)
_JWT_SHAPED = re.compile(r"[\w-]*\.[\w-]*\.[\w-]*", re.ASCII)


def bearer_credential(request: Request) -> str | None:
    """Return what follows ``Bearer`` in the header, however odd; None where the scheme is another."""
    # Not by request.headers, which parses every header for the one.
    header: str = request._request.META.get("HTTP_AUTHORIZATION", "")
    scheme = _SCHEME.match(header)
    if scheme is None or scheme[1].lower() != "bearer":
        return None
    return header[scheme.end() :].strip(" ")


def transport_of(credential: str) -> Transport | None:
    """Return what a bearer credential looks like: a session token, a JWT, or (None) nothing known.

    Only by its form. The two have no text in common: a session token has no dots.
    """
    if tokens.is_well_formed(credential):
        return "bearer"
    return "jwt" if _JWT_SHAPED.fullmatch(credential) else None


def put_session(
    http_request: HttpRequest, token: str | None = None, *, transport: Transport = "bearer"
) -> SessionStore:
    """Make the session of ``token`` (None: a new, empty one) the request's and return it, unloaded.

    Raises:
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    store = new_store(token)
    replaced = getattr(http_request, "session", None)
    if isinstance(replaced, SessionStore):
        # What ``no_activity`` said, before anybody had read the header, is said of the request.
        store.counts_as_activity = replaced.counts_as_activity
    store.transport = transport
    store.bind(http_request.META)
    bind_user(http_request, store)
    http_request.session = store
    # Whoever the cookie stood for has no part in this request.
    set_request_user(http_request, AnonymousUser())
    sessions.set_current(store)
    return store


def is_person(request: Request) -> bool:
    """Tell whether somebody is signed in; a project may have None in place of an anonymous user."""
    return bool(getattr(request.user, "is_authenticated", False))


def is_passive(request: Request) -> bool:
    """Tell whether to be asked is no activity.

    Raises:
        ValidationError: the parameter is neither true nor false, or there more than once.
    """
    given = request.query_params.getlist(PASSIVE)
    if given not in ([], ["true"], ["false"]):
        raise ValidationError({PASSIVE: [_("This is not one of the possible words.")]})
    return given == ["true"]


def session_of(request: Request) -> SessionStore:
    """Return the request's session.

    Raises:
        ConfigurationError: it is not one of this package's engines.
    """
    store = getattr(request._request, "session", None)
    if not isinstance(store, SessionStore):
        raise ConfigurationError(
            "The API of django_sessions_plus needs SESSION_ENGINE to be one of"
            " django_sessions_plus.backends, and its SessionMiddleware in MIDDLEWARE."
        )
    return store


def enforce_csrf(http_request: HttpRequest) -> None:
    """Hold a request to Django's CSRF rules, although the views of REST framework are exempt.

    Raises:
        CsrfFailedError: it does not keep them. Why is logged, and not told.
    """
    check = CSRFCheck(_no_response)
    check.process_request(http_request)
    reason = check.process_view(http_request, _no_response, (), {})
    if reason:
        csrf_logger.warning("Forbidden (%s): %s", reason, http_request.path)
        raise CsrfFailedError


def tell_csrf_token(http_request: HttpRequest, response: HttpResponseBase) -> None:
    """Add the CSRF token to an answer that hands it out, for scripts that cannot read the cookie.

    They cannot where it is HttpOnly, kept in the session, or another host's. Another site
    can read no header of an answer either, unless the project lets it (CORS).
    """
    if http_request.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
        name = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-")
        response[name.title()] = get_token(http_request)


def _no_response(request: HttpRequest) -> Any:
    raise NotImplementedError("only the check is used")
