"""A Redis of its own, which can be stopped, frozen and started again."""

from __future__ import annotations

import random
import subprocess
import time
from importlib import import_module
from typing import Any

from tests.leasing.torture.postgres import freeze


class Redis:
    """The server, which the process that made it may restart."""

    def __init__(self, port: int) -> None:
        self.port = port
        # Who tries PostgreSQL alone need not have it.
        self._redis: Any = import_module("redis")
        self.client = self._redis.Redis(port=port, socket_timeout=5)
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while True:
            try:
                self.client.ping()
            except self._redis.ConnectionError:
                time.sleep(0.02)
            else:
                return process

    def stop(self) -> None:
        """End the server."""
        self.process.terminate()
        self.process.wait()

    def restart(self) -> bool:
        """Start it anew; return whether it is another run."""
        before = self.client.info("server")["run_id"]
        self.stop()
        time.sleep(random.uniform(0.0, 0.5))
        self.process = self._started()
        return bool(self.client.info("server")["run_id"] != before)

    def freeze(self) -> bool:
        """Have it stand still for a while; return whether it has."""
        return freeze(self.process.pid, random.uniform(0.4, 0.9))

    def end_listeners(self) -> bool:
        """Close the connections that listen; return whether there were any."""
        return int(self.client.client_kill_filter(_type="pubsub")) > 0

    def demote(self) -> bool:
        """Make it a replica for a while, which answers and keeps its connections."""
        self.client.replicaof("127.0.0.1", "1")
        time.sleep(random.uniform(0.1, 0.4))
        role = self.client.info("replication")["role"]
        self.client.replicaof("NO", "ONE")
        return bool(role == "slave")
