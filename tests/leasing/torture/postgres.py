"""A PostgreSQL server of this run's own, which can be stopped, restarted, and whose processes can be frozen."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg

from tests.ports import free_port

_OPTIONS = "-c fsync=off -c max_connections=80 -c max_wal_size=4GB -c listen_addresses=127.0.0.1"


def binaries() -> Path:
    """Return the directory of the newest installed server's programs.

    Raises:
        SystemExit: there is none.
    """
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    if (initdb := shutil.which("initdb")) is not None:
        return Path(initdb).resolve().parent
    raise SystemExit("PostgreSQL's initdb is not installed: this needs a server of its own.")


class Server:
    """A server on a port, below a directory."""

    def __init__(self, port: int, directory: Path) -> None:
        self.port, self.directory = port, directory
        # PostgreSQL refuses to run as root.
        self._user: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}

    @classmethod
    def started(cls, directory: Path) -> Server:
        """Return a new server in an empty directory."""
        server = cls(free_port(), directory)
        if server._user:
            shutil.chown(directory, "postgres")
        server._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8")
        server._run("pg_ctl", "start", "-w", "-l", str(directory / "log"), "-o", server._options())
        return server

    def stop(self) -> None:
        """Stop it, whatever was frozen."""
        for pid in self.backends("true"):
            os.kill(pid, signal.SIGCONT)
        self._run("pg_ctl", "stop", "-w", "-m", "immediate")

    def restart(self) -> None:
        """Stop it and start it again; all connections end."""
        log = str(self.directory / "log")
        self._run("pg_ctl", "restart", "-w", "-m", "fast", "-l", log, "-o", self._options())

    def connect(self) -> Any:
        """Return a connection past the proxy, in autocommit."""
        return psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres sslmode=disable",
            autocommit=True,
        )

    def fetch(self, sql: str) -> list[Any]:
        """Return the rows of a query."""
        with self.connect() as connection:
            rows: list[Any] = connection.execute(sql).fetchall()
            return rows

    def backends(self, condition: str) -> list[int]:
        """Return the process ids of the server's processes for clients that match an SQL condition."""
        sql = f"SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND {condition}"
        return [pid for (pid,) in self.fetch(f"{sql} AND pid <> pg_backend_pid()")]

    def _options(self) -> str:
        return f"{_OPTIONS} -p {self.port} -k {self.directory}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [binaries() / program, *arguments, "-D", self.directory / "data"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **self._user,
        )


def freeze(pid: int, seconds: float) -> bool:
    """Stop a process for so long and return whether it stood still."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    try:
        time.sleep(seconds)
        return is_frozen(pid)
    finally:
        os.kill(pid, signal.SIGCONT)


def is_frozen(pid: int) -> bool:
    """Return whether a process is stopped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] == "T"
