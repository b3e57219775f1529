"""Whether tokens may be sent over plain HTTP, where others on the network can read them, and the log of that."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from django_sessions_plus import events
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf import config


def may_send_tokens(http_request: HttpRequest) -> bool:
    """Return whether the response may contain tokens: False over plain HTTP with ``SESSIONS_PLUS_REQUIRE_HTTPS``.

    Behind a proxy, Django needs ``SECURE_PROXY_SSL_HEADER`` to know that the client used HTTPS.
    """
    return not config.REQUIRE_HTTPS or http_request.is_secure()


def log_plain_http(http_request: HttpRequest, store: SessionStore) -> None:
    """Log that tokens of a session are sent over plain HTTP; not with ``DEBUG``."""
    row = store.row
    if row is not None and not settings.DEBUG and not http_request.is_secure():
        events.TOKENS_OVER_PLAIN_HTTP.log(
            session_id=row.pk, user_id=row.user_id, transport=store.transport
        )
