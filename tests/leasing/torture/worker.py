"""A process that decides: it asks the site for one session after another, and records what it was told.

    python -m tests.leasing.torture.start worker BOARD SLOTS NUMBERS PROCESSES INDEX [VARIANT]

By SIGUSR1 it forks, and the child decides for two seconds as well. By SIGUSR2 it holds the interpreter's lock for a
second, so that no other thread of it runs. Both happen between two requests.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.test import RequestFactory

from django_sessions_plus.backends.leasing import listening
from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.backends.leasing.rows import LeasedRows
from tests.leasing.torture.board import Board, now
from tests.leasing.torture.breaking import VARIANTS
from tests.leasing.torture.site import NOBODY

CHILD_SECONDS = 2.0
STARVED_SECONDS = 1.0
SLOW_SECONDS = 0.05
SLOW_SHARE, SLOW_SHARE_OF_VARIANTS = 0.05, 0.5
"""How many reads of the database are followed by a pause of so many seconds before the result is kept.

More in the variants, which have less time.
"""

ASKED_AGAIN = 0.2
"""How often a session that this process has seen refused is asked for again, compared with others."""

counted: dict[str, int] = {"echoes": 0, "bounded": 0, "slow_reads": 0, "starved": 0}


class Worker:
    """One process, with the row ``index`` of the board; its children have the row ``child``."""

    def __init__(self, board: Board, index: int, child: int) -> None:
        self.board, self.index, self.child = board, index, child
        self.parent = os.getppid()
        self.until = float("inf")
        self.child_pid = 0
        self.is_fork_due = self.is_starving_due = False
        self.counts = dict.fromkeys(("decisions", "accepted", "refused", "errors", "wrong_user"), 0)
        self.before = board.counts(index)
        self.handler = WSGIHandler()
        self.environ = RequestFactory().get("/").environ

    def run(self) -> None:
        """Decide until the run is over."""
        signal.signal(signal.SIGUSR1, lambda *_: setattr(self, "is_fork_due", True))
        signal.signal(signal.SIGUSR2, lambda *_: setattr(self, "is_starving_due", True))
        while not self.board.is_over() and now() < self.until and os.getppid() == self.parent:
            self._decide(random.randrange(self.board.slots))
            if self.counts["decisions"] % 50 == 0:
                self._report()
            if self.is_starving_due:
                self._starve()
            if self.is_fork_due:
                self._fork()
        self._report()

    def _decide(self, slot: int) -> None:
        number, user, key = self.board.shown(slot)
        if number == 0:
            time.sleep(0.001)
            return
        if self.board.decided(self.index, number)[1] and random.random() > ASKED_AGAIN:
            return
        began = now()
        status, body = self._ask(key)
        ended = now()
        self.counts["decisions"] += 1
        if status == 200 and body == str(user):
            self.counts["accepted"] += 1
            self.board.accept(self.index, number, began)
        elif status == 400 or body == NOBODY:
            # 400 is Django's answer if the session ended before the request did.
            self.counts["refused"] += 1
            self.board.refuse(self.index, number, ended)
        else:
            self.counts["errors" if status >= 500 else "wrong_user"] += 1

    def _ask(self, key: str) -> tuple[int, str]:
        """Return the status and the body of the site's answer to a request with the session's cookie."""
        statuses: list[str] = []
        cookie = f"{settings.SESSION_COOKIE_NAME}={key}"
        response: Any = self.handler(
            {**self.environ, "HTTP_COOKIE": cookie},
            lambda status, headers, *_: statuses.append(status),  # type: ignore[arg-type]
        )
        body = b"".join(response).decode()
        response.close()
        return int(statuses[0].split()[0]), body

    def _starve(self) -> None:
        self.is_starving_due = False
        began = now()
        # Unlike CDLL, PyDLL keeps the interpreter's lock during the call.
        ctypes.PyDLL(None).usleep(int(STARVED_SECONDS * 1e6))
        counted["starved"] += now() - began >= STARVED_SECONDS * 0.9

    def _fork(self) -> None:
        self.is_fork_due = False
        if self.child_pid:
            os.waitpid(self.child_pid, 0)
        # As any server does before it forks: two processes cannot use one connection for queries.
        connections.close_all()
        self.child_pid = os.fork()
        if self.child_pid == 0:
            self._become_child()

    def _become_child(self) -> None:
        self.index, self.parent, self.child_pid = self.child, os.getppid(), 0
        self.until = now() + CHILD_SECONDS
        self.before = self.board.counts(self.index)
        self.counts = dict.fromkeys(self.counts, 0)
        counted.update(dict.fromkeys(counted, 0))
        try:
            self.run()
        finally:
            os._exit(0)

    def _report(self) -> None:
        counts = {**self.counts, **counted}
        for each in listening.listeners():
            figures = each.memory.figures
            counts |= {
                "hits": figures.hits,
                "misses": figures.misses,
                "lapses": figures.lapses,
                "heard": figures.heard,
                "outdated": figures.refused,
            }
        total = {name: self.before[name] + counts.get(name, 0) for name in self.before}
        self.board.set_counts(self.index, total)


def observe(slow_share: float) -> None:
    """Count echoes and how often the memory was full, and have some reads take long."""
    extend, keep, keep_row = Memory.extend, Memory.keep, LeasedRows.keep

    def counting_extend(memory: Memory, until: float) -> None:
        counted["echoes"] += 1
        extend(memory, until)

    def counting_keep(memory: Memory, *arguments: Any) -> bool:
        counted["bounded"] += len(memory) >= memory.size
        return keep(memory, *arguments)

    def slow_keep(rows: LeasedRows, *arguments: Any) -> None:
        if rows._ticket is not None and random.random() < slow_share:
            counted["slow_reads"] += 1
            time.sleep(SLOW_SECONDS)
        keep_row(rows, *arguments)

    memory_class: Any = Memory
    rows_class: Any = LeasedRows
    memory_class.extend, memory_class.keep = counting_extend, counting_keep
    rows_class.keep = slow_keep


def main(path: str, slots: str, numbers: str, processes: str, index: str, variant: str) -> None:
    """Be one worker."""
    board = Board(Path(path), int(slots), int(numbers), int(processes))
    observe(SLOW_SHARE_OF_VARIANTS if variant else SLOW_SHARE)
    if variant:
        VARIANTS[variant]()
    Worker(board, int(index), int(index) + int(processes) // 2).run()
