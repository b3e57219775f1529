"""Permissions, for the endpoints and for a project's own views."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from django_sessions_plus.api.errors import ReauthenticationRequiredError
from django_sessions_plus.api.requests import is_signed_in, session_of
from django_sessions_plus.conf import config


class IsSignedIn(BasePermission):
    """Allow users who were authenticated by a session, with one of the package's authentication classes."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether there is a signed-in session.

        Raises:
            NotInUseError: ``SESSION_ENGINE`` is not an engine of this package.
        """
        return is_signed_in(request) and session_of(request).row is not None


class FreshSession(BasePermission):
    """Allow users who authenticated within ``SESSIONS_PLUS_FRESH_AGE``, by cookie or by header.

    For sensitive actions in any view of REST framework (OWASP ASVS 5.0 7.5.1)::

        class DeleteAccount(APIView):
            permission_classes = [FreshSession]

    Anonymous requests get 401. Sessions that are not fresh get 403 with the body
    ``{"code": "reauthentication_required", "detail": ...}``, also from REST framework's own
    exception handler: the client should call ``POST reauthenticate`` and try again. A user who was
    authenticated in another way than by a session is not fresh.
    """

    code = ReauthenticationRequiredError.code

    @property
    def message(self) -> Any:
        """The error body, in the language of the request."""
        return ReauthenticationRequiredError().detail

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the session belongs to the user and is fresh.

        Raises:
            NotInUseError: ``SESSION_ENGINE`` is not an engine of this package.
        """
        if not is_signed_in(request):
            return False
        store = session_of(request)
        # Another header, such as an API key, may have authenticated another user than the cookie's.
        is_own = store.row is not None and store.row.user_id == request.user.pk
        return is_own and store.is_fresh()


class FreshToEndOthers(FreshSession):
    """Require a fresh session if ``SESSIONS_PLUS_FRESH_FOR_ENDING_OTHERS`` says so."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the user's other sessions may be ended."""
        return not config.FRESH_FOR_ENDING_OTHERS or super().has_permission(request, view)
