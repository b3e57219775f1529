"""``manage.py sessions_erase``: delete what is stored of a person's sessions (GDPR article 17)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from django_sessions_plus import data_requests
from django_sessions_plus.management import consent
from django_sessions_plus.management.people import add_person, person_of
from django_sessions_plus.management.progress import Bar, add_no_progress, is_shown

CONSENT = "erase"


class Command(BaseCommand):
    """Delete the rows of a user's ended and expired sessions, or of all."""

    help = (
        "Delete what is stored of a user's ended and expired sessions; with --all sign the user"
        " out everywhere and delete the rest too. Works in short transactions."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add whose sessions, and which."""
        add_person(parser)
        parser.add_argument(
            "--all", action="store_true", help="end the living sessions, and delete them too"
        )
        consent.add_no_input(parser, "do not ask before anything is deleted")
        add_no_progress(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete the rows and say how many were deleted."""
        user = person_of(options)
        if options["interactive"]:
            consent.ask(
                self.stdout,
                f"What is deleted of the sessions of {user} cannot be brought back.",
                word=CONSENT,
                otherwise="Nothing was erased.",
            )
        bar = Bar(self.stdout, None) if is_shown(self.stdout, options) else None
        erased = data_requests.erase(user, active=options["all"], progress=bar)
        if bar is not None:
            bar.clear()
        if options["verbosity"]:
            self.stdout.write(f"Erased {erased:,} sessions.")
