"""What the endpoints would answer, for a page that is being rendered."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request

from django_sessions_plus.api.serializers import session_body


def start_value(http_request: HttpRequest) -> dict[str, Any]:
    """Return the body of ``GET session``.

    A page that is given this need not ask, and cannot be wrong about the time either, for it
    counts from when it was asked for itself. No token is part of it. The page must not be cached.
    """
    request = Request(http_request)
    request.user = http_request.user
    # Whoever is asked for their name loads the session.
    _ = http_request.user.is_authenticated
    return session_body(request)
