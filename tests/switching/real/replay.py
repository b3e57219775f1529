"""Send the cookies of many browsers at once, and count whom the site takes them for."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Barrier, BrokenBarrierError, Lock
from typing import Any

from tests.switching.real.site.asking import NOBODY, ask
from tests.switching.real.site.kinds.base import Kind
from tests.switching.real.site.plan import Visit

CLIENTS = 20
AT_ONCE = 4
"""How many clients send the same cookie at the same time, if nothing else is said."""


@dataclass
class Replay:
    """What the answers were. A session counts as opened only if all requests with its cookie opened it."""

    opened: list[Visit] = field(default_factory=list)
    refused: list[Visit] = field(default_factory=list)
    """Nobody was signed in, and there was no data."""
    wrong: list[str] = field(default_factory=list)
    """Sessions whose answers differed from each other, or had another user or other data."""
    requests: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """How many requests a second were answered."""
        return self.requests / max(self.seconds, 0.001)


def replay(kind: Kind, address: str, visits: Iterable[Visit], *, at_once: int = 1) -> Replay:
    """Send each cookie or token ``at_once`` times at the same time, from ``CLIENTS`` clients."""
    found, lock, remaining = Replay(), Lock(), iter(list(visits))

    def work() -> None:
        with ThreadPoolExecutor(at_once) as clients:
            while True:
                with lock:
                    visit = next(remaining, None)
                if visit is None:
                    return
                sending = partial(_answer, kind, address, visit, Barrier(at_once))
                answers = [
                    each.result() for each in [clients.submit(sending) for _ in range(at_once)]
                ]
                with lock:
                    found.requests += at_once
                    _note(found, visit, answers)

    began = time.monotonic()
    groups = CLIENTS // at_once
    with ThreadPoolExecutor(groups) as pool:
        for done in [pool.submit(work) for _ in range(groups)]:
            done.result()
    found.seconds = time.monotonic() - began
    return found


def post(address: str, path: str, body: Any) -> Any:
    """Send JSON and return that of the answer."""
    status, found = ask(address, path, {}, body, timeout=600)
    assert status == 200, found
    return found


def _answer(kind: Kind, address: str, visit: Visit, barrier: Barrier) -> Any:
    try:
        return kind.answer(address, visit, barrier)
    except (OSError, http.client.HTTPException, BrokenBarrierError) as error:
        barrier.abort()
        return repr(error)


def _note(found: Replay, visit: Visit, answers: list[Any]) -> None:
    expected = {"user": visit.user, "data": visit.data}
    if isinstance(answers[0], dict) and "successor" in answers[0]:
        # Whichever it is, it has to be the same for all.
        expected["successor"] = answers[0]["successor"]
    if all(answer == expected for answer in answers):
        found.opened.append(visit)
    elif all(answer == NOBODY for answer in answers):
        found.refused.append(visit)
    else:
        found.wrong.append(f"{visit}: {answers}"[:2000])
