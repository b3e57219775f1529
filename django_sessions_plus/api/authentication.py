"""Authentication classes: a token in the header, or the session cookie.

For a project's own API as well::

    authentication_classes = [
        AccessTokenAuthentication, SessionTokenAuthentication, CookieAuthentication
    ]

All return ``(user, session)``, so that ``request.auth`` is the row. If the header has a bearer
credential, the cookie is not read, even if the credential is invalid.
"""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import (
    BaseAuthentication,
    BasicAuthentication,
    RemoteUserAuthentication,
    SessionAuthentication,
)
from rest_framework.request import Request

from django_sessions_plus.api.bearer import (
    CHALLENGE_ATTRIBUTE,
    authenticate_session,
    claims_or_error,
    is_ours,
    presented_form,
    refusal,
)
from django_sessions_plus.api.errors import (
    CHALLENGE,
    TOKEN_CHALLENGE,
    ApiError,
    InvalidTokenError,
)
from django_sessions_plus.api.requests import (
    bearer_credential,
    enforce_csrf,
    put_session,
    session_of,
)
from django_sessions_plus.api.token_user import TokenUser
from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf.kinds import Transport
from django_sessions_plus.jwt.access import Claims
from django_sessions_plus.middleware import set_request_user


class BearerAuthentication(BaseAuthentication):
    """The base class for bearer credentials.

    Each subclass reads one form, and leaves the other form and credentials of other packages to the
    classes after it. If no class is left that may know a credential, the request is refused instead of
    being anonymous.
    """

    reads: Transport

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the user and the value of ``request.auth``; None to leave the request to the next class.

        Raises:
            InvalidTokenError: the credential is no token of this site.
            SessionEndedError: nobody is signed in to its session.
            AccessExpiredError: it is an access token that has expired.
        """
        transport = presented_form(request)
        if transport is None:
            return None
        if transport == self.reads:
            found = self.open(request)
            if found is not None:
                return found
        elif self._is_left_to_ours(request):
            return None
        elif not self._is_left(request):
            put_session(request._request)
            raise refusal(request, InvalidTokenError())
        # A class of another package may accept the credential. Until then ``request.session`` is empty,
        # so that the session of the cookie is not used.
        if own_engine() is not None:
            put_session(request._request)
        return None

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401 (RFC 6750 section 3)."""
        usual = CHALLENGE if bearer_credential(request) is None else TOKEN_CHALLENGE
        challenge: str = vars(request).get(CHALLENGE_ATTRIBUTE, usual)
        return challenge

    def open(self, request: Request) -> tuple[Any, Any] | None:
        """Return the user and the session of a credential in this class's form, or None; see authenticate()."""
        raise NotImplementedError("a class for a credential must open it")

    def _is_left(self, request: Request) -> bool:
        """Return whether a class of another package comes after this one and may know the credential."""
        behind = self._behind(request)
        # The caller is not REST framework, and decides itself.
        return behind is None or any(map(_may_read_bearer, behind))

    def _is_left_to_ours(self, request: Request) -> bool:
        """Return whether our class for the other form comes after this one, and decides then."""
        return any(
            isinstance(other, BearerAuthentication) and other.reads != self.reads
            for other in self._behind(request) or ()
        )

    def _behind(self, request: Request) -> list[Any] | None:
        """Return the classes after this one; None if it is not one of the request's."""
        classes = list(request.authenticators or ())
        return classes[classes.index(self) + 1 :] if self in classes else None


class SessionTokenAuthentication(BearerAuthentication):
    """Authenticate by ``Authorization: Bearer <session token>``; one query.

    The session of the token replaces the cookie's as ``request.session``. It is touched after the
    response like any other, and no cookie is set for it.
    """

    reads = "bearer"

    def open(self, request: Request) -> tuple[Any, AbstractSession] | None:
        """Return the user and the session of the token.

        None if no session has this token and a class of another package comes next, whose tokens may
        have the same form. Raises ``SessionEndedError``; see authenticate().
        """
        store = put_session(request._request, bearer_credential(request))
        if self._is_left(request):
            store.identify()
            if store.row is None and store.inactive_row is None:
                return None
        return authenticate_session(request, store)


class AccessTokenAuthentication(BearerAuthentication):
    """Authenticate by ``Authorization: Bearer <access token>``; one query, for the row and its user.

    So the token of an ended session is refused at once, and the user is read from the database.
    ``request.session`` is the session, as with the other transports.

    With ``stateless = True`` there is no query: a token is accepted until it expires, that is for at
    most ``SESSIONS_PLUS_JWT_ACCESS_AGE`` plus the leeway after the session has ended. The user is then
    a ``TokenUser``, ``request.auth`` the claims, and ``request.session`` empty.
    """

    reads = "jwt"
    stateless = False

    def open(self, request: Request) -> tuple[Any, AbstractSession | Claims] | None:
        """Return the user and the session of the token; if stateless, a ``TokenUser`` and the claims.

        None if it is a token of another issuer or kind, and a class of another package comes next.
        Raises the errors of authenticate().
        """
        claims = claims_or_error(request)
        if (
            isinstance(claims, InvalidTokenError)
            and self._is_left(request)
            and not is_ours(request)
        ):
            return None
        store = put_session(request._request, transport="jwt")
        if isinstance(claims, ApiError):
            raise refusal(request, claims)
        if not self.stateless:
            store.access_issued_at = claims.all["iat"]
            store.open_by_id(claims.session_id)
            return authenticate_session(request, store, claims)
        # If the row is gone, a save must not create a new one.
        store.is_opened_by_id = True
        self.confirm(request, claims)
        user = TokenUser(claims)
        set_request_user(request._request, user)
        return user, claims

    def confirm(self, request: Request, claims: Claims) -> None:
        """Raise if a valid token is not to be accepted; for stateless subclasses. This one accepts all."""


class StatelessAccessTokenAuthentication(AccessTokenAuthentication):
    """Authenticate by access token without a query, for services that may accept tokens of ended sessions.

    ``leased.LeasedAccessTokenAuthentication`` is for those that may not.
    """

    stateless = True


def yielding(authentication: type[BaseAuthentication]) -> type[BaseAuthentication]:
    """Return a subclass of ``authentication`` that leaves our credentials to the classes after it.

    Classes of other packages refuse every bearer credential that is not theirs. Use this for a class
    that has to stand before ours; after ours it is not needed.
    """

    class Yielding(authentication):  # type: ignore[misc, valid-type]
        def authenticate(self, request: Request) -> tuple[Any, Any] | None:
            if is_ours(request):
                return None
            answer: tuple[Any, Any] | None = super().authenticate(request)
            return answer

    Yielding.__name__ = f"Yielding{authentication.__name__}"
    Yielding.__qualname__ = Yielding.__name__
    Yielding.__doc__ = authentication.__doc__
    return Yielding


class CookieAuthentication(SessionAuthentication):
    """Authenticate by the session cookie, with CSRF protection.

    Does nothing if the header has a bearer credential, valid or not.
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
        """Check the CSRF token and the origin, even if the view is exempt; raise ``CsrfFailedError`` if that fails."""
        enforce_csrf(request._request)


def _may_read_bearer(other: Any) -> bool:
    """Return whether a class belongs to another package and may read a bearer credential."""
    if isinstance(
        other,
        (
            BearerAuthentication,
            SessionAuthentication,
            BasicAuthentication,
            RemoteUserAuthentication,
        ),
    ):
        return False
    return str(getattr(other, "keyword", "Bearer")).lower() == "bearer"
