"""The endpoints, and a project's own views beside them."""

from typing import Any

from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import User
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus import sessions
from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    CookieAuthentication,
    SessionTokenAuthentication,
    StatelessAccessTokenAuthentication,
)
from django_sessions_plus.api.permissions import FreshSession


class Mine(APIView):
    """A project's view with REST framework's own handlers and settings."""

    authentication_classes = [
        SessionTokenAuthentication,
        AccessTokenAuthentication,
        CookieAuthentication,
    ]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.get_username(), "session": str(request.auth.pk)})

    def post(self, request: Request) -> Response:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return Response({"visits": request.session["visits"]})


class Open(APIView):
    """Let everybody in, and tell whom it takes them for."""

    permission_classes = [AllowAny]

    def get(self, request: Request) -> Response:
        session = request._request.session
        return Response({"user": request.user.get_username(), "empty": session.is_empty()})


class OpenByAccessToken(Open):
    authentication_classes = [AccessTokenAuthentication, CookieAuthentication]


class OpenBySessionToken(Open):
    authentication_classes = [SessionTokenAuthentication, CookieAuthentication]


class Foreign(BaseAuthentication):
    """Somebody else's class for the same header."""

    def authenticate(self, request: Request) -> tuple[User, None]:
        return User(username="foreign"), None


class OpenByOthers(Open):
    authentication_classes = [AccessTokenAuthentication, Foreign]


class Stateless(APIView):
    authentication_classes = [StatelessAccessTokenAuthentication, CookieAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        user: Any = request.user
        claims: Any = request.auth
        told = {"pk": user.pk, "email": user.email, "session": str(claims.session_id)}
        return Response(told | {"same": request._request.user is user})

    def post(self, request: Request) -> Response:
        request.session["visits"] = 1
        return Response({"visits": request.session["visits"]})


class StatelessSensitive(Stateless):
    permission_classes = [FreshSession]


class Sensitive(Mine):
    permission_classes = [FreshSession]


class NewPassword(Mine):
    """A change of the password as Django's own view has it."""

    def post(self, request: Request) -> Response:
        user: Any = request.user
        session: Any = request.session
        user.set_password("another")
        user.save()
        update_session_auth_hash(request._request, user)
        if "pair" not in request.query_params:
            return Response()
        session.save()
        pair = sessions.issue_tokens(session.row)
        return Response({"access": pair.access, "refresh": pair.refresh})


class Key(BaseAuthentication):
    """Another means than the session, in a request whose cookie was read as well."""

    def authenticate(self, request: Request) -> tuple[User, None]:
        request.session.get("visits")
        return User.objects.get(username=request.headers["X-Key"]), None


class SensitiveByKey(Sensitive):
    authentication_classes = [Key]

    def get(self, request: Request) -> Response:
        return Response()


class SensitiveOrStaff(Mine):
    permission_classes = [FreshSession | IsAuthenticated]


def plain(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.user.get_username()})


urlpatterns = [
    path("auth/", include("django_sessions_plus.api.urls")),
    path("deep/er/v1/", include("django_sessions_plus.api.urls", namespace="elsewhere")),
    path("mine", Mine.as_view()),
    path("password", NewPassword.as_view()),
    path("sensitive", Sensitive.as_view()),
    path("by-key", SensitiveByKey.as_view()),
    path("either", SensitiveOrStaff.as_view()),
    path("open/access", OpenByAccessToken.as_view()),
    path("open/session", OpenBySessionToken.as_view()),
    path("open/others", OpenByOthers.as_view()),
    path("stateless", Stateless.as_view()),
    path("stateless/sensitive", StatelessSensitive.as_view()),
    path("plain", plain),
]
