"""Leases for the suite as a whole, whose tests end a session and look at once.

Before a row is served from memory, the listener sends one more echo, and its answer is waited for. So all that was
committed before has been heard, and the rest is as in production.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from django_sessions_plus.backends.leasing import listening
from django_sessions_plus.backends.leasing.memory import Memory, now

PATIENCE = 10.0


def install(patch: pytest.MonkeyPatch) -> None:
    """Wait for an echo in each ``find()``."""
    find = Memory.find

    def find_strictly(memory: Memory, key: Any) -> Any:
        for listener in listening.listeners():
            if listener.memory is memory and listener.error is None:
                _wait_for_echo(listener)
        return find(memory, key)

    patch.setattr(Memory, "find", find_strictly)


def _wait_for_echo(listener: listening.Listener) -> None:
    asked_at = now()
    deadline = time.monotonic() + PATIENCE
    while listener.heard_at < asked_at and listener.error is None:
        listener._is_asleep = True
        listener.wake()
        time.sleep(0.0005)
        assert time.monotonic() < deadline
