"""What the processes of a run share: a file in memory with the sessions to ask for, and what was decided.

Each number stands for one session and is written by one process before it is shown in a slot; each row of results has
one process that writes it. So nothing needs a lock.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_NUMBER = struct.Struct("<Q")
_RECORD = struct.Struct("<Q56s")
_DECIDED = struct.Struct("<dd")

COUNTS = (
    *("decisions", "accepted", "refused", "errors", "wrong_user"),
    *("hits", "misses", "lapses", "heard", "outdated", "echoes"),
    *("bounded", "starved", "slow_reads"),
)
"""What each process counts."""


def now() -> float:
    """Return the seconds of a clock that all processes of the machine share and nobody sets."""
    return time.clock_gettime(_CLOCK)


class Board:
    """The shared file, for ``slots`` sessions at a time, ``numbers`` in all, and ``processes`` that decide."""

    def __init__(self, path: Path, slots: int, numbers: int, processes: int) -> None:
        self.slots, self.numbers, self.processes = slots, numbers, processes
        self._records = _NUMBER.size * (1 + slots)
        self._counts = self._records + _RECORD.size * numbers
        self._decided = self._counts + _NUMBER.size * len(COUNTS) * processes
        size = self._decided + _DECIDED.size * numbers * processes
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(size)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), size)

    # Set by the process that leads

    def stop(self) -> None:
        """Ask all processes to end."""
        _NUMBER.pack_into(self._memory, 0, 1)

    def is_over(self) -> bool:
        """Return whether the processes have to end."""
        return bool(_NUMBER.unpack_from(self._memory, 0)[0])

    def show(self, slot: int, number: int, user: int, key: str) -> None:
        """Have the workers ask for a session from now on, in place of another."""
        _RECORD.pack_into(self._memory, self._records + _RECORD.size * number, user, key.encode())
        _NUMBER.pack_into(self._memory, _NUMBER.size * (1 + slot), number)

    # Used by the processes that decide

    def shown(self, slot: int) -> tuple[int, int, str]:
        """Return the number of the session in a slot, its user and its token; the number 0 stands for none."""
        (number,) = _NUMBER.unpack_from(self._memory, _NUMBER.size * (1 + slot))
        user, key = _RECORD.unpack_from(self._memory, self._records + _RECORD.size * number)
        return number, user, key.rstrip(b"\0").decode()

    def decided(self, process: int, number: int) -> tuple[float, float]:
        """Return when the last decision that accepted the session began, and the first that refused it ended.

        0 if there was none.
        """
        accepted, refused = _DECIDED.unpack_from(self._memory, self._place(process, number))
        return accepted, refused

    def accept(self, process: int, number: int, at: float) -> None:
        """Record that a decision which began then accepted the session."""
        _, refused = self.decided(process, number)
        _DECIDED.pack_into(self._memory, self._place(process, number), at, refused)

    def refuse(self, process: int, number: int, at: float) -> None:
        """Record that a decision which ended then refused the session."""
        accepted, refused = self.decided(process, number)
        _DECIDED.pack_into(self._memory, self._place(process, number), accepted, refused or at)

    def set_counts(self, process: int, counts: dict[str, int]) -> None:
        """Write what a process has counted."""
        place = self._counts + _NUMBER.size * len(COUNTS) * process
        for index, name in enumerate(COUNTS):
            _NUMBER.pack_into(self._memory, place + _NUMBER.size * index, counts.get(name, 0))

    def counts(self, process: int) -> dict[str, int]:
        """Return what a process has counted."""
        place = self._counts + _NUMBER.size * len(COUNTS) * process
        return {
            name: _NUMBER.unpack_from(self._memory, place + _NUMBER.size * index)[0]
            for index, name in enumerate(COUNTS)
        }

    def _place(self, process: int, number: int) -> int:
        return self._decided + _DECIDED.size * (process * self.numbers + number)
