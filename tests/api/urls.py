"""The endpoints, and a project's own views beside them."""

from django.contrib.auth.models import User
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus.api.authentication import (
    CookieAuthentication,
    SessionTokenAuthentication,
)
from django_sessions_plus.api.permissions import FreshSession


class Mine(APIView):
    """A project's view with REST framework's own handlers and settings."""

    authentication_classes = [SessionTokenAuthentication, CookieAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.get_username(), "session": str(request.auth.pk)})

    def post(self, request: Request) -> Response:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return Response({"visits": request.session["visits"]})


class Sensitive(Mine):
    permission_classes = [FreshSession]


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
    path("sensitive", Sensitive.as_view()),
    path("by-key", SensitiveByKey.as_view()),
    path("either", SensitiveOrStaff.as_view()),
    path("plain", plain),
]
