"""What long-running commands share: figures as JSON, a progress bar, Ctrl-C between batches, a cache that failed."""

from __future__ import annotations

import json
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Any

from django.core.management.base import OutputWrapper

WIDTH = 30
# Seconds between two drawings.
INTERVAL = 0.1
# Seconds that a statement may take to find the total of a bar.
SECONDS_TO_COUNT = 0.3
# The exit status that a shell reports for a command that was stopped by Ctrl-C.
INTERRUPTED = 128 + signal.SIGINT


class Bar:
    """A progress bar, redrawn on one line of a terminal.

    ``total`` is the number of rows, or None if it is not known. Use ``is_shown()`` to decide whether
    to draw one: in a file, or in the mail of a cron job, every drawing would be a line of its own.
    """

    def __init__(self, stream: OutputWrapper, total: int | None) -> None:
        self.stream = stream
        self.total = total
        self._drawn_at = 0.0
        self._length = 0

    def __call__(self, done: int) -> None:
        """Show that ``done`` rows are done; at most every ``INTERVAL`` seconds."""
        if monotonic() - self._drawn_at >= INTERVAL:
            self._drawn_at = monotonic()
            self._draw(self._text(done))

    def clear(self) -> None:
        """Clear the line, so that the next output starts at its beginning."""
        if self._length:
            self._draw("")
            self.stream.write("\r", ending="")

    def _text(self, done: int) -> str:
        if not self.total:
            return f"{done:,}"
        part = min(done / self.total, 1)
        bar = ("#" * int(part * WIDTH)).ljust(WIDTH, ".")
        return f"[{bar}] {part:4.0%}  {done:,} of {self.total:,}"

    def _draw(self, text: str) -> None:
        self.stream.write(f"\r{text.ljust(self._length)}", ending="")
        self.stream.flush()
        self._length = len(text)


class Interrupt:
    """Whether Ctrl-C was pressed."""

    is_asked = False

    def __bool__(self) -> bool:
        return self.is_asked


@contextmanager
def interrupt() -> Iterator[Interrupt]:
    """Set a flag at the first Ctrl-C, so that the work can stop after its batch; a second one interrupts as usual."""
    asked = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        # Python allows signal handlers in the main thread only.
        yield asked
        return
    before: Any = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        asked.is_asked = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def add_no_progress(parser: ArgumentParser) -> None:
    """Add the option ``--no-progress``, for ``is_shown()``."""
    parser.add_argument(
        "--no-progress", action="store_true", help="draw no progress bar, not even on a terminal"
    )


def add_json(parser: ArgumentParser) -> None:
    """Add the option ``--json``, for ``write_json()``."""
    parser.add_argument(
        "--json",
        action="store_true",
        help="write one JSON object with the figures to standard output, and nothing else",
    )


def write_json(stream: OutputWrapper, **figures: Any) -> None:
    """Write the figures as one line."""
    stream.write(json.dumps(figures))


def is_shown(stream: Any, options: dict[str, Any]) -> bool:
    """Return whether to draw a bar: on a terminal, unless an option says otherwise.

    Those are ``--no-progress``, ``--verbosity 0`` and ``--json``.
    """
    is_unwanted = options["no_progress"] or options.get("json", False)
    return bool(stream.isatty() and options["verbosity"] and not is_unwanted)


def unsettled_message(within: int) -> str:
    """Return the message that other processes may accept the ended sessions for ``within`` seconds."""
    return (
        "The cache could not be told: what it has of ended sessions is believed for up to"
        f" {within} seconds. As soon as it answers again, run 'manage.py sessions_refresh_cache'."
    )
