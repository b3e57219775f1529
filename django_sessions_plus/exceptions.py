"""Every error this package raises on purpose.

::

    SessionsPlusError
    ├── ConfigurationError   (also django's ImproperlyConfigured)
    ├── SessionOverError
    ├── SignInRefusedError
    ├── StaleSessionError    (also django's UpdateError and SessionInterrupted)
    └── TokenError
        └── TokenExpiredError
"""

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import ImproperlyConfigured


class SessionsPlusError(Exception):
    """Be the root of all errors; ``code`` is stable, snake_case and meant for programs."""

    code = "error"


class ConfigurationError(SessionsPlusError, ImproperlyConfigured):
    """Say which setting is wrong and what it takes instead."""

    code = "configuration"


class SessionOverError(SessionsPlusError):
    """Refuse a genuine token: nobody is signed in to its session any more.

    ``reason`` is a word of ``policy.OverReason`` if the token is the session's current one, whose
    holder may know; else None.
    """

    code = "session_ended"

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(self.code)
        self.reason = reason


class SignInRefusedError(SessionsPlusError):
    """Refuse to start a session for a user who is inactive, or whom no authentication backend would know again."""

    code = "sign_in_refused"

    def __init__(self) -> None:
        super().__init__("The user is inactive, or no authentication backend lets the user in.")


class StaleSessionError(SessionsPlusError, UpdateError, SessionInterrupted):
    """Refuse a write: the session has ended, or its token was rotated, since it was loaded.

    As Django's ``UpdateError`` it is understood by any session middleware; as a
    ``SessionInterrupted`` it becomes a response 400, not 500, if a view does not catch it.
    """

    code = "session_interrupted"

    def __init__(self) -> None:
        # Django's own words, which logs and tests know.
        super().__init__(
            "The request's session was deleted before the request completed. "
            "The user may have logged out in a concurrent request, for example."
        )


class TokenError(SessionsPlusError):
    """Refuse an access or refresh token, without saying what is wrong with it or quoting it."""

    code = "invalid_token"

    def __init__(self) -> None:
        super().__init__(self.code)


class TokenExpiredError(TokenError):
    """Refuse an access token that was valid until it expired; a refresh can help."""

    code = "token_expired"
