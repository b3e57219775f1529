"""A way to Redis that is as slow as a test wants it to be."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Self


class GatedProxy:
    """Passes on what it is sent; behind a closed gate, only once ``at_once`` connections have asked.

    So a test has that many threads wait for answers at the same time, without any clock. What comes
    after them is passed on at once.
    """

    def __init__(self, upstream: int, at_once: int) -> None:
        self.port = 0
        self.most_at_once = 0
        self._upstream = upstream
        self._at_once = at_once
        self._asking = 0
        self._loop = asyncio.new_event_loop()
        # In Python's development mode it would warn whenever the machine was busy.
        self._loop.set_debug(False)
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._is_open: asyncio.Event

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)
        return self

    def __exit__(self, *args: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def close_gate(self) -> None:
        """Hold back what is sent from here on."""
        self._loop.call_soon_threadsafe(self._is_open.clear)

    async def _start(self) -> None:
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection("127.0.0.1", self._upstream)
        answers = asyncio.ensure_future(self._copy(there, writer))
        try:
            while sent := await reader.read(65536):
                if b"MGET" in sent:
                    await self._wait()
                here.write(sent)
        except asyncio.CancelledError:
            # Python 3.11 logs that of each connection as an error.
            pass
        finally:
            answers.cancel()
            here.close()
            writer.close()

    async def _wait(self) -> None:
        self._asking += 1
        self.most_at_once = max(self.most_at_once, self._asking)
        if self._asking >= self._at_once:
            self._is_open.set()
        await self._is_open.wait()
        self._asking -= 1

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while received := await reader.read(65536):
                writer.write(received)
