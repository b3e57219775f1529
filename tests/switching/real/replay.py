"""Send the cookies of many browsers at once, and count whom the site takes them for."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Barrier, BrokenBarrierError, Lock
from typing import Any

from tests.switching.real.site.plan import Visit

CLIENTS = 20
AT_ONCE = 4
"""How many clients send the same cookie at the same time, if nothing else is said."""
TIMEOUT = 60.0
NOBODY = {"user": "", "data": {}}


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


def replay(address: str, visits: Iterable[Visit], *, at_once: int = AT_ONCE) -> Replay:
    """Send each cookie ``at_once`` times at the same time, from ``CLIENTS`` clients."""
    found, lock, remaining = Replay(), Lock(), iter(list(visits))

    def work() -> None:
        with ThreadPoolExecutor(at_once) as clients:
            while True:
                with lock:
                    visit = next(remaining, None)
                if visit is None:
                    return
                sending = partial(send, address, visit, Barrier(at_once))
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


def send(address: str, visit: Visit, barrier: Barrier) -> Any:
    """Return the JSON that the browser of ``visit`` gets, or the status of an error."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    headers = {"Cookie": f"sessionid={visit.cookie}"}
    if visit.agent:
        headers["User-Agent"] = visit.agent
    try:
        connection.connect()
        barrier.wait()
        connection.request("GET", "/who", headers=headers)
        response = connection.getresponse()
        body = response.read()
        return json.loads(body) if response.status == 200 else f"status {response.status}"
    except (OSError, http.client.HTTPException, BrokenBarrierError) as error:
        barrier.abort()
        return repr(error)
    finally:
        connection.close()


def post(address: str, path: str, body: Any) -> Any:
    """Send JSON and return that of the answer."""
    connection = http.client.HTTPConnection(address, timeout=600)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        assert response.status == 200, text[:1000]
        return json.loads(text)
    finally:
        connection.close()


def _note(found: Replay, visit: Visit, answers: list[Any]) -> None:
    expected = {"user": visit.user, "data": visit.data}
    if all(answer == expected for answer in answers):
        found.opened.append(visit)
    elif all(answer == NOBODY for answer in answers):
        found.refused.append(visit)
    else:
        found.wrong.append(f"{visit}: {answers}"[:2000])
