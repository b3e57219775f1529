"""Sign scripts and services in to the API: an ``httpx.Auth`` for ``httpx.Client`` and ``httpx.AsyncClient``.

Needs httpx and nothing else, neither Django nor the rest of the package::

    auth = SessionAuth("https://example.com/auth/", "ada", "correct horse")
    with httpx.Client(auth=auth) as client:
        client.get("https://example.com/api/things")

``answers`` parses the server's responses, ``addresses`` decides where tokens may be sent, ``keeping``
decides which request for tokens is needed and does no I/O, ``driving`` sends those requests, sync and
async, and ``auth`` handles one request.
"""

from django_sessions_plus.client.answers import (
    SessionAuthError,
    SignInError,
    Tokens,
    UnavailableError,
)
from django_sessions_plus.client.auth import SessionAuth

__all__ = ["SessionAuth", "SessionAuthError", "SignInError", "Tokens", "UnavailableError"]
