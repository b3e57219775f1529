"""The log events about sessions, in a form that programs can read.

All use one logger; their names, levels and fields are stable. Fields are plain numbers and
strings, mostly ids: no token, no digest, no name that somebody typed.
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import transaction

logger = logging.getLogger("django_sessions_plus")


@dataclass(frozen=True)
class Event:
    """One kind of event: its name, level, message and fields."""

    name: str
    level: int
    message: str
    fields: tuple[str, ...]

    @property
    def is_enabled(self) -> bool:
        """Return whether the logger is enabled for it; if not, callers need not collect its fields."""
        return logger.isEnabledFor(self.level)

    def log(self, **fields: Any) -> None:
        """Log the event with its fields, all of which must be given."""
        if self.is_enabled:
            said = {name: _plain(name, fields.pop(name)) for name in self.fields}
            assert not fields, fields  # noqa: S101 - a caller that is wrong, found by its first test
            try:
                logger.log(self.level, self.message, said, extra={"event": self.name, **said})
            except Exception:  # noqa: BLE001 - a project's handler or filter must not decide an answer
                if logging.raiseExceptions:
                    # The logging module reports a failing handler in the same way.
                    traceback.print_exc()

    def log_after_commit(self, *, using: str, **fields: Any) -> None:
        """Log the event once the running transaction on ``using`` is committed; at once if there is none."""
        if self.is_enabled:
            transaction.on_commit(partial(self.log, **fields), using=using)


def _plain(name: str, value: Any) -> Any:
    """Return the value in a type that JSON has: an id as text, several names as one text."""
    if value is None or (isinstance(value, (bool, int, float)) and not name.endswith("_id")):
        return value
    return ",".join(sorted(value)) if isinstance(value, (set, frozenset, dict)) else str(value)


SESSION_STARTED = Event(
    "session_started",
    logging.INFO,
    "User %(user_id)s has signed in; session %(session_id)s has started.",
    ("session_id", "user_id", "transport"),
)
SESSION_IMPORTED = Event(
    "session_imported",
    logging.INFO,
    "Session %(session_id)s was imported from %(source)s.",
    ("session_id", "user_id", "source"),
)
SIGNED_IN_AGAIN = Event(
    "signed_in_again",
    logging.INFO,
    "User %(user_id)s has signed in again in session %(session_id)s.",
    ("session_id", "user_id", "transport"),
)
REAUTHENTICATED = Event(
    "reauthenticated",
    logging.INFO,
    "User %(user_id)s has entered the password again in session %(session_id)s.",
    ("session_id", "user_id", "transport"),
)
TOKENS_REFRESHED = Event(
    "tokens_refreshed",
    logging.DEBUG,
    "Session %(session_id)s has exchanged its refresh token.",
    ("session_id", "user_id"),
)
CREDENTIAL_REFUSED = Event(
    "credential_refused",
    logging.WARNING,
    "A credential that opens nothing was refused: %(credential)s.",
    ("credential", "ip_address"),
)
SIGN_IN_FAILED = Event(
    "sign_in_failed",
    logging.WARNING,
    "A sign-in was refused: %(reason)s.",
    ("reason", "user_id", "ip_address"),
)
PROXY_NOT_TRUSTED = Event(
    "proxy_not_trusted",
    logging.WARNING,
    "Requests with a forwarded address come from %(ip_address)s, which SESSIONS_PLUS_TRUSTED_PROXIES"
    " does not name: all clients behind it count as one.",
    ("ip_address",),
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
    "Session %(session_id)s is used from another network or browser: %(changed)s.",
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
CREDENTIAL_CHANGED = Event(
    "credential_changed",
    logging.INFO,
    "A credential of user %(user_id)s has changed: %(credential)s.",
    ("user_id", "credential"),
)
CREDENTIAL_EMAIL_FAILED = Event(
    "credential_email_failed",
    logging.ERROR,
    "The e-mail to user %(user_id)s about a changed credential could not be sent: %(error)s.",
    ("user_id", "error"),
)
REFRESH_TOKEN_REUSED = Event(
    "refresh_token_reused",
    logging.WARNING,
    "A refresh token was used again; session %(session_id)s has ended.",
    ("session_id", "user_id", "age", "since_rotation", "context_changed", "changed"),
)
REFRESH_REPLAYED = Event(
    "refresh_replayed",
    logging.INFO,
    "The last refresh of session %(session_id)s was answered again, to a retry or to another network or browser.",
    ("session_id", "user_id", "since_rotation", "replays_left", "changed"),
)
TOKENS_OVER_PLAIN_HTTP = Event(
    "tokens_over_plain_http",
    logging.WARNING,
    "Tokens of session %(session_id)s were handed out over plain HTTP.",
    ("session_id", "user_id", "transport"),
)
TOKEN_ISSUED = Event(
    "token_issued",
    logging.INFO,
    "A token was issued; it is of session %(session_id)s.",
    ("session_id", "user_id", "actor_id", "transport"),
)
BOOKKEEPING_FAILED = Event(
    "bookkeeping_failed",
    logging.ERROR,
    "Could not %(what)s: %(error)s. The request was answered all the same.",
    ("what", "error"),
)
FAST_PATH_FAILED = Event(
    "fast_path_failed",
    logging.WARNING,
    "The fast path does not work with this version of Django: %(error)s. The ORM is used instead.",
    ("error",),
)
LEASE_LAPSED = Event(
    "lease_lapsed",
    logging.WARNING,
    "This process has heard of no ended sessions for more than 5 seconds: %(error)s. Until it does, sessions are read"
    " from the database.",
    ("error",),
)
LEASE_NOT_ANNOUNCED = Event(
    "lease_not_announced",
    logging.ERROR,
    "A change could not be announced on Redis: %(error)s. For SESSIONS_PLUS_CACHE_AGE, other processes may serve a"
    " session that has ended.",
    ("error",),
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
