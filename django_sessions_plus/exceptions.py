"""Every error this package raises on purpose.

::

    SessionsPlusError
    ├── ConfigurationError   (also django's ImproperlyConfigured)
    └── StaleSessionError    (also django's UpdateError and SessionInterrupted)
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


class StaleSessionError(SessionsPlusError, UpdateError, SessionInterrupted):
    """Refuse a write: the session has ended, or its token was rotated, since it was loaded.

    Being Django's ``UpdateError`` it means to the session middleware what it always
    meant; being a ``SessionInterrupted`` it is an answer 400, not 500, when a view
    lets it through.
    """

    code = "session_interrupted"

    def __init__(self) -> None:
        # Django's own words, for logs and tests know them.
        super().__init__(
            "The request's session was deleted before the request completed. "
            "The user may have logged out in a concurrent request, for example."
        )
