"""What the engine ``leased_db`` needs before it is measured. Only imported by sites that have this package."""

from __future__ import annotations

import time

from django_sessions_plus import sessions
from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.backends.leasing.listening import listeners, memory_of
from django_sessions_plus.backends.leasing.memory import now

PATIENCE = 10.0


def install_triggers() -> None:
    """Have the database announce what has ended."""
    triggers.install(sessions.session_model(), "default")


def wait_for_lease() -> None:
    """Wait until the memory may be served: between two batches nobody asks, so that the lease ends."""
    model = sessions.session_model()
    deadline = time.monotonic() + PATIENCE
    while memory_of(model).valid_until <= now():
        if time.monotonic() > deadline:
            raise TimeoutError([each.error for each in listeners()])
        time.sleep(0.001)
