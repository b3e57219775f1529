"""The endpoints of dj-rest-auth beside ours, and a view that takes the tokens of both."""

from django.urls import include, path
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus.api.authentication import SessionTokenAuthentication


class TheirsFirst(APIView):
    """A view for either token."""

    authentication_classes = [TokenAuthentication, SessionTokenAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        """Tell the user."""
        return Response(request.user.get_username())


class OursFirst(TheirsFirst):
    """The same in the other order."""

    authentication_classes = [SessionTokenAuthentication, TokenAuthentication]


urlpatterns = [
    path("rest/", include("dj_rest_auth.urls")),
    path("auth/", include("django_sessions_plus.api.urls")),
    path("theirs-first", TheirsFirst.as_view()),
    path("ours-first", OursFirst.as_view()),
]
