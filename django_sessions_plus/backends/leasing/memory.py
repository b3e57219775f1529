"""The memory of one process: snapshots of rows, and the lease for which it may serve them. No I/O.

A lease (Gray and Cheriton 1989) is a promise with an end. The thread that hears what has ended sends an echo over the
same connection; once that is answered, everything that was announced before it was sent has been heard. So it says
until when the memory may be served, and no clock is compared with that of another host.

- Without a valid lease nothing is served: the database is asked, as by the engine ``db``.
- What is heard is removed before the lease is extended by the echo that was answered after it.
- A snapshot is kept only if the lease was valid before the database was read, and nothing was heard since that
  concerns the row or its user. So one that was read before an end is not kept after it.
- Where writers announce a change before its commit, nothing that it concerns is kept until it is over.
- A new connection may have missed something: the memory is emptied.

Longer than other modules, because what is kept, heard and held back follows one protocol.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID

from django_sessions_plus.backends.leasing.holds import ALL, Hold, Holds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django_sessions_plus.backends.leasing.snapshots import Snapshot

REMEMBERED = 10_000
"""How many announcements are remembered, to be compared with the reads that were running when they came."""

LONGEST = 1000
"""How many bytes of an announcement are sent, and characters remembered; a longer one concerns all."""

# One that also counts while the machine sleeps; Linux alone has it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return the seconds of a clock that nobody sets, and that counts on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True)
class Ticket:
    """When a read of the database began: what was heard since then decides whether its result is kept."""

    connection: int
    heard: int
    at: float


@dataclass
class Figures:
    """What a process has done since it began."""

    hits: int = 0
    """How often a row was served from memory."""
    misses: int = 0
    """How often the memory might have been served, but had no such row."""
    lapses: int = 0
    """How often it might not, because the lease had ended or not yet begun."""
    heard: int = 0
    """How many announcements were heard."""
    refused: int = 0
    """How many snapshots were not kept, because the row or its user had changed while they were read."""


@dataclass
class Memory:
    """Snapshots of rows, by the digest of the token and by the row's id. Thread-safe."""

    size: int
    """How many rows are kept; then the one that was not used for longest is removed."""
    max_age: float
    """For how many seconds a snapshot is served at most, whatever was heard."""
    clock: Callable[[], float] = now
    figures: Figures = field(default_factory=Figures)
    pid: int = field(default_factory=os.getpid)
    """The process; another one, which was forked from it, has no thread that hears anything."""
    has_users: bool = True
    """Whether changes of users are heard, so that users are kept as well; otherwise they are read each time."""

    def __post_init__(self) -> None:
        self.valid_until = 0.0
        """Until when the memory may be served, on ``clock``."""
        self.is_wanted = False
        """Whether somebody has asked since this was last set to False: an idle process need not send echoes."""
        self.on_heard: Callable[[str], None] | None = None
        """Called with what is heard, once it is committed; under the lock, so it must neither wait nor call back."""
        self._lock = Lock()
        self._snapshots: OrderedDict[UUID, Snapshot] = OrderedDict()
        self._ids: dict[str, UUID] = {}
        self._ids_of_users: dict[str, set[UUID]] = {}
        self._holds = Holds()
        self._connections = 0
        self._recent: deque[str] = deque(maxlen=REMEMBERED)

    # Served

    def find(self, key: str | UUID) -> Snapshot | None:
        """Return the snapshot of the row with this digest or id; None if there is none that may be served."""
        asked_at = self.clock()
        self.is_wanted = True
        # First of all, so that a thread that is stopped below serves nothing that it might not have served now.
        if asked_at >= self.valid_until or self.is_inherited:
            self.figures.lapses += 1
            return None
        with self._lock:
            found_id = self._ids.get(key) if isinstance(key, str) else key
            snapshot = None if found_id is None else self._snapshots.get(found_id)
            if snapshot is None or asked_at >= snapshot.read_at + self.max_age:
                self.figures.misses += 1
                return None
            self._snapshots.move_to_end(snapshot.session_id)
            self.figures.hits += 1
        return snapshot

    # Filled

    def begin(self) -> Ticket | None:
        """Return a ticket for a read of the database that begins now; None if its result may not be kept."""
        at = self.clock()
        if at >= self.valid_until or self.is_inherited:
            return None
        with self._lock:
            self._end_holds()
            return Ticket(self._connections, self.figures.heard, at)

    def keep(self, snapshot: Snapshot, ticket: Ticket) -> bool:
        """Keep what was read with ``ticket``, unless it may be outdated; return whether it is kept."""
        if self.is_inherited:
            return False
        with self._lock:
            self._end_holds()
            if self._is_outdated(snapshot, ticket):
                self.figures.refused += 1
                return False
            self._remove(snapshot.session_id)
            self._snapshots[snapshot.session_id] = snapshot
            self._ids[snapshot.digest] = snapshot.session_id
            if snapshot.user_key is not None:
                self._ids_of_users.setdefault(snapshot.user_key, set()).add(snapshot.session_id)
            while len(self._snapshots) > self.size:
                self._remove(next(iter(self._snapshots)))
        return True

    # Heard

    def hear(self, announcement: str) -> None:
        """Remove what an announcement concerns.

        It is ``s <id of a session>``, ``d <digest of its token>``, ``u <key of a user>``, or ``*`` for all.
        Others may announce something, too: what is no announcement of ours concerns all.
        """
        if self.is_inherited:
            return
        with self._lock:
            self._hear(understood(announcement))

    def hold(
        self,
        token: str,
        announcements: Iterable[str],
        *,
        seconds: float,
        is_over: Callable[[], bool] | None = None,
    ) -> None:
        """Remove what these concern, and keep nothing of it until ``release()`` with the same ``token``.

        Without that, because it was rolled back, until ``seconds`` have passed, or ``is_over`` says so.
        """
        if self.is_inherited:
            return
        heard = frozenset(map(understood, announcements))
        with self._lock:
            at = self.clock()
            self._holds.add(token, Hold(heard, at + seconds, is_over), at + self.max_age)
            for each in heard:
                self._hear(each, is_committed=False)

    def release(self, token: str, announcements: Iterable[str]) -> None:
        """Remove what these concern, because their change is committed; what is read from now on may be kept."""
        if self.is_inherited:
            return
        with self._lock:
            self._holds.end(token)
            for each in map(understood, announcements):
                self._hear(each)

    def extend(self, until: float) -> None:
        """Extend the lease, after all that was heard before the echo has been passed to ``hear()``."""
        self.valid_until = until

    def start(self) -> None:
        """Begin to hear over a new connection: what was announced before may have been missed."""
        with self._lock:
            self.valid_until = 0.0
            self._connections += 1
            self._recent.clear()
            self._clear()
            if self.on_heard is not None:
                self.on_heard(ALL)

    stop = start

    def __len__(self) -> int:
        return len(self._snapshots)

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one whose memory this is. A thread of that may have the lock."""
        return os.getpid() != self.pid

    def _is_outdated(self, snapshot: Snapshot, ticket: Ticket) -> bool:
        since = self.figures.heard - ticket.heard
        if ticket.connection != self._connections or since > REMEMBERED:
            return True
        concerning = {f"s {snapshot.session_id}", f"d {snapshot.digest}"}
        if snapshot.user_key is not None:
            concerning.add(f"u {snapshot.user_key}")
        latest = (self._recent[-1 - back] for back in range(since))
        is_heard = any(each in concerning or each == ALL for each in latest)
        return is_heard or self._holds.concern(concerning)

    def _hear(self, announcement: str, *, is_committed: bool = True) -> None:
        self.figures.heard += 1
        self._recent.append(announcement)
        kind, _, key = announcement.partition(" ")
        if kind == "s":
            self._remove(UUID(key))
        elif kind == "d":
            if (found := self._ids.get(key)) is not None:
                self._remove(found)
        elif kind == "u":
            for session_id in self._ids_of_users.pop(key, set()):
                self._remove(session_id)
        else:
            self._clear()
        if is_committed and self.on_heard is not None:
            self.on_heard(announcement)

    def _end_holds(self) -> None:
        # As if they were heard now: a read that began before may have found the row as it was.
        for each in self._holds.ended(self.clock()) if self._holds else ():
            self._hear(each)

    def _remove(self, session_id: UUID) -> None:
        snapshot = self._snapshots.pop(session_id, None)
        if snapshot is None:
            return
        if self._ids.get(snapshot.digest) == session_id:
            del self._ids[snapshot.digest]
        if snapshot.user_key in self._ids_of_users:
            others = self._ids_of_users[snapshot.user_key]
            others.discard(session_id)
            if not others:
                del self._ids_of_users[snapshot.user_key]

    def _clear(self) -> None:
        self._snapshots.clear()
        self._ids.clear()
        self._ids_of_users.clear()


def understood(announcement: str) -> str:
    """Return the announcement in the form that our writers send, or ``*`` for any other."""
    kind, space, key = announcement.partition(" ")
    if not space or kind not in ("s", "d", "u") or len(announcement) > LONGEST:
        return ALL
    if kind != "s":
        return announcement
    try:
        return f"s {UUID(key)}"
    except ValueError:
        return ALL
