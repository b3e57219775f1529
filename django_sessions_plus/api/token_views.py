"""The endpoints of tokens: the next pair for a refresh token, and the public keys."""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction
from django.http import Http404, HttpResponse, JsonResponse
from django.utils.cache import get_conditional_response, set_response_etag
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from django_sessions_plus.api import errors
from django_sessions_plus.api.pairs import FIELD, is_by_cookie, presented_refresh, put_pair
from django_sessions_plus.api.requests import enforce_csrf, put_session
from django_sessions_plus.api.serializers import RefreshSerializer
from django_sessions_plus.api.throttling import RefreshThrottle
from django_sessions_plus.api.views import SessionsPlusView
from django_sessions_plus.backends.base import RowSession
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.exceptions import SessionOverError, TokenError
from django_sessions_plus.jwt import keys
from django_sessions_plus.jwt.refresh import IssuedTokens, refresh

# A key is published this long before it signs at the least, see docs/jwt.md.
JWKS_AGE = 900


class RefreshView(SessionsPlusView):
    """A refresh token for the next pair."""

    # What the header holds has expired, most likely.
    authentication_classes = []
    throttle_classes = [RefreshThrottle]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view, outside of ``ATOMIC_REQUESTS``: no rollback undoes the end a reuse brings."""
        view = super().as_view(**initkwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    def check_throttles(self, request: Request) -> None:
        """Count nothing yet: what another site can make a browser send must not use up its quota."""

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Rotate the token and return the pair, the refresh token by the way it came."""
        serializer = RefreshSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        if is_by_cookie(request):
            enforce_csrf(request._request)
        elif presented_refresh(request) is None:
            raise ValidationError({FIELD: [_("This field is required.")]})
        super().check_throttles(request)
        store = put_session(request._request, transport="jwt")
        store.counts_as_activity = not serializer.validated_data["passive"]
        pair = _exchanged(request, store)
        # What had to be saved is.
        store.modified = False
        response = Response({})
        put_pair(request, response, pair, store, as_cookie=is_by_cookie(request))
        return response


class JwksView(SessionsPlusView):
    """The public keys that access tokens are verified with."""

    authentication_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Leave the session alone, whatever settings say: what caches keep must set no cookie."""
        session = getattr(request._request, "session", None)
        if isinstance(session, RowSession):
            session.is_passed_over = True
        super().initial(request, *args, **kwargs)

    def get(self, request: Request) -> HttpResponse:
        """Return the JWK set (RFC 7517); 404 where there are but secrets.

        An empty set would be kept by whoever fetched it a moment before there are keys.
        """
        found = keys.jwks()
        if not found["keys"]:
            raise Http404
        response = JsonResponse(found)
        response["Cache-Control"] = f"public, max-age={JWKS_AGE}"
        set_response_etag(response)
        etag = response["ETag"]
        answer = get_conditional_response(request._request, etag=etag, response=response)
        return answer or response

    def keep_from_caches(self, response: HttpResponse) -> None:
        """Let caches keep the keys, which are the same for everybody; and nothing else."""
        if not response.has_header("ETag"):
            super().keep_from_caches(response)


def _exchanged(request: Request, store: SessionStore) -> IssuedTokens:
    error: errors.ApiError = errors.InvalidTokenError()
    try:
        # In no variable of ours, for error reports show those.
        return refresh(presented_refresh(request), store=store)
    except TokenError:
        pass
    except SessionOverError as over:
        error = errors.SessionEndedError(over.reason)
    raise error
