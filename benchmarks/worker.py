"""One contender's process: ``python -m benchmarks.worker``, started by processes.py.

The first line it reads says what it is; each further line names a function of tasks.py or its
like, which is called with the site and the arguments, and whose result is the answer.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import IO, Any

import django
from django.utils.module_loading import import_string

from benchmarks.config import Services, Sizes, services
from benchmarks.contenders import Contender, contender
from benchmarks.drivers import AsgiDriver, Driver, WsgiDriver
from benchmarks.settings import site_settings


@dataclass
class Site:
    """A contender on a database, and what its tasks keep between them."""

    contender: Contender
    flavour: str
    sizes: Sizes
    known: Services
    is_async: bool
    next_unknown: int = 0
    kept: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def driver(self) -> Driver:
        """The handler."""
        return AsgiDriver() if self.is_async else WsgiDriver()


def main() -> None:
    """Answer one line with one line until there are no more."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    # What a contender prints must not be taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    site: Site | None = None
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if site is None:
                site = set_up(message)
                answer: Any = None
            else:
                answer = import_string(message["do"])(site, **message["with"])
        except Exception as exc:  # noqa: BLE001  # whatever a contender raises is its result
            reply(channel, {"error": explain(exc)})
        else:
            reply(channel, {"answer": answer})


def set_up(message: dict[str, Any]) -> Site:
    """Bring the site to life that the first message describes."""
    known = services(os.environ)
    who = contender(message["contender"])
    is_async = message["is_async"]
    # A module, as every project has one: what is configured otherwise is slower to read.
    module = ModuleType("benchmarks.site.settings")
    vars(module).update(
        site_settings(
            who,
            known,
            flavour=message["flavour"],
            database=message["database"],
            pooled=is_async,
            more=message["more"],
        )
    )
    sys.modules[module.__name__] = module
    os.environ["DJANGO_SETTINGS_MODULE"] = module.__name__
    django.setup()
    return Site(who, message["flavour"], Sizes(*message["sizes"]), known, is_async)


def explain(exc: Exception) -> str:
    """Return the kind and the first line of an error."""
    lines = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {lines[0]}" if lines else type(exc).__name__


def reply(channel: IO[str], message: dict[str, Any]) -> None:
    """Write one line."""
    channel.write(json.dumps(message) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
