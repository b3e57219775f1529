"""Arguments of commands that are numbers."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

LARGEST = 1_000_000_000
"""The largest number of seconds and of rows: larger ones make no difference, but may not fit into a column."""


def positive(number: type[int] | type[float], largest: int = LARGEST) -> Any:
    """Return a ``type`` for ``add_argument()``, which accepts numbers of this type above zero, at most ``largest``."""

    def parse(text: str) -> float:
        try:
            value = number(text)
        except ValueError:
            value = 0
        if not 0 < value <= largest:
            raise ArgumentTypeError(f"{text!r} is not a number above zero, at most {largest:,}")
        return value

    return parse


def add_max_seconds(parser: ArgumentParser) -> None:
    """Add ``--max-seconds``, for a command whose next run goes on where this one stops."""
    parser.add_argument(
        "--max-seconds",
        type=positive(float),
        metavar="SECONDS",
        help="stop after this time; what is left is for the next run",
    )
