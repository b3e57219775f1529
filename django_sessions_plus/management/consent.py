"""Ask the operator to type a word before a command does something that cannot be undone."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError, OutputWrapper


def add_no_input(parser: ArgumentParser, help: str) -> None:  # noqa: A002 - argparse's name for it
    """Add the option that switches the question off; ``options["interactive"]`` says whether to ask."""
    parser.add_argument(
        *("--no-input", "--noinput"), action="store_false", dest="interactive", help=help
    )


def ask(stream: OutputWrapper, warning: str, *, word: str, otherwise: str) -> None:
    """Write the warning to ``stream`` and read a word from standard input, which has to be ``word``.

    Raises:
        CommandError: it was another word, or there is no input; ``otherwise`` is the message.
    """
    stream.write(warning)
    try:
        answer: Any = input(f"Type '{word}' to go on: ")
    except EOFError:
        answer = ""
    if answer.strip() != word:
        raise CommandError(otherwise)
