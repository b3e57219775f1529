"""Sign scripts and services in to the API: an ``httpx.Auth`` for ``httpx.Client`` and ``httpx.AsyncClient``.

Needs httpx and nothing else, neither Django nor the rest of the package::

    auth = SessionAuth("https://example.com/auth/", "ada", "correct horse")
    with httpx.Client(auth=auth) as client:
        client.get("https://example.com/api/things")

``answers`` knows what the server says, ``keeping`` decides what is to be asked for and does
no I/O, ``auth`` drives that in both modes.
"""

from django_sessions_plus.client.answers import (
    SessionAuthError,
    SignInError,
    Tokens,
    UnavailableError,
)
from django_sessions_plus.client.auth import SessionAuth

__all__ = ["SessionAuth", "SessionAuthError", "SignInError", "Tokens", "UnavailableError"]
