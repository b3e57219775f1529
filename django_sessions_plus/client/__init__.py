"""Sign scripts and services in to the API: an ``httpx.Auth`` for ``httpx.Client`` and ``httpx.AsyncClient``.

Needs httpx and nothing else, neither Django nor the rest of the package::

    auth = SessionAuth("https://example.com/auth/", "ada", "correct horse")
    with httpx.Client(auth=auth) as client:
        client.get("https://example.com/api/things")

``responses`` parses the server's responses, ``addresses`` decides where tokens may be sent, ``token_manager``
decides which request for tokens is needed and does no I/O, ``runner`` sends those requests, sync and
async, and ``auth`` handles one request.
"""

from django_sessions_plus.client.auth import SessionAuth
from django_sessions_plus.client.responses import (
    SessionAuthError,
    SignInError,
    Tokens,
    UnavailableError,
)

__all__ = ["SessionAuth", "SessionAuthError", "SignInError", "Tokens", "UnavailableError"]
