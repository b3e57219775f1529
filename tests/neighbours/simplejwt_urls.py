"""Our endpoints, one of them in the place of simplejwt's own, and a view for the access tokens of both."""

from django.urls import include, path
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.views import TokenRefreshView

from django_sessions_plus.api.authentication import AccessTokenAuthentication
from django_sessions_plus.api.token_views import RefreshSignOutView, RefreshView
from django_sessions_plus.contrib.dj_rest_auth import JWTCookieAuthentication
from django_sessions_plus.contrib.simplejwt import JWTAuthentication


class Who(APIView):
    """Tell the user."""

    authentication_classes = [AccessTokenAuthentication, JWTAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        """Tell the user."""
        return Response(request.user.get_username())


class WhoByCookie(Who):
    """The same for cookies of dj-rest-auth."""

    authentication_classes = [AccessTokenAuthentication, JWTCookieAuthentication]


urlpatterns = [
    path("auth/", include("django_sessions_plus.api.urls")),
    path("rest/", include("dj_rest_auth.urls")),
    path("api/token/refresh/", RefreshView.as_view()),
    path("auth-too/refresh", RefreshView.as_view()),
    path("api/token/blacklist/", RefreshSignOutView.as_view()),
    path("theirs/token/refresh/", TokenRefreshView.as_view()),
    path("who", Who.as_view()),
    path("who-by-cookie", WhoByCookie.as_view()),
]
