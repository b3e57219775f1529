"""The signals of this package. Each is sent after its write is committed.

All are sent with ``send_robust()``: Django logs a receiver that fails, so that it cannot undo a
sign-in or keep a session alive. No argument contains a token.
"""

from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import Signal

session_started = Signal()
"""A user signed in: ``session`` (the row), ``user``."""

session_ended = Signal()
"""A signed-in session was ended; not sent when one expires: ``session``, ``user``, ``reason``, ``actor`` (or None)."""

session_context_changed = Signal()
"""A session is used from another network or browser: ``session``, ``user``, ``changes``.

``changes`` is ``{column: (old, new)}``. Sent once for each change: by the request that records it,
or that ends the session because of it.
"""

new_device_signed_in = Signal()
"""A user signed in from a combination of browser, system and network that is new: ``session``, ``user``."""

credential_changed = Signal()
"""A password, or another credential that the project reports, has changed: ``user``, ``credential`` (its name)."""

refresh_token_reused = Signal()
"""A refresh token was used again after it had been replaced, and its session was ended.

``session``, ``user``, ``age`` (a timedelta since that token was issued), ``since_rotation`` (a timedelta
since the last rotation, or None), ``context_changed``, ``changes`` (as above: recorded, presented).
"""


def send_after_commit(signal: Signal, *, using: str, **arguments: Any) -> None:
    """Send ``signal`` once the running transaction on ``using`` is committed; at once if there is none."""
    transaction.on_commit(partial(signal.send_robust, **arguments), using=using)
