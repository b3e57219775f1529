"""Touching a session after the response was sent, so that the client does not wait for a write it does not need.

Only where the answer cannot depend on that write, and where something runs after the response. Django's WSGI
handler has the server call ``close()`` of the response after its last byte was written, and that calls
``request.close()``: before ``request_finished``, so that the connection of the request is still open.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from django_sessions_plus.backends import changes
from django_sessions_plus.backends.db import SessionStore

_ACTIVITY = frozenset({"last_seen_at"})
# A header transport has no cookie that must expire with the row.
_ACTIVITY_AND_EXPIRY = _ACTIVITY | {"updated_at", "expires_at", "confirmed_refreshed_at"}


def is_touched_later(
    request: HttpRequest, response: HttpResponseBase, session: SessionStore
) -> bool:
    """Return whether nothing must be written before the response; a touch that is due then follows after it.

    False if the touch has to come first: it may set a cookie or send a signal, or nothing runs after this response.
    """
    if settings.SESSION_SAVE_EVERY_REQUEST:
        return False
    columns = session.due_columns()
    if not columns:
        return True
    row, is_by_cookie = session.row, session.transport == "cookie"
    if row is None or columns.keys() - (_ACTIVITY if is_by_cookie else _ACTIVITY_AND_EXPIRY):
        return False
    if is_by_cookie and changes.is_first_use_after_slide(row, columns):
        return False
    if response.streaming or not _is_closed_by_server(request):
        return False
    # Not a closer of the response: a middleware may replace it, as ConditionalGetMiddleware does.
    later = partial(_touch_and_close, session, request.close)
    request.close = later  # type: ignore[method-assign]  # Django has no other hook that survives that
    return True


def _is_closed_by_server(request: HttpRequest) -> bool:
    """Return whether ``request.close()`` will be called, in the thread that has the connection of this request.

    Not under ASGI, where a client that leaves early can prevent the call, and where ``AsyncClient`` makes it in
    another thread, with another connection. A request without ``resolver_match`` may have been made by
    ``RequestFactory`` and given to the middleware without a handler.
    """
    return isinstance(request, WSGIRequest) and request.resolver_match is not None


def _touch_and_close(session: SessionStore, close: Callable[[], object]) -> None:
    # If more is due by now than the activity, the next response has to set the cookie.
    session.can_set_cookie = False
    try:
        session.touch()
    finally:
        close()
