"""Leases for the tests of other projects, which run in a transaction that never commits.

There, nothing would be served from memory, because a transaction has to see what it has written itself. So the
transaction of a ``TestCase`` counts as none, and the memory is emptied when it is rolled back.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connections
from django.test import TestCase, TransactionTestCase

from django_sessions_plus.backends import commits
from django_sessions_plus.backends.leasing import listening, rows


def install() -> None:
    """Have sessions served from memory inside of test cases, if the engine is the one with leases."""
    if not settings.SESSION_ENGINE.endswith(".leased_db"):
        return
    is_in_any_transaction = commits.is_in_any_transaction
    first_on_commit, is_over = commits.first_on_commit, commits.is_over

    def is_in_another(using: str) -> bool:
        blocks = connections[using].atomic_blocks
        return is_in_any_transaction(using) and not (blocks and _are_of_tests(blocks))

    def call_on_commit(callback: Callable[[], None], using: str) -> None:
        if is_in_another(using):
            first_on_commit(callback, using)

    def ask_later(callback: Callable[[], None], using: str) -> Callable[[], bool]:
        return is_over(callback, using) if is_in_another(using) else lambda: True

    commits.first_on_commit, commits.is_over = call_on_commit, ask_later
    vars(rows)["is_in_any_transaction"] = is_in_another
    _forget_after(TestCase, "_rollback_atomics")
    _forget_after(TransactionTestCase, "_fixture_teardown")
    atexit.register(_print_figures)


def _are_of_tests(blocks: Any) -> bool:
    return all(block._from_testcase for block in blocks)


def _forget_after(owner: Any, name: str) -> None:
    real: Any = vars(owner)[name]
    is_of_class = isinstance(real, classmethod)
    undo = real.__func__ if is_of_class else real

    def forget(*args: Any, **kwargs: Any) -> None:
        undo(*args, **kwargs)
        for listener in listening.listeners():
            _hits[id(listener.memory)] = listener.memory.figures.hits
            listener.memory.hear("*")

    setattr(owner, name, classmethod(forget) if is_of_class else forget)


_hits: dict[int, int] = {}


def _print_figures() -> None:
    print(f"Served from memory: {sum(_hits.values())} times", flush=True)
