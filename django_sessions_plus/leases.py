"""What a process can say of its leases, for the monitoring of a site with the engine ``leased_db``.

Another process, such as a command, cannot see any of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from django_sessions_plus.backends.leasing.listening import Listener, listeners
from django_sessions_plus.backends.leasing.memory import now


@dataclass(frozen=True)
class ListenerFigures:
    """What one listener of this process, and the memory that it hears for, have done since they began."""

    model: str
    """The session model, such as ``django_sessions_plus.Session``."""
    database: str
    """The alias of the database that its sessions are written to."""
    hits: int
    """How often a session was served from memory."""
    misses: int
    """How often the lease was valid, but the memory did not have the session."""
    lapses: int
    """How often a session was read from the database because the lease was not valid."""
    heard: int
    """How many announcements were heard, those of this process included."""
    refused: int
    """How many sessions were read and not kept, because they had changed meanwhile."""
    size: int
    """How many sessions are in memory."""
    size_limit: int
    """How many may be, as ``SESSIONS_PLUS_LEASE_SESSIONS`` says."""
    is_valid: bool
    """Whether the lease is valid now. That of a process in which nobody asks for sessions is not."""
    why_invalid: str | None
    """Why it is not, in English, for operators; None if it is."""
    lag_p50: float | None
    """The median of the last 256 lags, in seconds from the sending of an echo to its answer; None before the first."""
    lag_p99: float | None
    """Their 99th percentile, likewise."""
    echo_age: float | None
    """How many seconds ago the last echo was sent that was answered; None before the first."""


def figures() -> list[ListenerFigures]:
    """Return the figures of each listener of this process: one, once a session was looked for; else none.

    None either with another engine, or right after a fork. Begins no listener and does no I/O; any thread, and any
    coroutine, may call it at any time. The counters begin at zero again with each process.
    """
    return [_figures_of(each) for each in listeners()]


def _figures_of(listener: Listener) -> ListenerFigures:
    memory, counted = listener.memory, listener.memory.figures
    lag_p50 = listener.lags.percentile(50)
    why_invalid = listener.why_invalid()
    return ListenerFigures(
        model=listener.channel.model._meta.label,
        database=listener.channel.alias,
        hits=counted.hits,
        misses=counted.misses,
        lapses=counted.lapses,
        heard=counted.heard,
        refused=counted.refused,
        size=len(memory),
        size_limit=memory.size,
        is_valid=why_invalid is None,
        why_invalid=why_invalid,
        lag_p50=lag_p50,
        lag_p99=listener.lags.percentile(99),
        echo_age=None if lag_p50 is None else now() - listener.heard_at,
    )
