"""A TCP proxy between the workers and the server, which holds back or loses what listeners send and get.

    python -m tests.leasing.torture.proxy PORT SERVER_PORT [NAME]

NAME is what the first packet of a listener contains; with an empty one, all are listeners.
It reads one command a line: ``pass``, ``hold`` (both directions), ``hold-answers`` (from the server alone), and
``drop``; to each it answers with how many bytes it has held and dropped so far. A connection that lost something is
closed with the next ``pass``, because the protocol could not go on; until then both ends believe that it is alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass, field

LISTENER = "sessions-plus-lease"
"""The name of the application, by which a listener connects to PostgreSQL."""


@dataclass
class Proxy:
    """The proxy, whose mode is for connections of listeners; others always pass."""

    server_port: int
    name: bytes
    mode: str = "pass"
    held: int = 0
    dropped: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    broken: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        try:
            first = await reader.read(4096)
            server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        server[1].write(first)
        is_listener = self.name in first
        both = (writer, server[1])
        await asyncio.gather(
            self._carry(reader, server[1], both, is_listener, is_answer=False),
            self._carry(server[0], writer, both, is_listener, is_answer=True),
        )

    async def _carry(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        is_listener: bool,
        *,
        is_answer: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if is_listener and not await self._may_pass(len(data), both, is_answer):
                    continue
                target.write(data)
                await target.drain()
        for each in both:
            self.broken.discard(each)
            each.close()

    async def _may_pass(
        self, size: int, both: tuple[asyncio.StreamWriter, asyncio.StreamWriter], is_answer: bool
    ) -> bool:
        """Wait while packets are held; return whether they arrive at all."""
        if self.mode == "drop" or both[0] in self.broken:
            self.dropped += size
            self.broken.update(both)
            return False
        if self.mode == "hold" or (self.mode == "hold-answers" and is_answer):
            self.held += size
            async with self.changed:
                await self.changed.wait_for(lambda: self.mode == "pass")
        return True

    async def obey(self, mode: str) -> None:
        """Change the mode."""
        self.mode = mode
        if mode == "pass":
            for each in self.broken:
                each.transport.abort()
            self.broken.clear()
        async with self.changed:
            self.changed.notify_all()


async def main(port: int, server_port: int, name: str) -> None:
    """Serve until there are no more commands."""
    proxy = Proxy(server_port, name.encode())
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", port)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    print("ready", flush=True)
    while line := await commands.readline():
        await proxy.obey(line.decode().strip())
        print(proxy.held, proxy.dropped, flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), (*sys.argv[3:], LISTENER)[0]))
