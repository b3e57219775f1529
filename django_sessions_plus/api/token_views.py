"""The endpoints for tokens: refresh, tokens for other services, and the public keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connections, transaction
from django.http import Http404, HttpResponse, JsonResponse
from django.utils.cache import get_conditional_response, set_response_etag
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from django_sessions_plus.accounts.failed_sign_ins import log_refused_credential
from django_sessions_plus.api import errors, old_tokens
from django_sessions_plus.api.authentication import CookieAuthentication
from django_sessions_plus.api.base import SessionsPlusView
from django_sessions_plus.api.pairs import (
    FIELD,
    is_by_cookie,
    presented_attempt,
    presented_in_body,
    presented_refresh,
    put_pair,
)
from django_sessions_plus.api.permissions import IsSignedIn
from django_sessions_plus.api.requests import (
    enforce_csrf,
    foreign_audiences,
    is_impersonated,
    put_session,
    require_https,
    session_of,
)
from django_sessions_plus.api.serializers import RefreshSerializer, TokenSerializer
from django_sessions_plus.api.signing_out import end_by_refresh_token
from django_sessions_plus.api.throttling import RefreshThrottle
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.running import store_of
from django_sessions_plus.exceptions import InactiveSessionError, TokenError
from django_sessions_plus.http.plain_http import log_plain_http
from django_sessions_plus.jwt import access, keys
from django_sessions_plus.jwt.issuing import IssuedTokens
from django_sessions_plus.jwt.refresh import refresh

# Seconds. A new key must be published at least this long before it signs; see docs/jwt.md.
JWKS_AGE = 900

# Short, because a token for another service cannot be revoked before it expires.
TOKEN_AGE = timedelta(minutes=5)


class RefreshView(SessionsPlusView):
    """Exchange a refresh token for a new pair."""

    # The header is not read: its access token has probably expired.
    authentication_classes = []
    throttle_classes = [RefreshThrottle]

    def is_in_use(self) -> bool:
        """Return whether the endpoint is in use: also before the switch, while tokens are to be exchanged after it.

        Clients then come with tokens of processes where the switch has been made.
        """
        return super().is_in_use() or old_tokens.may_be_presented()

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view without ``ATOMIC_REQUESTS``: a rollback would undo the end of a session after reuse."""
        view = super().as_view(**initkwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    def check_throttles(self, request: Request) -> None:
        """Do not count yet: requests that another site makes a browser send must not use up its rate."""

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Rotate the token and return the pair; the refresh token goes into a cookie if it came in one.

        Raises:
            ValidationError: the token is missing, or the attempt is malformed.
            InvalidTokenError: the token is invalid.
            SessionEndedError: nobody is signed in to its session any more.
        """
        serializer = RefreshSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        if is_by_cookie(request):
            enforce_csrf(request._request)
        elif presented_refresh(request) is None:
            raise ValidationError({FIELD: [_("This field is required.")]})
        require_https(request._request)
        super().check_throttles(request)
        store = put_session(request._request, transport="jwt")
        store.counts_as_activity = not serializer.validated_data["passive"]
        pair = _refresh(request, store)
        # Already saved; otherwise the middleware would save it again.
        store.modified = False
        if not isinstance(pair, IssuedTokens):
            return Response(pair)
        response = Response({})
        put_pair(request, response, pair, store, as_cookie=is_by_cookie(request))
        return response


class RefreshSignOutView(SessionsPlusView):
    """End the session of the refresh token in the body, also of one that another package has issued.

    For apps that signed out in this way before a switch: it takes the place of the other package's endpoint.
    """

    authentication_classes = []

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """End the session; by an old token that has none yet, none can begin any more.

        The answer is the same if it is no token.
        """
        RefreshSerializer(data=request.data).is_valid(raise_exception=True)
        end_by_refresh_token(request, lambda: presented_in_body(request))
        return Response({})


class TokenView(SessionsPlusView):
    """Issue an access token for another service, to a page that is signed in by cookie."""

    # By cookie only: a stolen bearer token must not give access to other services.
    authentication_classes = [CookieAuthentication]
    permission_classes = [IsSignedIn]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check that the endpoint is in use.

        Raises:
            Http404: no audience is configured.
        """
        if not foreign_audiences(request):
            raise Http404
        super().initial(request, *args, **kwargs)

    def post(self, request: Request) -> Response:
        """Return a token for the audience; it cannot be refreshed.

        Raises:
            PermissionDenied: somebody else acts as the user of the session.
            ReauthenticationRequiredError: the session has to be made fresh first.
        """
        serializer = TokenSerializer(data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        require_https(request._request)
        store = session_of(request)
        if store.row is None or is_impersonated(request):
            raise PermissionDenied
        if store.row.needs_password:
            raise errors.ReauthenticationRequiredError
        issued = access.issue(
            store.row,
            user=request.user,
            audience=serializer.validated_data["audience"],
            age=TOKEN_AGE,
            request=request._request,
        )
        log_plain_http(request._request, store)
        return Response({"access": issued.token, "expires_in": issued.expires_in})


class JwksView(SessionsPlusView):
    """The public keys that access tokens are verified with."""

    authentication_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Do not use the session, with any settings: a response that caches may store must not set a cookie."""
        if (session := store_of(request._request)) is not None:
            session.is_skipped = True
        super().initial(request, *args, **kwargs)

    def get(self, request: Request) -> HttpResponse:
        """Return the JWK set (RFC 7517); 404 if all keys are secrets.

        Services would cache an empty set even after public keys are configured.

        Raises:
            Http404: there is no public key.
            ConfigurationError: a key cannot be used.
        """
        found = keys.jwks(request._request)
        if not found["keys"]:
            raise Http404
        response = JsonResponse(found)
        response["Cache-Control"] = f"public, max-age={JWKS_AGE}"
        set_response_etag(response)
        etag = response["ETag"]
        answer = get_conditional_response(request._request, etag=etag, response=response)
        return answer or response

    def keep_from_caches(self, response: HttpResponse) -> None:
        """Let caches store the keys, which are the same for everybody, but no error response."""
        if not response.has_header("ETag"):
            super().keep_from_caches(response)


def _refresh(request: Request, store: SessionStore) -> IssuedTokens | dict[str, Any]:
    error: errors.ApiError
    try:
        # The token is in no variable, because error reports show variables.
        old = old_tokens.read(presented_refresh(request), presented_attempt(request))
        if old is not None:
            pair = old_tokens.exchange(old, store, request)
            return pair or old_tokens.answer_of_package(old, presented_refresh(request))
        return refresh(
            presented_refresh(request),
            attempt=presented_attempt(request),
            store=store,
            request=request._request,
        )
    except TokenError:
        error = errors.InvalidTokenError()
    except InactiveSessionError as inactive:
        error = errors.SessionEndedError(inactive.reason)
    if isinstance(error, errors.InvalidTokenError):
        log_refused_credential(request._request, "refresh_token")
    raise error
