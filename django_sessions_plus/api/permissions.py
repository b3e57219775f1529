"""Permissions, for the endpoints and for a project's own views."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from django_sessions_plus.api.errors import ReauthenticationRequiredError
from django_sessions_plus.api.requests import is_person, session_of
from django_sessions_plus.conf import config


class IsSignedIn(BasePermission):
    """Admit users who were authenticated by a session, through one of the package's authentication classes."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether there is a signed-in session."""
        return is_person(request) and session_of(request).row is not None


class FreshSession(BasePermission):
    """Admit users who authenticated within ``SESSIONS_PLUS_FRESH_AGE``, by cookie or by header.

    For sensitive acts in any view of REST framework (OWASP ASVS 5.0 7.5.1)::

        class DeleteAccount(APIView):
            permission_classes = [FreshSession]

    Anonymous requests get 401. Sessions that are not fresh get 403 with the body
    ``{"code": "reauthentication_required", "detail": ...}``, also from REST framework's own
    exception handler: have the user pass ``POST reauthenticate``, then try again. A user who
    was authenticated by other means than the session is not fresh.
    """

    code = ReauthenticationRequiredError.code

    @property
    def message(self) -> Any:
        """The body of the refusal, in the language of the request."""
        return ReauthenticationRequiredError().detail

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether the session is the user's, and fresh."""
        if not is_person(request):
            return False
        store = session_of(request)
        # The cookie may be somebody else's than, say, an API key in another header.
        is_own = store.row is not None and store.row.user_id == request.user.pk
        return is_own and store.is_fresh()


class FreshToEndOthers(FreshSession):
    """Demand a fresh session as far as ``SESSIONS_PLUS_FRESH_FOR_ENDING_OTHERS`` says so."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether one's other sessions may be ended."""
        return not config.FRESH_FOR_ENDING_OTHERS or super().has_permission(request, view)
