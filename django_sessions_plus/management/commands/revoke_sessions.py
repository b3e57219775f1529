"""``manage.py revoke_sessions``: sign out some users, or everyone (OWASP ASVS 5.0 7.4.5)."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from django_sessions_plus import sessions
from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.backends.settlement import settle
from django_sessions_plus.management import consent, users
from django_sessions_plus.management.counting import count_in_time, total_in_time
from django_sessions_plus.management.progress import (
    INTERRUPTED,
    Bar,
    Interrupt,
    add_json,
    add_no_progress,
    interrupt,
    is_shown,
    unsettled_message,
    write_json,
)
from django_sessions_plus.policy import EndReason

CONSENT = "everyone"


class Command(BaseCommand):
    """End all sessions of some users, or of all users."""

    help = (
        "End all sessions of the named users, or of everyone. Works in short transactions; exit"
        f" code {INTERRUPTED} if Ctrl-C has stopped it in between, 1 if the cache could not be told."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options for the users and the reason."""
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument(
            "--user",
            action="append",
            dest="users",
            metavar="USERNAME|PK",
            help="whose sessions to end: the name to sign in with, or the primary key; may be repeated",
        )
        who.add_argument(
            "--user-id",
            action="append",
            dest="user_ids",
            metavar="PK",
            help="the primary key alone, where a number may be the name of somebody else; may be repeated",
        )
        who.add_argument("--all", action="store_true", help="end everyone's sessions")
        parser.add_argument(
            "--reason", default=EndReason.REVOKED.value, help="what to record as the reason"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would be ended, and end nothing"
        )
        add_json(parser)
        consent.add_no_input(parser, "do not ask before everyone's sessions are ended")
        add_no_progress(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """End the sessions and print how many were ended.

        Raises:
            CommandError: an option is invalid, the operator did not agree, or not all sessions were ended.
        """
        _check_engine()
        _check_reason(options["reason"])
        users = _users(options)
        if options["dry_run"]:
            self._report_what_would_end(users, as_json=options["json"])
            return
        if users is None and options["interactive"]:
            self._ask(options)
        with interrupt() as is_interrupted:
            count = _Count(is_interrupted)
            if is_shown(self.stdout, options):
                count.bar = Bar(self.stdout, total_in_time(_active(users)))
            with count.until_interrupted():
                _end(users, options["reason"], count)
        within = settle()
        self._report(count, within, options)
        _fail_unless_all_is_done(count, within)

    def _ask(self, options: dict[str, Any]) -> None:
        if options["json"]:
            raise CommandError(
                "--json leaves no room for the question whether to sign everyone out: add --no-input."
                " Nothing was ended."
            )
        consent.ask(
            self.stdout,
            "This signs everyone out, you included.",
            word=CONSENT,
            otherwise="Nothing was ended.",
        )

    def _report_what_would_end(self, users: list[Any] | None, *, as_json: bool) -> None:
        counted = count_in_time(_active(users))
        if as_json:
            write_json(
                self.stdout, dry_run=True, sessions=counted.number, is_exact=counted.is_exact
            )
        else:
            self.stdout.write(f"To be ended: {counted} sessions.")

    def _report(self, count: _Count, within: int | None, options: dict[str, Any]) -> None:
        seconds = time.monotonic() - count.began
        if options["json"]:
            write_json(
                self.stdout,
                dry_run=False,
                ended=count.ended,
                elapsed=seconds,
                is_finished=not count.is_cut_short,
                settled=within is None,
                within=within,
            )
        elif options["verbosity"]:
            self.stdout.write(f"Ended {count.ended:,} sessions in {seconds:.1f} s.")


class _Count:
    """How many sessions were ended, over several calls."""

    def __init__(self, is_interrupted: Interrupt) -> None:
        self.bar: Bar | None = None
        self.ended = 0
        self.began = time.monotonic()
        self.is_cut_short = False
        self._is_interrupted = is_interrupted
        self._before = 0

    def __call__(self, ended: int) -> None:
        self.ended = self._before + ended
        if self.bar is not None:
            self.bar(self.ended)
        if self._is_interrupted:
            raise _InterruptedError

    def add(self) -> None:
        """Start to count the next call."""
        self._before = self.ended

    @contextmanager
    def until_interrupted(self) -> Iterator[None]:
        """Stop the work in the block after Ctrl-C."""
        try:
            yield
        except _InterruptedError:
            self.is_cut_short = True
        if self.bar is not None:
            self.bar.clear()


class _InterruptedError(Exception):
    pass


def _end(users: list[Any] | None, reason: str, count: _Count) -> None:
    if users is None:
        sessions.revoke_everyone(reason=reason, progress=count)
        return
    for user in users:
        count.add()
        sessions.revoke_all(user, reason=reason, progress=count)


def _active(users: list[Any] | None) -> Any:
    rows = sessions.session_model().objects.for_writing().active().filter(user__isnull=False)
    if users is not None:
        rows = rows.filter(user__in=[user.pk for user in users])
    return rows


def _users(options: dict[str, Any]) -> list[Any] | None:
    """Return the users whose sessions are to end; None for everyone."""
    if options["all"]:
        return None
    try:
        return [
            *map(users.by_name_or_key, options["users"] or []),
            *map(users.by_key, options["user_ids"] or []),
        ]
    except CommandError as exc:
        raise CommandError(f"{exc} Nothing was ended.") from None


def _fail_unless_all_is_done(count: _Count, within: int | None) -> None:
    missing = []
    if within is not None:
        missing.append(unsettled_message(within))
    if count.is_cut_short:
        missing.append("Interrupted before all were ended.")
    if missing:
        code = INTERRUPTED if count.is_cut_short else 1
        raise CommandError("\n".join(missing), returncode=code)


def _check_engine() -> None:
    if own_engine() is None:
        raise CommandError(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, whose sessions cannot be ended by user."
            " Set it to an engine of this package, such as 'django_sessions_plus.backends.db'."
        )


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise CommandError("--reason must not be empty.")
    longest: Any = sessions.session_model()._meta.get_field("end_reason").max_length
    if len(reason) > longest:
        raise CommandError(f"--reason takes at most {longest} characters.")
