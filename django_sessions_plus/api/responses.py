"""Responses that several endpoints give: after a sign-in or re-authentication, and after the end of sessions."""

from __future__ import annotations

from typing import Any, Self

from rest_framework.request import Request
from rest_framework.response import Response

from django_sessions_plus.api.requests import session_of
from django_sessions_plus.api.serializers import session_body
from django_sessions_plus.api.transports import TransportSteps
from django_sessions_plus.backends.configured import invalidation_delay
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.settlement import settle
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.policy import EndReason


def session_response(request: Request, transport: TransportSteps) -> Response:
    """Return the response with the saved session and its tokens; if that fails, end the session.

    A claim or field of the project may raise, or a key may be missing. Without the end, a session would
    stay on the list whose tokens nobody has.

    Raises:
        ConfigurationError: claims, fields or keys cannot be used.
        StaleSessionError: the session has ended meanwhile, or another user has signed in to it.
    """
    try:
        response = Response(session_body(request))
        transport.disclose(request, response)
    except Exception:
        with best_effort("end a session whose tokens could not be sent"):
            _end_undelivered(session_of(request))
        raise
    return response


def _end_undelivered(store: SessionStore) -> None:
    """End the session, because nobody has its new token; nothing happens if the token was rotated since.

    The end is not repeated after a rollback, which also undoes the rotation: the token that the request
    came with is valid again then, so its cookie is not deleted either.
    """
    store.end_as(EndReason.REVOKED)
    store.uncommitted.ended = None
    store.may_have_newer_cookie = True


class EndResponse(Response):
    """The response that sessions have ended. With status 202 it says within how many seconds every process knows.

    If the cache could not be reached, other processes accept cached copies for a limited time.
    """

    is_settled_first = False
    """Whether to wait until no process accepts the sessions, because the client has asked for that."""

    def render(self) -> Self:
        """Choose the status, and render the response."""
        # Not earlier: with ATOMIC_REQUESTS, the end is committed and the cache updated after the view.
        ask = settle if self.is_settled_first else invalidation_delay
        within = None if self.is_rendered else ask()
        if within is not None:
            data: dict[str, Any] = self.data or {}
            self.status_code = 202
            self.data = {**data, "settled": False, "within": within}
        super().render()
        return self
