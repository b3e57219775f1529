"""One run: workers decide, writers revoke, faults happen, and the board is judged."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.leasing.torture.board import Board, now
from tests.leasing.torture.faults import FAULTS, Stage
from tests.leasing.torture.judging import Fault, Row, Verdict, judge
from tests.leasing.torture.postgres import Server
from tests.leasing.torture.redis_server import Redis
from tests.leasing.torture.writers import UNANNOUNCED, Numbers, Writer

LEASE = 0.25
SLOTS = 48
"""How many sessions are asked for at a time."""
WORKERS, WRITERS = 3, 3
LEAST_SHARE = 0.1
"""How much has to be served from memory, or the run shows little about it."""
SMALL = 16
"""How many sessions the last worker keeps in memory, of those that it is asked for."""


@dataclass(frozen=True)
class Form:
    """How large a run is."""

    seconds: float
    revocations: int
    """How many sessions end at most; 0 for as many as there is time for."""
    faults: Sequence[str] = tuple(FAULTS)
    variant: str = ""
    """Which rule the memory lacks; see ``breaking``."""
    slots: int = SLOTS
    seed: int = 0


@dataclass
class Outcome:
    """What a run has shown."""

    form: Form
    verdict: Verdict
    faults: list[Fault]
    counts: dict[str, int]
    """The sum of what the processes counted."""
    seconds: float
    problems: list[str] = field(default_factory=list)
    """What made the run less than what was asked for."""


def run(
    form: Form,
    server: Server,
    redis: Redis | None,
    proxy: subprocess.Popen[str],
    ports: dict[str, str],
    directory: Path,
) -> Outcome:
    """Run once. The server has an empty site, or one of an earlier run."""
    random.seed(form.seed)
    # Of each pair one session may survive, and time may pass before a limit of seconds.
    ended = form.revocations or int(form.seconds * 400)
    board_file = directory / f"board-{form.variant.replace(' ', '-')}"
    board = Board(board_file, form.slots, 2 * ended + 2 * form.slots, 2 * WORKERS)
    workers = [_worker(board, board_file, index, form.variant, ports) for index in range(WORKERS)]
    numbers = Numbers(board.numbers)
    part = form.slots // WRITERS
    writers = [
        Writer(board, range(each * part, (each + 1) * part), numbers) for each in range(WRITERS)
    ]
    stage = Stage(server, redis, proxy, board, workers, writers)
    began = now()
    try:
        for writer in writers:
            writer.start()
        _wait_for_workers(stage)
        _do_faults(stage, form, now())
        for writer in writers:
            writer.is_over = True
        for writer in writers:
            writer.join()
    finally:
        board.stop()
        problems = _end(workers)
    return _outcome(form, stage, now() - began, problems)


def _wait_for_workers(stage: Stage) -> None:
    """Wait until each worker has served a session from memory, or two minutes."""
    deadline = now() + 120
    while now() < deadline:
        if all(stage.board.counts(each)["hits"] for each in range(WORKERS)):
            return
        time.sleep(0.1)


def _do_faults(stage: Stage, form: Form, began: float) -> None:
    """Do each fault in turn until the run is long enough, and each at least once."""
    kinds: Iterator[str] = itertools.cycle(form.faults)
    while not _is_long_enough(stage, form, began) or len(stage.faults) < len(form.faults):
        if form.faults:
            stage.do(next(kinds))
        time.sleep(random.uniform(0.3, 0.7))


def _is_long_enough(stage: Stage, form: Form, began: float) -> bool:
    if not any(writer.is_alive() for writer in stage.writers):
        return True
    if form.revocations:
        done = sum(writer.ended for writer in stage.writers)
        return done >= form.revocations
    return now() - began >= form.seconds


def _outcome(form: Form, stage: Stage, seconds: float, problems: list[str]) -> Outcome:
    board = stage.board
    each_counts = [board.counts(process) for process in range(board.processes)]
    counts = {name: sum(each[name] for each in each_counts) for name in each_counts[0]}

    def decided(number: int) -> tuple[float, float]:
        found = [board.decided(process, number) for process in range(board.processes)]
        refusals = [refused for _, refused in found if refused]
        return max(accepted for accepted, _ in found), min(refusals, default=0.0)

    revocations = [each for writer in stage.writers for each in writer.revocations]
    verdict = judge(revocations, stage.faults, decided, LEASE)
    problems += [f"a writer failed: {each.failure!r}" for each in stage.writers if each.failure]
    happened = {each.kind for each in stage.faults if each.happened}
    problems += [
        f"the fault {each!r} did not happen" for each in form.faults if each not in happened
    ]
    problems += [f"{name}: none" for name in ("bounded", "slow_reads") if not counts[name]]
    unannounced = verdict.by_kind.get(UNANNOUNCED, Row()).revocations
    if unannounced > verdict.total.revocations / 2:
        problems.append("most ends could not be announced, so little was promised")
    if verdict.total.used < verdict.total.revocations / 2:
        problems.append("most sessions ended before anybody had used them: fewer slots are needed")
    asked = counts["hits"] + counts["misses"] + counts["lapses"]
    if counts["hits"] < asked * LEAST_SHARE:
        problems.append(f"less than {LEAST_SHARE:.0%} from memory: fewer slots are needed")
    if counts["wrong_user"]:
        problems.append(f"{counts['wrong_user']} decisions named another user")
    return Outcome(form, verdict, stage.faults, counts, seconds, problems)


def _worker(
    board: Board, board_file: Path, index: int, variant: str, ports: dict[str, str]
) -> subprocess.Popen[bytes]:
    sizes = [board.slots, board.numbers, board.processes, index]
    environment = {
        **os.environ,
        "TORTURE_ENGINE": "leased_db",
        **ports,
        "TORTURE_LEASE_MS": str(LEASE * 1000),
        "TORTURE_SIZE": str(SMALL if index == WORKERS - 1 else 10_000),
    }
    arguments = ["worker", str(board_file), *map(str, sizes), variant]
    command = [sys.executable, "-m", "tests.leasing.torture.start", *arguments]
    return subprocess.Popen(command, env=environment)


def _end(workers: list[subprocess.Popen[bytes]]) -> list[str]:
    """Wait for the workers and return what is wrong with how they ended."""
    problems = []
    for index, worker in enumerate(workers):
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGCONT)
        try:
            code = worker.wait(20)
        except subprocess.TimeoutExpired:
            worker.kill()
            code = worker.wait()
        if code:
            problems.append(f"worker {index} ended with {code}")
    return problems
