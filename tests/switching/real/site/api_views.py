"""The view of sites whose clients have tokens. It is the same before and after the switch."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Who(APIView):
    """Answer who is signed in, as the view for browsers does."""

    def get(self, request: Request) -> Response:
        """See Who."""
        return Response({"user": request.user.get_username(), "data": {}})
