"""The credentials of an API request, and the session that replaces that of the cookie."""

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

from django_sessions_plus import tokens
from django_sessions_plus.accounts.password_changes import is_acting_as_another
from django_sessions_plus.api.csrf_advice import advice
from django_sessions_plus.api.errors import CsrfFailedError, HttpsRequiredError, NotInUseError
from django_sessions_plus.backends import bridging, opened
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.running import store_of
from django_sessions_plus.conf import callables, config
from django_sessions_plus.conf.kinds import Transport
from django_sessions_plus.http.plain_http import may_send_tokens
from django_sessions_plus.middleware import bind_user, set_request_user

# Django's own logger, so that a project's configuration of it applies here too.
csrf_logger = logging.getLogger("django.security.csrf")

PASSIVE = "passive"
"""The parameter of ``GET session`` for requests by a timer, which are no activity of the user."""
SETTLED = "settled"
"""The parameter of ``DELETE sessions/<id>`` that waits until no process accepts the session."""

_SCHEME = re.compile(r"\s*([!#$%&'*+.^_`|~0-9a-z-]*)", re.ASCII | re.IGNORECASE)
_JWT_SHAPED = re.compile(r"[\w-]*\.[\w-]*\.[\w-]*", re.ASCII)


def bearer_credential(request: Request) -> str | None:
    """Return what follows ``Bearer`` in the header, valid or not; None for another scheme."""
    # Not request.headers, which would parse every header.
    header: str = request._request.META.get("HTTP_AUTHORIZATION", "")
    scheme = _SCHEME.match(header)
    if scheme is None or scheme[1].lower() != "bearer":
        return None
    return header[scheme.end() :].strip(" ")


def transport_of(credential: str) -> Transport | None:
    """Return the transport of a bearer credential by its form: a session token or a JWT; None for anything else.

    No text has both forms, because a session token has no dots.
    """
    if tokens.is_well_formed(credential):
        return "bearer"
    return "jwt" if _JWT_SHAPED.fullmatch(credential) else None


def put_session(
    http_request: HttpRequest, token: str | None = None, *, transport: Transport = "bearer"
) -> SessionStore:
    """Replace the request's session by that of ``token`` (None: a new one) and return it, not loaded.

    Raises:
        NotInUseError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    engine = bridging.own_engine_for_headers()
    if engine is None:
        raise NotInUseError
    store = engine(token)
    if (replaced := store_of(http_request)) is not None:
        # no_activity may have set this on the cookie's session, but it applies to the request.
        store.counts_as_activity = replaced.counts_as_activity
    store.transport = transport
    store.is_token_sent = token is not None
    store.meta = http_request.META
    bind_user(http_request, store)
    http_request.session = store
    # The user of the cookie's session must not be the user of this request.
    set_request_user(http_request, AnonymousUser())
    opened.add(store, is_current=True)
    return store


def read_body(request: Request) -> None:
    """Parse the body now, which hides the secrets in it.

    Raises:
        ParseError: it cannot be read.
        UnsupportedMediaType: the view does not accept its content type.
        RequestDataTooBig: it is too large.
    """
    request.data  # noqa: B018 - a property that parses


def is_signed_in(request: Request) -> bool:
    """Return whether somebody is signed in; a project may set the anonymous user to None."""
    return bool(getattr(request.user, "is_authenticated", False))


def is_impersonated(request: Request) -> bool:
    """Return whether somebody else acts as the user of this session, with a package for that.

    Raises:
        NotInUseError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    return is_acting_as_another(session_of(request))


def foreign_audiences(request: Request) -> list[str]:
    """Return the audiences that ``POST token`` issues tokens for: the setting, without this site itself."""
    own = callables.jwt_audience(request._request)
    own = [own] if isinstance(own, str) else own
    return [audience for audience in config.TOKEN_AUDIENCES if audience not in own]


def is_passive(request: Request) -> bool:
    """Return whether the request asks not to count as activity; see ``is_asked()``."""
    return is_asked(request, PASSIVE)


def is_asked(request: Request, name: str) -> bool:
    """Return whether the query parameter ``name`` is true.

    Raises:
        ValidationError: the parameter is neither true nor false, or is given more than once.
    """
    given = request.query_params.getlist(name)
    if given not in ([], ["true"], ["false"]):
        raise ValidationError({name: [_("This is not one of the possible words.")]})
    return given == ["true"]


def session_of(request: Request) -> SessionStore:
    """Return the request's session.

    Raises:
        NotInUseError: it is not a session of this package's engines.
    """
    store = getattr(request._request, "session", None)
    if not isinstance(store, SessionStore):
        raise NotInUseError
    return store


def enforce_csrf(http_request: HttpRequest) -> None:
    """Run Django's CSRF check, although the views of REST framework are exempt.

    Raises:
        CsrfFailedError: the check failed. The reason is logged; the response has it only with ``DEBUG``.
    """
    check = CSRFCheck(_no_response)
    check.process_request(http_request)
    reason = check.process_view(http_request, _no_response, (), {})
    if reason:
        csrf_logger.warning("Forbidden (%s): %s", reason, http_request.path)
        raise CsrfFailedError(advice(str(reason), http_request) if settings.DEBUG else None)


def send_csrf_token(http_request: HttpRequest, response: HttpResponseBase) -> None:
    """Add the CSRF token to the response, for scripts that cannot read its cookie.

    They cannot if it is HttpOnly, stored in the session, or belongs to another host. Another site cannot
    read the headers of a response, unless the project allows it (CORS).
    """
    if http_request.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
        name = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-")
        response[name.title()] = get_token(http_request)


def require_https(http_request: HttpRequest) -> None:
    """Refuse a request whose response would contain tokens (or a cookie) over plain HTTP.

    Raises:
        HttpsRequiredError: it came by plain HTTP, and ``SESSIONS_PLUS_REQUIRE_HTTPS`` is True.
    """
    if not may_send_tokens(http_request):
        raise HttpsRequiredError


def _no_response(request: HttpRequest) -> Any:
    raise NotImplementedError("only the check is used")
