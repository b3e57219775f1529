"""One view behind ``IsAuthenticated``."""

from typing import Any

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Who(APIView):
    """Say who asks."""

    def get(self, request: Request) -> Response:
        """Return the user's key, which also a user made from a token knows."""
        # Any: simplejwt's stateless users are no models.
        user: Any = request.user
        return Response({"user": str(user.pk)})


urlpatterns = [path("api/", Who.as_view())]
