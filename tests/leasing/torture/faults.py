"""What is done to the workers, the server and the connections between them. Each fault proves that it happened."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.leasing.torture.board import Board, now
from tests.leasing.torture.judging import Fault
from tests.leasing.torture.postgres import Server, freeze, is_frozen
from tests.leasing.torture.redis_server import Redis
from tests.leasing.torture.writers import Pair, Writer

LISTENERS = "application_name = 'sessions-plus-lease'"
DROPPED_TABLES = 300
"""How many tables a commit drops: their files are removed after it is visible, and before it is announced."""
HELD_COMMIT = "commit frozen half-way"


@dataclass
class Stage:
    """What faults are done to."""

    server: Server
    redis: Redis | None
    """The channel; None if that is the server."""
    proxy: subprocess.Popen[str]
    board: Board
    workers: list[subprocess.Popen[bytes]]
    writers: list[Writer]
    faults: list[Fault] = field(default_factory=list)

    def tell_proxy(self, mode: str) -> tuple[int, int]:
        """Set the proxy's mode and return how many bytes it has held and dropped since it began."""
        assert self.proxy.stdin is not None
        assert self.proxy.stdout is not None
        self.proxy.stdin.write(f"{mode}\n")
        self.proxy.stdin.flush()
        held, dropped = self.proxy.stdout.readline().split()
        return int(held), int(dropped)

    def do(self, kind: str) -> None:
        """Do one fault and record when, and whether it happened."""
        began = now()
        happened = (FAULTS | FAULTS_OF_REDIS)[kind](self)
        self.faults.append(Fault(kind, began, now(), happened))


def _freeze_worker(stage: Stage) -> bool:
    return freeze(random.choice(stage.workers).pid, random.uniform(0.4, 0.8))


def _listening_backends(stage: Stage) -> list[int]:
    """Return those of the server's processes that announce; waits for some, as the fault before may have ended all."""
    deadline = now() + 5
    while not (found := stage.server.backends(LISTENERS)) and now() < deadline:
        time.sleep(0.05)
    return found


def _freeze_listening_backend(stage: Stage) -> bool:
    found = _listening_backends(stage)
    return bool(found) and freeze(random.choice(found), random.uniform(0.4, 0.8))


def _freeze_commit(stage: Stage) -> bool:
    """Freeze a backend whose commit others see already, and which has neither announced nor acknowledged it."""
    is_done, frozen = threading.Event(), []

    def end(pair: Pair) -> None:
        frozen.append(_commit_frozen(stage.server, pair))
        is_done.set()

    random.choice(stage.writers).special = (HELD_COMMIT, end)
    is_done.wait(30)
    return any(frozen)


def _commit_frozen(server: Server, pair: Pair) -> bool:
    with server.connect() as connection, server.connect() as observer:
        connection.execute(
            f"DO $$ BEGIN FOR i IN 1..{DROPPED_TABLES} LOOP"
            " EXECUTE 'CREATE TABLE IF NOT EXISTS dropped_' || i || ' (a int)'; END LOOP; END $$"
        )
        tables = ", ".join(f"dropped_{each + 1}" for each in range(DROPPED_TABLES))
        connection.execute("BEGIN")
        connection.execute(
            "UPDATE django_sessions_plus_session SET ended_at = now() WHERE id = %s", [pair.ids[0]]
        )
        connection.execute(f"DROP TABLE {tables}")
        commit = threading.Thread(target=connection.execute, args=["COMMIT"])
        pid = connection.info.backend_pid
        commit.start()
        sql = "SELECT 1 FROM django_sessions_plus_session WHERE id = %s AND ended_at IS NOT NULL"
        while commit.is_alive() and observer.execute(sql, [pair.ids[0]]).fetchone() is None:
            pass
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(random.uniform(0.4, 0.8))
            return commit.is_alive() and is_frozen(pid)
        finally:
            os.kill(pid, signal.SIGCONT)
            commit.join()


def _terminate_listeners(stage: Stage) -> bool:
    return any(
        done
        for pid in _listening_backends(stage)
        for (done,) in stage.server.fetch(f"SELECT pg_terminate_backend({pid}, 2000)")
    )


def _hold(mode: str) -> Callable[[Stage], bool]:
    def hold(stage: Stage) -> bool:
        before, _ = stage.tell_proxy(mode)
        time.sleep(random.uniform(0.4, 0.9))
        after, _ = stage.tell_proxy("pass")
        return after > before

    return hold


def _drop(stage: Stage) -> bool:
    _, before = stage.tell_proxy("drop")
    time.sleep(random.uniform(0.4, 0.9))
    _, after = stage.tell_proxy("pass")
    return after > before


def _restart(stage: Stage) -> bool:
    sql = "SELECT pg_postmaster_start_time()"
    before = stage.server.fetch(sql)
    stage.server.restart()
    return stage.server.fetch(sql) != before


def _fork(stage: Stage) -> bool:
    """Have a worker fork, whose child decides for a while."""
    which = random.randrange(len(stage.workers))
    return _signalled(stage, which, signal.SIGUSR1, which + len(stage.workers), "accepted")


def _starve(stage: Stage) -> bool:
    """Have a worker hold the interpreter's lock, so that its listener cannot run."""
    which = random.randrange(len(stage.workers))
    return _signalled(stage, which, signal.SIGUSR2, which, "starved")


def _signalled(stage: Stage, which: int, number: signal.Signals, process: int, count: str) -> bool:
    before = stage.board.counts(process)[count]
    with contextlib.suppress(ProcessLookupError):
        os.kill(stage.workers[which].pid, number)
    deadline = now() + 5
    while now() < deadline:
        time.sleep(0.1)
        if stage.board.counts(process)[count] > before:
            return True
    return False


def _of_redis(act: Callable[[Redis], bool]) -> Callable[[Stage], bool]:
    def do(stage: Stage) -> bool:
        assert stage.redis is not None
        return act(stage.redis)

    return do


FAULTS: dict[str, Callable[[Stage], bool]] = {
    "worker frozen": _freeze_worker,
    "listener's backend frozen": _freeze_listening_backend,
    "committing backend frozen": _freeze_commit,
    "listeners terminated": _terminate_listeners,
    "packets held": _hold("hold"),
    "answers held": _hold("hold-answers"),
    "packets dropped": _drop,
    "server restarted": _restart,
    "worker forked": _fork,
    "threads starved": _starve,
}
FAULTS_OF_REDIS: dict[str, Callable[[Stage], bool]] = {
    **{name: FAULTS[name] for name in ("worker frozen", "packets held", "answers held")},
    **{name: FAULTS[name] for name in ("packets dropped", "worker forked", "threads starved")},
    "Redis frozen": _of_redis(Redis.freeze),
    "Redis restarted": _of_redis(Redis.restart),
    "Redis demoted": _of_redis(Redis.demote),
    "Redis ends listeners": _of_redis(Redis.end_listeners),
}
