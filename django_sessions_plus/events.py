"""The log events about sessions, for machines to read.

All are on one logger; their names, levels and fields are stable. Fields are plain numbers and
strings, mostly ids: no token, no digest, no name that somebody typed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import transaction

logger = logging.getLogger("django_sessions_plus")


@dataclass(frozen=True)
class Event:
    """One kind of event: its name, its level, what it says to people, and its fields."""

    name: str
    level: int
    message: str
    fields: tuple[str, ...]

    @property
    def is_enabled(self) -> bool:
        """Whether the logger takes it; if not, callers need not collect what only serves to log it."""
        return logger.isEnabledFor(self.level)

    def log(self, **fields: Any) -> None:
        """Log the event with its fields, all of which must be given."""
        if self.is_enabled:
            said = {name: _plain(name, fields.pop(name)) for name in self.fields}
            assert not fields, fields  # noqa: S101 - a caller that is wrong, found by its first test
            logger.log(self.level, self.message, said, extra={"event": self.name, **said})

    def log_after_commit(self, *, using: str, **fields: Any) -> None:
        """Log the event once the running transaction on ``using`` is committed; at once if there is none."""
        if self.is_enabled:
            transaction.on_commit(partial(self.log, **fields), using=using)


def _plain(name: str, value: Any) -> Any:
    """Return what JSON has a form for: an id as text, whatever its type, and names in one text."""
    if value is None or (isinstance(value, (bool, int, float)) and not name.endswith("_id")):
        return value
    return ",".join(sorted(value)) if isinstance(value, (set, frozenset, dict)) else str(value)


SESSION_STARTED = Event(
    "session_started",
    logging.INFO,
    "User %(user_id)s has signed in; session %(session_id)s has started.",
    ("session_id", "user_id", "transport"),
)
SIGN_IN_FAILED = Event(
    "sign_in_failed",
    logging.WARNING,
    "A sign-in was refused: %(reason)s.",
    ("reason", "user_id", "ip_address"),
)
SESSION_ENDED = Event(
    "session_ended",
    logging.INFO,
    "Session %(session_id)s has ended: %(reason)s.",
    ("session_id", "user_id", "reason", "actor_id"),
)
SESSION_CONTEXT_CHANGED = Event(
    "session_context_changed",
    logging.INFO,
    "Session %(session_id)s is used from elsewhere: %(changed)s.",
    ("session_id", "user_id", "changed", "policy"),
)
NEW_DEVICE_SIGNED_IN = Event(
    "new_device_signed_in",
    logging.INFO,
    "Session %(session_id)s was started on a device that is new to its user.",
    ("session_id", "user_id"),
)
NEW_DEVICE_EMAIL_FAILED = Event(
    "new_device_email_failed",
    logging.ERROR,
    "The e-mail about session %(session_id)s could not be sent: %(error)s.",
    ("session_id", "user_id", "error"),
)
REFRESH_TOKEN_REUSED = Event(
    "refresh_token_reused",
    logging.WARNING,
    "A refresh token was used again; session %(session_id)s has ended.",
    ("session_id", "user_id", "age", "since_rotation", "context_changed", "changed"),
)
TOKEN_ISSUED = Event(
    "token_issued",
    logging.INFO,
    "A token was issued; it is of session %(session_id)s.",
    ("session_id", "user_id", "actor_id", "transport"),
)
SESSIONS_EXPORTED = Event(
    "sessions_exported",
    logging.INFO,
    "What is stored of %(count)s sessions of user %(user_id)s was exported.",
    ("user_id", "count"),
)
SESSIONS_ERASED = Event(
    "sessions_erased",
    logging.INFO,
    "What was stored of %(count)s sessions of user %(user_id)s was erased.",
    ("user_id", "count"),
)
