"""``manage.py revoke_sessions``: sign out some people, or everyone (OWASP ASVS 5.0 7.4.5)."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from django_sessions_plus import purging, sessions
from django_sessions_plus.backends.base import RowSession
from django_sessions_plus.conf import config
from django_sessions_plus.management import consent, people
from django_sessions_plus.management.progress import (
    INTERRUPTED,
    Bar,
    Interrupt,
    add_no_progress,
    interrupt,
    is_shown,
)
from django_sessions_plus.policy import EndReason

CONSENT = "everyone"


class Command(BaseCommand):
    """End all sessions of some users, or of all."""

    help = (
        "End all sessions of the named users, or of everyone. Works in short transactions; exit"
        f" code {INTERRUPTED} if Ctrl-C has stopped it in between, 1 if the cache could not be told."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add whose sessions end, and why."""
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
        consent.add_no_input(parser, "do not ask before everyone's sessions are ended")
        add_no_progress(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """End the sessions and say how many were ended."""
        _check_engine()
        _check_reason(options["reason"])
        users = _users(options)
        if users is None and options["interactive"]:
            consent.ask(
                self.stdout,
                "This signs everyone out, you included.",
                word=CONSENT,
                otherwise="Nothing was ended.",
            )
        with interrupt() as is_interrupted:
            count = _Count(is_interrupted)
            if is_shown(self.stdout, options):
                count.bar = Bar(self.stdout, _total(users))
            with count.until_interrupted():
                _end(users, options["reason"], count)
        if options["verbosity"]:
            seconds = time.monotonic() - count.began
            self.stdout.write(f"Ended {count.ended:,} sessions in {seconds:.1f} s.")
        _fail_unless_all_is_done(count)


class _Count:
    """How many sessions were ended, over several calls of verbs."""

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
        """Begin to count the next call."""
        self._before = self.ended

    @contextmanager
    def until_interrupted(self) -> Iterator[None]:
        """Stop the work inside where Ctrl-C has asked for it."""
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


def _total(users: list[Any] | None) -> int | None:
    rows = sessions.session_model().objects.for_writing().active().filter(user__isnull=False)
    if users is not None:
        rows = rows.filter(user__in=[user.pk for user in users])
    count: int = rows[: purging.COUNTED].count()
    return count if count < purging.COUNTED else None


def _users(options: dict[str, Any]) -> list[Any] | None:
    """Return whose sessions are to end; None for everyone's."""
    if options["all"]:
        return None
    try:
        return [
            *map(people.meant_by, options["users"] or []),
            *map(people.with_key, options["user_ids"] or []),
        ]
    except CommandError as exc:
        raise CommandError(f"{exc} Nothing was ended.") from None


def _fail_unless_all_is_done(count: _Count) -> None:
    missing, store = [], _store()
    if hasattr(store, "is_cache_behind") and store.is_cache_behind():
        missing.append(
            "The cache could not be told: what it has of ended sessions is believed for up to"
            f" SESSIONS_PLUS_CACHE_AGE ({config.CACHE_AGE}). As soon as it answers again, run"
            " 'manage.py sessions_refresh_cache'."
        )
    if count.is_cut_short:
        missing.append("Interrupted before all were ended.")
    if missing:
        code = INTERRUPTED if count.is_cut_short else 1
        raise CommandError("\n".join(missing), returncode=code)


def _store() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore


def _check_engine() -> None:
    if not issubclass(_store(), RowSession):
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
