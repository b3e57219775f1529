"""Who a request comes from: a token in the header, or the session cookie.

For a project's own API as well::

    authentication_classes = [
        AccessTokenAuthentication, SessionTokenAuthentication, CookieAuthentication
    ]

All answer with ``(user, session)``, so that ``request.auth`` is the row. A header is
never a second choice: where one presents a bearer credential, the cookie is not read.
"""

from __future__ import annotations

from typing import Any, Literal

from django.http import HttpRequest
from rest_framework.authentication import (
    BaseAuthentication,
    BasicAuthentication,
    SessionAuthentication,
)
from rest_framework.request import Request

from django_sessions_plus.api.errors import (
    CHALLENGE,
    ERRORS,
    TOKEN_CHALLENGE,
    AccessExpiredError,
    ApiError,
    InvalidTokenError,
    SessionEndedError,
)
from django_sessions_plus.api.requests import (
    bearer_credential,
    enforce_csrf,
    put_session,
    session_of,
    transport_of,
)
from django_sessions_plus.api.token_user import TokenUser
from django_sessions_plus.backends.base import Transport
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.exceptions import TokenError, TokenExpiredError
from django_sessions_plus.jwt import access
from django_sessions_plus.jwt.access import Claims
from django_sessions_plus.middleware import get_user, set_request_user

# Where the challenge waits that goes with a refusal, for REST framework asks for it later.
_REFUSED_WITH = "_sessions_plus_challenge"


class BearerAuthentication(BaseAuthentication):
    """What the classes that read a bearer credential have in common.

    Each knows one form and leaves the other's to the class for it, wherever that stands.
    Where no class is left that could know it, the request is refused and not anonymous.
    """

    reads: Transport

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the user and what ``request.auth`` is to be; None where this is not the class to say.

        Raises:
            InvalidTokenError: the credential is no token of this site.
            SessionEndedError: it opens no session that somebody is signed in to.
            AccessExpiredError: it is an access token that has expired.
        """
        transport = _presented(request)
        if transport == self.reads:
            return self.open(request)
        if transport is None or (transport and self._is_left_to_another(request)):
            return None
        put_session(request._request)
        raise _refusal(request, InvalidTokenError())

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401 (RFC 6750 section 3)."""
        usual = CHALLENGE if bearer_credential(request) is None else TOKEN_CHALLENGE
        challenge: str = vars(request).get(_REFUSED_WITH, usual)
        return challenge

    def open(self, request: Request) -> tuple[Any, Any]:
        """Return the user and the session of a credential in the form this class reads."""
        raise NotImplementedError("a class for a credential must open it")

    def _is_left_to_another(self, request: Request) -> bool:
        classes = list(request.authenticators or ())
        if self not in classes:
            # Called by something else than REST framework, which has to know.
            return True
        return any(
            other.reads != self.reads
            if isinstance(other, BearerAuthentication)
            else not isinstance(other, (SessionAuthentication, BasicAuthentication))
            for other in classes[classes.index(self) + 1 :]
        )


class SessionTokenAuthentication(BearerAuthentication):
    """Authenticate by ``Authorization: Bearer <session token>``; one query.

    The session of the token takes the place of the cookie's in ``request.session``, is
    touched after the response like any other, and never gets a cookie.
    """

    reads = "bearer"

    def open(self, request: Request) -> tuple[Any, AbstractSession]:
        """Return the user and the session of the token."""
        return _signed_in(request, put_session(request._request, bearer_credential(request)))


class AccessTokenAuthentication(BearerAuthentication):
    """Authenticate by ``Authorization: Bearer <access token>``; one query, for the row and its user.

    So a session that has ended is refused at once, and the user is the one every other
    request would have. ``request.session`` is the session, as with the other transports.

    ``stateless = True`` asks nobody: whoever has a token is let in until it expires, at the
    latest ``SESSIONS_PLUS_JWT_ACCESS_AGE`` and the leeway after the session has ended. The user
    is then a ``TokenUser``, ``request.auth`` the claims, and ``request.session`` stays empty.
    """

    reads = "jwt"
    stateless = False

    def open(self, request: Request) -> tuple[Any, AbstractSession | Claims]:
        """Return the user and the session of the token, or what it says of both."""
        store = put_session(request._request, transport="jwt")
        claims = _verified(request)
        if not self.stateless:
            store.open_by_id(claims.session_id)
            return _signed_in(request, store, claims)
        # Of a session that was opened by its id nothing is ever made anew.
        store.is_opened_by_id = True
        user = TokenUser(claims)
        set_request_user(request._request, user)
        return user, claims


class StatelessAccessTokenAuthentication(AccessTokenAuthentication):
    """Authenticate by access token without asking the database, for services that accept the window."""

    stateless = True


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


def _refusal(request: Request, error: ApiError) -> ApiError:
    """Return the refusal of a bearer credential, having noted the challenge that goes with it."""
    vars(request)[_REFUSED_WITH] = ERRORS[error.code].challenge
    return error


def _presented(request: Request) -> Transport | Literal[""] | None:
    """Return which form of credential the header presents, "" for one that is none; None without any."""
    # The token is in no variable while the database is asked: error reports show those.
    credential = bearer_credential(request)
    return None if credential is None else transport_of(credential) or ""


def _verified(request: Request) -> Claims:
    expired = False
    try:
        return access.verify(bearer_credential(request) or "")
    except TokenError as error:
        expired = isinstance(error, TokenExpiredError)
    # Outside: what is chained would show the frames in which the token was read.
    raise _refusal(request, AccessExpiredError() if expired else InvalidTokenError())


def _signed_in(
    request: Request, store: SessionStore, claims: Claims | None = None
) -> tuple[Any, AbstractSession]:
    """Return the user and the row of a session, as every request judges them."""
    http_request: HttpRequest = request._request
    user = get_user(http_request)
    row = store.row
    if row is None or not user.is_authenticated or not _is_of(claims, row, user):
        # Nothing of what is refused is left to the rest of the request.
        store.forget()
        raise _refusal(request, SessionEndedError(_reason_for(claims, store)))
    if claims is not None and access.is_superseded(claims, row, store.load_if_needed()):
        store.forget()
        raise _refusal(request, AccessExpiredError())
    set_request_user(http_request, user)
    return user, row


def _reason_for(claims: Claims | None, store: SessionStore) -> str | None:
    """Return why the session is over, if what was presented is its last token and not an earlier one."""
    row = store.row_over
    is_anothers = claims is not None and (
        row is None
        or claims.user_id != str(row.user_id)
        or access.is_before_authentication(claims, row)
    )
    return None if is_anothers else store.over_reason


def _is_of(claims: Claims | None, row: AbstractSession, user: Any) -> bool:
    """Tell whether a token was issued to whom the session belongs now."""
    return claims is None or claims.user_id == str(row.user_id) == str(user.pk)
