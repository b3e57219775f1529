"""Async versions of methods that do I/O: they run the sync method in Django's thread for sync code."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``function`` in the thread of this request's sync code, and return what it returns."""
    return await sync_to_async(function, thread_sensitive=True)(*args, **kwargs)


def beside_event_loop(function: Callable[[], T]) -> T:
    """Call ``function``, which does I/O, from sync code; if async code has called that, in a thread of its own.

    The event loop waits for it.
    """

    def call() -> T:
        try:
            return function()
        finally:
            connections.close_all()

    try:
        get_running_loop()
    except RuntimeError:
        return function()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def async_twin(method: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
    """Return the coroutine method that runs ``method`` by ``in_thread()``; assign it below ``method`` in its class."""

    async def twin(*args: Any, **kwargs: Any) -> T:
        return await in_thread(method, *args, **kwargs)

    name = method.__name__
    twin.__name__, twin.__qualname__ = f"a{name}", f"{method.__qualname__[: -len(name)]}a{name}"
    twin.__module__, twin.__doc__ = method.__module__, f"See {name}()."
    twin.__wrapped__ = method  # type: ignore[attr-defined]  # so that inspect shows its signature
    return twin
