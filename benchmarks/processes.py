"""The parent's side of a worker process."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from dataclasses import astuple
from types import TracebackType
from typing import Any, Self

from benchmarks.config import Sizes

PATIENCE = 3600.0


class WorkerError(Exception):
    """What a contender could not do; the text is fit for a table."""


class Worker:
    """A contender in a process of its own. Started with the first question."""

    def __init__(
        self,
        contender: str,
        flavour: str,
        database: str,
        sizes: Sizes,
        *,
        is_async: bool = False,
        more: dict[str, Any] | None = None,
    ) -> None:
        self.name = contender
        self._first = {
            "contender": contender,
            "flavour": flavour,
            "database": database,
            "sizes": astuple(sizes),
            "is_async": is_async,
            "more": more or {},
        }
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, task: str, **arguments: Any) -> Any:
        """Have a task done and return its result.

        Raises:
            WorkerError: it failed, or the process died.
        """
        self.send(task, **arguments)
        return self.receive()

    def send(self, task: str, **arguments: Any) -> None:
        """Have a task begun; ``receive()`` returns its result."""
        if self._process is None:
            self._start()
        self._write({"do": f"benchmarks.{task}", "with": arguments})

    def receive(self) -> Any:
        """Return the result of the task begun last."""
        message = self._read()
        if "error" in message:
            raise WorkerError(message["error"])
        return message["answer"]

    def close(self) -> None:
        """End the process, which ends by itself when it hears nothing more."""
        process, self._process = self._process, None
        if process is None or process.stdin is None or process.stdout is None:
            return
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._write(self._first)
        self.receive()

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise WorkerError("its process died") from exc

    def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            self._process.kill()
            raise WorkerError(f"no answer within {PATIENCE:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError("its process died")
        message: dict[str, Any] = json.loads(line)
        return message
