"""``manage.py sessions_export``: write what is stored about a user's sessions (GDPR article 15)."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from django_sessions_plus import privacy
from django_sessions_plus.management.users import add_user_arguments, chosen_user

# Other users of the machine must not read it.
MODE = 0o600


class Command(BaseCommand):
    """Write everything that is stored about a user's sessions as JSON."""

    help = (
        "Write everything that is stored of a user's sessions, the secrets excepted, as JSON to"
        " standard output or a new file. Any number of sessions takes little memory."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options for the user and the file."""
        add_user_arguments(parser)
        parser.add_argument(
            "--output", metavar="FILE", help="a file that does not exist yet, for its owner to read"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the sessions.

        Raises:
            CommandError: there is no such user, or the file cannot be created.
        """
        user = chosen_user(options)
        if options["output"] is None:
            _write(user, self.stdout)
            return
        path = Path(options["output"])
        with _new_file(path) as file:
            try:
                count = _write(user, file)
            except BaseException:
                # An incomplete file would look like a complete one.
                path.unlink()
                raise
        if options["verbosity"]:
            self.stderr.write(f"Exported {count:,} sessions to {path}.", self.style.SUCCESS)


def _new_file(path: Path) -> TextIO:
    try:
        return os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w", encoding="ascii"
        )
    except OSError as exc:
        raise CommandError(f"{path} cannot be made: {exc.strerror}.") from exc


def _write(user: Any, stream: Any) -> int:
    head = {
        "user": {"id": str(user.pk), "username": user.get_username()},
        "exported_at": timezone.now(),
    }
    # One session per line, written as it is read, so that memory stays small.
    stream.write(_json(head)[:-1] + ', "sessions": [')
    count = 0
    for record in privacy.records(user):
        stream.write((",\n" if count else "\n") + _json(record))
        count += 1
    stream.write("\n]}\n")
    return count


def _json(value: Any) -> str:
    return json.dumps(value, cls=_Encoder)


class _Encoder(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        """Write values that JSON has no type for, such as of a project's own column, as text."""
        try:
            return super().default(o)
        except TypeError:
            return str(o)
