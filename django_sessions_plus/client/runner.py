"""Run the manager's generators: send the requests that they yield, in threads or in tasks, one at a time.

Requests for tokens are sent by a separate client, so that neither redirects nor event hooks of the
caller's client see a password.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import httpx

from django_sessions_plus.client.responses import Reply, SessionAuthError, Tokens, failure_reason
from django_sessions_plus.client.token_manager import Step

T = TypeVar("T")


@dataclass(eq=False, repr=False)
class Runner:
    """Run one generator at a time. Threads wait for each other, and so do tasks of one event loop."""

    on_tokens: Callable[[Tokens | None], Any] | None
    client: httpx.Client | None
    async_client: httpx.AsyncClient | None
    lock: Lock = field(default_factory=Lock)
    """Callers of run() must hold it."""
    # asyncio keeps only weak references to tasks.
    running: set[asyncio.Task[Any]] = field(default_factory=set)
    # A lock of asyncio belongs to the event loop in which it was first used.
    _locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = field(
        default_factory=WeakKeyDictionary
    )

    def run(self, steps: Generator[Step, Reply, T]) -> T:
        """Run to the end and return the result; the caller must hold the lock."""
        reply: Reply = None
        with closing(steps):
            while True:
                try:
                    step = steps.send(reply)
                except StopIteration as end:
                    result: T = end.value
                    return result
                reply = self._run_step(step)

    async def arun_shielded(self, steps: Generator[Step, Reply, T]) -> T:
        """Run to the end, even if the task that waits for the result is cancelled.

        The server rotates the refresh token as soon as it gets the request: a cancelled task would lose
        the successor for all tasks.

        Raises:
            SessionAuthError: the one that the generator raised.
        """
        task = asyncio.create_task(self._arun_locked(steps))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        await asyncio.wait((task,))
        outcome = task.result()
        if isinstance(outcome, SessionAuthError):
            raise outcome
        return outcome

    async def _arun_locked(self, steps: Generator[Step, Reply, T]) -> T | SessionAuthError:
        async with self._own_lock():
            try:
                return await self._arun(steps)
            except SessionAuthError as error:
                # Not raised: if nobody awaits the task any more, asyncio would log the exception.
                return error

    def _own_lock(self) -> asyncio.Lock:
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    async def _arun(self, steps: Generator[Step, Reply, T]) -> T:
        """See run()."""
        reply: Reply = None
        with closing(steps):
            while True:
                try:
                    step = steps.send(reply)
                except StopIteration as end:
                    result: T = end.value
                    return result
                reply = await self._arun_step(step)

    def _run_step(self, step: Step) -> Reply:
        """Run one step; return the response after reading it, or why there was none."""
        if not isinstance(step, httpx.Request):
            if self.on_tokens is not None:
                self.on_tokens(step.tokens)
            return None
        try:
            if self.client is not None:
                return self.client.send(step, auth=None, follow_redirects=False)
            with httpx.Client() as client:
                return client.send(step)
        except httpx.RequestError as error:
            # Not raised: the exception contains the request, which may contain a password.
            return failure_reason(error, step)

    async def _arun_step(self, step: Step) -> Reply:
        """See _run_step()."""
        if not isinstance(step, httpx.Request):
            result = None if self.on_tokens is None else self.on_tokens(step.tokens)
            if inspect.isawaitable(result):
                await result
            return None
        try:
            if self.async_client is not None:
                return await self.async_client.send(step, auth=None, follow_redirects=False)
            async with httpx.AsyncClient() as client:
                return await client.send(step)
        except httpx.RequestError as error:
            return failure_reason(error, step)
