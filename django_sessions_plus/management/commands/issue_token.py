"""``manage.py issue_token``: a token for a script, without a password."""

from __future__ import annotations

import argparse
import json
import re
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from django_sessions_plus.accounts import issuing
from django_sessions_plus.exceptions import SignInRefusedError
from django_sessions_plus.management import users

_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """Read a duration such as ``90d``, ``12h`` or ``30m``.

    Raises:
        ArgumentTypeError: the text is not a duration, or is too long a duration.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration; give a number and a unit, such as 90d, 12h or 30m"
        )
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text!r} is too long") from None


class Command(BaseCommand):
    """Issue a token for a user; it is printed once and stored nowhere."""

    help = (
        "Start a session for a user and print its token on standard output, once. Everything else"
        " goes to standard error, so that the output can be piped."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options for the user, the kind of token, and the format."""
        parser.add_argument("username", help="whose session it is: the name to sign in with")
        parser.add_argument(
            "--transport",
            choices=issuing.TRANSPORTS,
            default="bearer",
            help="a session token (bearer), or an access and a refresh token (jwt)",
        )
        parser.add_argument(
            "--name",
            default="",
            metavar="TEXT",
            help='what lists of sessions show, such as "nightly export"',
        )
        parser.add_argument(
            "--expires",
            type=duration,
            metavar="DURATION",
            help="when it ends, used or not: 90d, 12h, 30m; without it the timeouts of every session hold",
        )
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Start the session and print its token.

        Raises:
            CommandError: no session can be started for this user, or an option is invalid.
        """
        user = users.by_name(options["username"])
        try:
            # Only the token may go to standard output, so that a script can read it: other output,
            # such as of the console e-mail backend, goes to standard error.
            with redirect_stdout(sys.stderr):
                issued = issuing.issue(
                    user,
                    transport=options["transport"],
                    name=options["name"],
                    expiry=options["expires"],
                )
        except SignInRefusedError as exc:
            raise CommandError(f"No token for {options['username']!r}: {exc}") from None
        except (ValueError, ImproperlyConfigured) as exc:
            raise CommandError(str(exc)) from None
        write = _as_json if options["format"] == "json" else _as_text
        self.stdout.write(write(issued))
        if options["verbosity"]:
            self.stderr.write(
                f"Session {issued.session.pk} of {user.get_username()},"
                f" good until {_utc(issued.session.expires_at)}. The token is not shown again.",
                self.style.SUCCESS,
            )


def _as_text(issued: issuing.Issued) -> str:
    if issued.transport == "bearer":
        return issued.tokens["token"]
    return "\n".join(f"{name}={token}" for name, token in issued.tokens.items())


def _as_json(issued: issuing.Issued) -> str:
    ages = {
        name: _utc(age) if isinstance(age, datetime) else age for name, age in issued.ages.items()
    }
    session = {"id": str(issued.session.pk), "expires_at": _utc(issued.session.expires_at)}
    return json.dumps({"session": session, **issued.tokens, **ages})


def _utc(moment: datetime) -> str:
    aware = moment if timezone.is_aware(moment) else timezone.make_aware(moment)
    return aware.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
