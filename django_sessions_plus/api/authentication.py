"""Who a request comes from: a session token in the header, or the session cookie.

For a project's own API as well::

    authentication_classes = [SessionTokenAuthentication, CookieAuthentication]

Both answer with ``(user, session)``, so that ``request.auth`` is the row. A header is
never a second choice: where one presents a bearer credential, the cookie is not read.
"""

from __future__ import annotations

import logging
import re
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from rest_framework.authentication import (
    BaseAuthentication,
    CSRFCheck,
    SessionAuthentication,
    get_authorization_header,
)
from rest_framework.request import Request

from django_sessions_plus import sessions, tokens
from django_sessions_plus.api.errors import (
    CHALLENGE,
    TOKEN_CHALLENGE,
    CsrfFailedError,
    InvalidTokenError,
    SessionEndedError,
)
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.middleware import bind_user, get_user, set_request_user

# Django's own, so that what is configured for it sees these as well.
csrf_logger = logging.getLogger("django.security.csrf")

_SCHEME = re.compile(r"\s*([!#$%&'*+.^_`|~0-9a-z-]*)", re.ASCII | re.IGNORECASE)
_JWT_SHAPED = re.compile(r"[\w-]*\.[\w-]*\.[\w-]*", re.ASCII)


class BearerAuthentication(BaseAuthentication):
    """What the classes that read a bearer credential have in common: the challenge."""

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401 (RFC 6750 section 3)."""
        return CHALLENGE if bearer_credential(request) is None else TOKEN_CHALLENGE


class SessionTokenAuthentication(BearerAuthentication):
    """Authenticate by ``Authorization: Bearer <session token>``; one query.

    The session of the token takes the place of the cookie's in ``request.session``, is
    touched after the response like any other, and never gets a cookie. A JWT is left to
    the class that knows it.
    """

    def authenticate(self, request: Request) -> tuple[Any, AbstractSession] | None:
        """Return the user and the session; None where the header presents no bearer credential.

        Raises:
            InvalidTokenError: the credential is neither a session token nor shaped like a JWT.
            SessionEndedError: the token opens no session that somebody is signed in to.
        """
        # The token is in no variable while the database is asked: error reports show those.
        if not is_ours(bearer_credential(request)):
            return None
        http_request = request._request
        if not tokens.is_well_formed(bearer_credential(request)):
            put_bearer_session(http_request, None)
            raise InvalidTokenError
        store = put_bearer_session(http_request, bearer_credential(request))
        user = get_user(http_request)
        if not user.is_authenticated or store.row is None:
            raise SessionEndedError
        return user, store.row


class CookieAuthentication(SessionAuthentication):
    """Authenticate by the session cookie, with CSRF protection.

    Stands aside wherever the header presents a bearer credential, good or bad.
    """

    def authenticate(self, request: Request) -> tuple[Any, AbstractSession | None] | None:
        """Return the user and the session; None for an anonymous request.

        Raises:
            CsrfFailedError: somebody is signed in, the method is not safe, and the CSRF check failed.
        """
        if bearer_credential(request) is not None:
            return None
        found = super().authenticate(request)
        return None if found is None else (found[0], session_of(request).row)

    def enforce_csrf(self, request: Request) -> None:
        """Check the CSRF token and the origin, also where the view is exempt."""
        enforce_csrf(request._request)


def is_ours(credential: str | None) -> bool:
    """Tell whether a bearer credential is not shaped like a JWT, which another class knows."""
    return credential is not None and _JWT_SHAPED.fullmatch(credential) is None


def bearer_credential(request: Request) -> str | None:
    """Return what follows ``Bearer`` in the header, however odd; None where the scheme is another."""
    header = get_authorization_header(request).decode("latin-1")
    scheme = _SCHEME.match(header)
    if scheme is None or scheme[1].lower() != "bearer":
        return None
    return header[scheme.end() :].strip(" ")


def put_bearer_session(http_request: HttpRequest, token: str | None) -> SessionStore:
    """Make the session of ``token`` (None: a new, empty one) the request's and return it, unloaded.

    Raises:
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    engine = import_module(settings.SESSION_ENGINE).SessionStore
    if not issubclass(engine, SessionStore):
        raise ConfigurationError(_ENGINE_NEEDED)
    store: SessionStore = engine(token)
    replaced = getattr(http_request, "session", None)
    if isinstance(replaced, SessionStore):
        # What ``no_activity`` said, before anybody had read the header, is said of the request.
        store.counts_as_activity = replaced.counts_as_activity
    store.transport = "bearer"
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


def session_of(request: Request) -> SessionStore:
    """Return the request's session.

    Raises:
        ConfigurationError: it is not one of this package's engines.
    """
    store = getattr(request._request, "session", None)
    if not isinstance(store, SessionStore):
        raise ConfigurationError(_ENGINE_NEEDED)
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


_ENGINE_NEEDED = (
    "The API of django_sessions_plus needs SESSION_ENGINE to be one of "
    "django_sessions_plus.backends and its SessionMiddleware in MIDDLEWARE."
)


def _no_response(request: HttpRequest) -> Any:
    raise NotImplementedError("only the check is used")
