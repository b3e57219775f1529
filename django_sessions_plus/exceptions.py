"""Every exception that this package defines.

::

    SessionsPlusError
    ├── ConfigurationError   (also django's ImproperlyConfigured)
    ├── IncompleteSignInError
    ├── InactiveSessionError
    ├── SignInRefusedError
    ├── StaleSessionError    (also django's UpdateError and SessionInterrupted)
    ├── TokenError
    │   └── TokenExpiredError
    └── UnsettledError
"""

from typing import Any

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import ImproperlyConfigured


class SessionsPlusError(Exception):
    """The base class of all errors; ``code`` is stable, snake_case and meant for programs."""

    code = "error"


class ConfigurationError(SessionsPlusError, ImproperlyConfigured):
    """A setting is wrong; the message names it and the values it takes."""

    code = "configuration"


class IncompleteSignInError(SessionsPlusError):
    """The password is right, but this user needs more to sign in, such as a second factor.

    ``code`` says what is missing, such as ``second_factor_required``; ``detail`` is a message for users, or "".
    """

    code = "sign_in_incomplete"

    def __init__(self, code: str, detail: Any = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class InactiveSessionError(SessionsPlusError):
    """The token is genuine, but nobody is signed in to its session any more.

    ``reason`` is a ``policy.InactiveReason`` if the token is the session's current one, because only its
    holder may know the reason; else None.
    """

    code = "session_ended"

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(self.code)
        self.reason = reason


class SignInRefusedError(SessionsPlusError):
    """No session can start: the user is inactive, or no authentication backend would return the user later."""

    code = "sign_in_refused"

    def __init__(self) -> None:
        super().__init__("The user is inactive, or no authentication backend lets the user in.")


class StaleSessionError(SessionsPlusError, UpdateError, SessionInterrupted):
    """Nothing was written: the session has ended, or another user has signed in to it, since it was loaded.

    It is an ``UpdateError`` because every session middleware handles that, and a ``SessionInterrupted``
    because Django answers that with status 400, not 500, if a view does not catch it.
    """

    code = "session_interrupted"

    def __init__(self) -> None:
        # Django's own message, which log filters and tests may expect.
        super().__init__(
            "The request's session was deleted before the request completed. "
            "The user may have logged out in a concurrent request, for example."
        )


class TokenError(SessionsPlusError):
    """An access or refresh token is invalid. The message does not say why, and does not contain the token."""

    code = "invalid_token"

    def __init__(self) -> None:
        super().__init__(self.code)


class TokenExpiredError(TokenError):
    """The access token was valid and has expired; the client should refresh it."""

    code = "token_expired"


class UnsettledError(SessionsPlusError):
    """Sessions have ended, but other processes may still accept them, because the cache could not be told.

    ``ended`` is what the verb would have returned; ``within`` are the seconds until all refuse them, at most.
    """

    code = "unsettled"

    def __init__(self, ended: int, within: int) -> None:
        super().__init__(f"The cache could not be told: it may be believed for {within} seconds.")
        self.ended = ended
        self.within = within
