"""What the endpoints have in common.

They have their own authentication, parsers, renderers, permissions and error bodies; a project's
settings for its other views do not affect them.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.http import HttpResponse
from django.utils.cache import patch_vary_headers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus.api import errors
from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    CookieAuthentication,
    SessionTokenAuthentication,
)
from django_sessions_plus.api.content import OnlyJSON, Utf8JSONParser
from django_sessions_plus.api.error_handling import exception_handler
from django_sessions_plus.api.requests import (
    is_signed_in,
    send_csrf_token,
    session_of,
)
from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.exceptions import IncompleteSignInError, StaleSessionError


class SessionsPlusView(APIView):
    """The base class of the endpoints."""

    authentication_classes = [
        AccessTokenAuthentication,
        SessionTokenAuthentication,
        CookieAuthentication,
    ]
    permission_classes = []
    throttle_classes = []
    parser_classes = [Utf8JSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = OnlyJSON
    metadata_class = None
    versioning_class = None
    http_method_names = ["get", "head", "post", "delete"]

    def get_authenticate_header(self, request: Request) -> str:
        """Return a challenge; without one, REST framework would turn every 401 into a 403."""
        return errors.CHALLENGE

    def is_in_use(self) -> bool:
        """Return whether ``SESSION_ENGINE`` allows to use the endpoint."""
        return own_engine() is not None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse every request without a session of this package: a sign-in would fail halfway.

        Raises:
            NotInUseError: ``SESSION_ENGINE`` is not an engine of this package, or ``MIDDLEWARE`` has
                no session middleware.
        """
        if not self.is_in_use() or not hasattr(request._request, "session"):
            raise errors.NotInUseError
        super().initial(request, *args, **kwargs)

    def get_exception_handler(self) -> Any:
        """Return the package's handler, not the project's."""
        return exception_handler

    def handle_exception(self, exc: Exception) -> Response:
        """Return the error response, and prevent the middleware from saving a session that has ended."""
        if isinstance(exc, StaleSessionError):
            session_of(self.request).forget_and_keep_cookie()
        elif isinstance(exc, IncompleteSignInError):
            exc = errors.SignInIncompleteError(exc.code, exc.detail)
        return super().handle_exception(exc)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """Set the cache headers of every response."""
        final = super().finalize_response(request, response, *args, **kwargs)
        self.keep_from_caches(final)
        send_csrf_token(request._request, final)
        return final

    def permission_denied(
        self, request: Request, message: str | None = None, code: str | None = None
    ) -> NoReturn:
        """Refuse the request; raise ``SessionEndedError`` for the cookie of an inactive session."""
        reason = getattr(request._request.session, "inactive_reason", None)
        if reason is not None and not is_signed_in(request):
            raise errors.SessionEndedError(reason)
        super().permission_denied(request, message, code)

    def keep_from_caches(self, response: HttpResponse) -> None:
        """Set headers that forbid caches to store the response."""
        response["Cache-Control"] = "no-store"
        patch_vary_headers(response, ("Authorization", "Cookie"))
