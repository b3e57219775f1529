"""What a process with the engine ``leased_db`` hears: its figures, and calls when a session may have ended.

Another process, such as a command, has figures and subscriptions of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.conf import settings

from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.backends.leased_db import SessionStore
from django_sessions_plus.backends.leasing.listening import Listener, listeners
from django_sessions_plus.backends.leasing.memory import now
from django_sessions_plus.backends.leasing.subscribers import ANY_USER, subscribers_of
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.exceptions import ConfigurationError


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


def subscribe(receiver: Callable[[], object], session: AbstractSession) -> Callable[[], None]:
    """Have ``receiver`` called when ``session`` may have ended; return the function that undoes this.

    For code that holds a connection open for longer than a request. ``receiver`` takes no argument, and a call says
    only that something may have changed: whoever hears it asks whether the session is still active. It is called

    - soon after this returns, for what has happened before;
    - after each change of the session's row or of its user, usually within milliseconds of the commit;
    - when the connection that listens was lost, and when there is a new one;
    - every second while the lease is not valid: so a lease and a second after the commit at the latest.

    Not when a session expires, which nobody announces. Several changes may be one call.

    The receivers of a process are called one after the other, in a thread of their own. They should do no more than
    wake somebody, as ``loop.call_soon_threadsafe()`` does. What one raises is logged on ``django.dispatch``, and the
    others are called. The database connections that they open are closed after them.

    ``receiver`` is kept until the returned function is called: more than once if you like, from any thread, and from
    the receiver itself. A call that runs then goes on. A process that is forked does not inherit the subscription.
    Neither function does I/O, and a coroutine may call both.

    Raises:
        ConfigurationError: ``SESSION_ENGINE`` is not ``leased_db`` or extends it: nothing is announced.
    """
    store = own_engine()
    if store is None or not issubclass(store, SessionStore):
        raise ConfigurationError(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, with which no process hears of sessions that end: set it"
            " to 'django_sessions_plus.backends.leased_db', or ask the database from time to time."
        )
    subscribers = subscribers_of(store.get_model_class())
    return partial(subscribers.remove, subscribers.add(receiver, _announcements_of(session)))


def _announcements_of(session: AbstractSession) -> list[str]:
    found = [f"s {session.pk}"]
    user_id = session.user_id
    if user_id is not None:
        # The database may write a text in another way than it is written here.
        is_exact = isinstance(user_id, (int, UUID)) and not isinstance(user_id, bool)
        found.append(f"u {user_id}" if is_exact else ANY_USER)
    return found


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
