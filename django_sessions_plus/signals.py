"""What the package tells a project. Nothing is sent before its write is committed.

All are sent with ``send_robust()``: Django logs a receiver that fails, and the failure
neither undoes a sign-in nor keeps a session alive. No argument carries a token.
"""

from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import Signal

session_started = Signal()
"""A person signed in: ``session`` (the row), ``user``."""

session_ended = Signal()
"""A signed-in session stopped by act: ``session``, ``user``, ``reason``, ``actor`` (or None)."""

session_context_changed = Signal()
"""A session is used from another network or browser: ``session``, ``user``, ``changes``.

``changes`` is ``{column: (old, new)}``. Sent by the one request that writes it down, and by
the one that ends the session for it.
"""

new_device_signed_in = Signal()
"""A person signed in from a browser, system and network that together are new: ``session``, ``user``."""

refresh_token_reused = Signal()
"""A rotated refresh token came back after its grace, and ended its session.

``session``, ``user``, ``age`` (since that token was issued), ``since_rotation`` (since the last
rotation), ``context_changed``, ``changes`` (as above: recorded, presented).
"""


def send_after_commit(signal: Signal, *, using: str, **arguments: Any) -> None:
    """Send ``signal`` once the running transaction on ``using`` is committed; at once if there is none."""
    transaction.on_commit(partial(signal.send_robust, **arguments), using=using)
