"""Variants of the memory without one of its rules. Each has to be caught, or the proof would prove nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.backends.leasing.redis_channel import TOKEN_OF_UNKNOWN


def _no_lease() -> None:
    """The memory is served whatever its lease says."""
    always: Any = property(lambda memory: math.inf, lambda memory, until: None)
    Memory.valid_until = always


def _silent_reconnect() -> None:
    """A new connection neither empties the memory nor ends the lease."""
    nothing: Any = lambda memory: None  # noqa: E731 - a method that does nothing
    Memory.start = Memory.stop = nothing  # type: ignore[method-assign]
    hold: Any = Memory.hold

    def hold_others(memory: Memory, token: str, *arguments: Any, **options: Any) -> None:
        # With Redis a new connection also keeps nothing for a moment, which forgets everything.
        if token != TOKEN_OF_UNKNOWN:
            hold(memory, token, *arguments, **options)

    memory_class: Any = Memory
    memory_class.hold = hold_others


def _no_validity_check() -> None:
    """What was read is kept, whatever was heard meanwhile."""
    never: Any = lambda memory, snapshot, ticket: False  # noqa: E731
    Memory._is_outdated = never  # type: ignore[method-assign]


VARIANTS: dict[str, Callable[[], None]] = {
    "no lease": _no_lease,
    "silent reconnect": _silent_reconnect,
    "refill unchecked": _no_validity_check,
}
