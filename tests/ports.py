"""Ports for servers that tests start. Without anything that is installed."""

import random
import socket
from contextlib import suppress


def free_port() -> int:
    """Return a port that a server may have, also after it was stopped for a while.

    Below those that the system gives to connections, which come and go at any moment.
    """
    ports = random.SystemRandom()
    for _ in range(1000):
        port = ports.randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
