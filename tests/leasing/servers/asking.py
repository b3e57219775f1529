"""Ask a server who is signed in: over HTTP, or as a task of Celery."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import NamedTuple

COOKIE = "sessionid"
NOBODYS_TOKEN = "a" * 32
TIMEOUT = 20.0
"""Seconds until a question without an answer is an error."""


class Answer(NamedTuple):
    """What the site has said."""

    pid: int
    user: int | None
    from_memory: bool


Ask = Callable[[str], Answer]
"""Asks with a token; raises OSError if nobody answers."""

# A proxy of the machine is not to be asked for the site.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def over_http(url: str) -> Ask:
    """Return what asks this address, over a new connection each time, so that any process may answer."""

    def ask(token: str) -> Answer:
        request = urllib.request.Request(url, headers={"Cookie": f"{COOKIE}={token}"})
        with _opener.open(request, timeout=TIMEOUT) as response:
            return Answer(**json.load(response))

    return ask


def by_task() -> Ask:
    """Return what has a worker of Celery ask."""
    from celery.exceptions import TimeoutError as TooLate

    from tests.leasing.servers.tasks import who

    def ask(token: str) -> Answer:
        try:
            return Answer(**who.delay(token).get(timeout=TIMEOUT))
        except TooLate as error:
            raise OSError("no worker answered") from error

    return ask
