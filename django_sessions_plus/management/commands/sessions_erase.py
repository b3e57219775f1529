"""``manage.py sessions_erase``: delete what is stored about a user's sessions (GDPR article 17)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_sessions_plus import privacy
from django_sessions_plus.backends.settlement import settle
from django_sessions_plus.management import consent
from django_sessions_plus.management.progress import (
    Bar,
    add_no_progress,
    is_shown,
    unsettled_message,
)
from django_sessions_plus.management.users import add_user_arguments, chosen_user

CONSENT = "erase"


class Command(BaseCommand):
    """Delete the rows of a user's ended and expired sessions, or of all the user's sessions."""

    help = (
        "Delete what is stored of a user's ended and expired sessions; with --all sign the user"
        " out everywhere and delete the rest too. Works in short transactions."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options for the user, and for active sessions."""
        add_user_arguments(parser)
        parser.add_argument(
            "--all", action="store_true", help="end the living sessions, and delete them too"
        )
        consent.add_no_input(parser, "do not ask before anything is deleted")
        add_no_progress(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete the rows and print how many were deleted.

        Raises:
            CommandError: there is no such user, the operator did not agree, or the cache could not be reached.
        """
        user = chosen_user(options)
        if options["interactive"]:
            consent.ask(
                self.stdout,
                f"What is deleted of the sessions of {user} cannot be brought back.",
                word=CONSENT,
                otherwise="Nothing was erased.",
            )
        bar = Bar(self.stdout, None) if is_shown(self.stdout, options) else None
        erased = privacy.erase(user, active=options["all"], progress=bar)
        if bar is not None:
            bar.clear()
        if options["verbosity"]:
            self.stdout.write(f"Erased {erased:,} sessions.")
        if options["all"] and (within := settle()) is not None:
            raise CommandError(unsettled_message(within))
