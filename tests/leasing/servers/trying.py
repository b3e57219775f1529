"""Start a server, end sessions while it is asked for them, and stop it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from django_sessions_plus import sessions
from django_sessions_plus.conf import config
from tests.leasing.servers.asking import Ask, by_task, over_http
from tests.leasing.servers.judging import STOPPED_WITHIN, Decision, Shown
from tests.leasing.servers.table import Kind
from tests.leasing.torture.board import now
from tests.leasing.torture.faults import LISTENERS
from tests.leasing.torture.postgres import Server
from tests.leasing.torture.writers import WRITERS, Pair, new_pair
from tests.ports import free_port

PATIENCE = 30.0
"""Seconds until what has to happen has not."""
ASKERS = 3
LIVING = 100
"""How often a living session is asked for."""
SELDOM = 20
"""How often, with a pause before each question."""


class Asking:
    """Asks for one session without a pause, in threads, until ``stop()``."""

    def __init__(self, ask: Ask, token: str) -> None:
        self.decisions: list[Decision] = []
        self.errors = 0
        self._ask, self._token, self._is_over = ask, token, False
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(ASKERS)]
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """Ask no more, once what is asked is answered."""
        self._is_over = True
        for each in self._threads:
            each.join()

    def _run(self) -> None:
        while not self._is_over:
            began = now()
            try:
                answer = self._ask(self._token)
            except OSError:
                self.errors += 1
                continue
            accepted = answer.user is not None
            decision = Decision(began, now(), answer.pid, accepted, answer.from_memory)
            self.decisions.append(decision)


def try_kind(kind: Kind, server: Server, log: Path, rounds: int) -> Shown:
    """Return what one server has shown."""
    shown = Shown(kind.processes, kind.runs_between, kind.begins)
    with _started(kind, server, log) as (process, ask):
        try:
            _ask_for_living(kind, server, ask, shown)
            for action in [*WRITERS.values()] * rounds:
                _end(kind, ask, action, shown, _lease())
            for _ in range(3 * rounds):
                _end(kind, ask, _settle, shown, 0.0)
            _freeze(kind, server, ask, shown)
        except TimeoutError as error:
            shown.complaints.append(str(error))
        began = now()
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2 * STOPPED_WITHIN)
        shown.stopped_after = now() - began
        with contextlib.suppress(TimeoutError):
            _wait_for(lambda: not server.backends(LISTENERS), "connections", 5.0)
        shown.left = len(server.backends(LISTENERS))
    return shown


def _settle(pair: Pair) -> None:
    sessions.revoke(pair.ids[0], settled=True)


def _lease() -> float:
    return config.LEASE.total_seconds()


@contextlib.contextmanager
def _started(
    kind: Kind, server: Server, log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Ask]]:
    port = free_port()
    environment = {**os.environ, "SERVERS_BEGIN": "1" if kind.begins else ""}
    with log.open("wb") as output:
        process = subprocess.Popen(
            kind.arguments(port),
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield (
            process,
            by_task() if kind.is_celery else over_http(f"http://127.0.0.1:{port}/{kind.path}"),
        )
    finally:
        # What has outlived the one that was started, too: it has a process group of its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    deadline = now() + seconds
    while not condition():
        if now() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.02)


def _new_session() -> tuple[Pair, str]:
    user, stores = new_pair()
    ids = stores[0].row.pk, stores[1].row.pk
    return Pair((0, 0), user.pk, ids, (0, 0), now()), stores[0].session_key


def _all_answer(kind: Kind, asking: Asking) -> None:
    """Wait until each process has accepted the session from memory."""

    def have_answered() -> bool:
        wanted = [each for each in asking.decisions if each.is_accepted]
        found = {each.pid for each in wanted if each.is_from_memory}
        return len(found) >= kind.processes

    _wait_for(have_answered, "an answer of each process")


def _ask_for_living(kind: Kind, server: Server, ask: Ask, shown: Shown) -> None:
    _, token = _new_session()

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return ask(token).user is not None
        return False

    _wait_for(answers, "the first answer")
    asking = Asking(ask, token)
    try:
        _all_answer(kind, asking)
        before = len(asking.decisions)
        _wait_for(lambda: len(asking.decisions) >= before + LIVING, "answers")
    finally:
        asking.stop()
    latest = asking.decisions[before:]
    shown.asked = len(latest)
    shown.from_memory = sum(each.is_from_memory for each in latest)
    shown.errors += asking.errors
    _ask_seldom(ask, token, shown)
    shown.connections = len(server.backends(LISTENERS))


def _ask_seldom(ask: Ask, token: str, shown: Shown) -> None:
    """Have the lease of each process end, and ask again and again, with time for an echo in between."""
    waits = [4 * _lease()] + [_lease() / 4] * SELDOM
    pids = set()
    for wait in waits:
        time.sleep(wait)
        answer = ask(token)
        # The first question only wakes the thread.
        if answer.pid in pids:
            shown.seldom_asked += 1
            shown.seldom_from_memory += answer.from_memory
        pids.add(answer.pid)


def _end(
    kind: Kind, ask: Ask, action: Callable[[Pair], None], shown: Shown, allowed: float
) -> None:
    pair, token = _new_session()
    asking = Asking(ask, token)
    try:
        _all_answer(kind, asking)
        action(pair)
        acked = now()
        # Not for a time alone, in which a busy machine may answer nothing.
        _wait_for(
            lambda: any(each.began > acked + _lease() for each in asking.decisions), "an answer"
        )
        time.sleep(_lease())
    finally:
        asking.stop()
    shown.errors += asking.errors
    shown.add_end(asking.decisions, acked, allowed)


def _freeze(kind: Kind, server: Server, ask: Ask, shown: Shown) -> None:
    """Have the listeners wait for answers that do not come, and see that the processes serve all the same."""
    _, token = _new_session()
    frozen = server.backends(LISTENERS)
    asking = Asking(ask, token)
    try:
        for each in frozen:
            os.kill(each, signal.SIGSTOP)
        since = now() + _lease()

        def answered() -> set[int]:
            # A slow echo must not be what they waited for.
            return {each.pid for each in asking.decisions if each.began > since}

        with contextlib.suppress(TimeoutError):
            # Shorter than what makes a listener give its connection up.
            _wait_for(lambda: len(answered()) >= kind.processes, "answers", 5.0)
        shown.answered_in_freeze = len(answered())
    finally:
        for each in frozen:
            os.kill(each, signal.SIGCONT)
        asking.stop()
    shown.errors += asking.errors
