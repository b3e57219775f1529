"""Ask another engine's store for a session, so that a slow or broken one delays no page and fails none.

A store that fails or is slow is left alone for a while (a circuit breaker). A token that no store knows is
remembered for a minute, in this process and by its digest, so that a browser that keeps sending it costs
one query and not many.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from threading import Lock
from time import monotonic
from typing import TypeVar

from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.backends.caching.circuit import Circuit, Pending, circuit_of
from django_sessions_plus.bookkeeping import log_failure, savepoint_if_needed
from django_sessions_plus.conf.changes import on_setting_change
from django_sessions_plus.switching.decoding import UnreadableError
from django_sessions_plus.switching.sources.base import KeptSource, OldSession, Source

T = TypeVar("T")

SLOW = 1.0
"""Seconds. A store that takes longer is left alone for a while."""
UNKNOWN_AGE = 60.0
"""Seconds for which a token counts as unknown without asking again."""
MAX_UNKNOWN = 10_000
"""How many such tokens a process remembers; then it forgets the one that was asked about first."""


class NoAnswer(Enum):
    """Why there is no session."""

    UNKNOWN = "unknown"
    FAILED = "failed"
    """The store could not be asked: it may have the session."""


@sensitive_variables("key")
def ask(source: Source, key: str) -> OldSession | NoAnswer:
    """Return the session that ``source`` has for ``key``; see ``call()``.

    Raises:
        UnreadableError: the source has a session, but its data cannot be read.
    """
    return call(lambda: source.find(key), source, refusals=UnreadableError)


def call(
    find: Callable[[], T | None],
    source: KeptSource,
    *,
    refusals: type[Exception] | tuple[type[Exception], ...],
) -> T | NoAnswer:
    """Return what ``find()`` returns, unless the source fails, which is logged, or has failed a moment ago.

    Raises:
        Exception: of the type ``refusals``, as ``find()`` raises it: the source works, and refuses the key.
    """
    circuit = circuit_of(source.name, "import")
    if not circuit.may_call():
        return NoAnswer.FAILED
    pending, began = circuit.pending(), monotonic()
    try:
        with savepoint_if_needed(source.alias):
            found = find()
    except refusals:
        # Otherwise clients that send junk would keep a store that works again from being asked.
        _note_answer(circuit, pending, began)
        raise
    except Exception as error:  # noqa: BLE001 - whatever a driver, a cache or another engine raises
        circuit.note_failure()
        log_failure(f"ask {source.name} for what to import", error)
        return NoAnswer.FAILED
    _note_answer(circuit, pending, began)
    return NoAnswer.UNKNOWN if found is None else found


def _note_answer(circuit: Circuit, pending: Pending | None, began: float) -> None:
    if monotonic() - began > SLOW:
        circuit.note_failure()
    else:
        circuit.note_success(pending)


class UnknownTokens:
    """The digests of tokens that no store knows, for a while. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, digest: str) -> None:
        """Remember this digest for ``UNKNOWN_AGE``."""
        with self._lock:
            self._until[digest] = monotonic() + UNKNOWN_AGE
            self._until.move_to_end(digest)
            while len(self._until) > MAX_UNKNOWN:
                self._until.popitem(last=False)

    def __contains__(self, digest: str) -> bool:
        return self._until.get(digest, 0.0) > monotonic()

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._until.clear()


unknown_tokens = UnknownTokens()

on_setting_change(unknown_tokens.clear)
