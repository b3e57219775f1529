"""``manage.py clearsessions``, which is available without ``django.contrib.sessions`` too."""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.management.commands.clearsessions import Command as DjangoCommand
from django.core.management.base import CommandError
from django.utils import timezone

from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.bulk import purging
from django_sessions_plus.bulk.time_limit import TimeIsUpError, time_limit
from django_sessions_plus.management.counting import count_in_time
from django_sessions_plus.management.numbers import add_max_seconds, positive
from django_sessions_plus.management.progress import (
    INTERRUPTED,
    SECONDS_TO_COUNT,
    Bar,
    add_json,
    add_no_progress,
    interrupt,
    is_shown,
    write_json,
)


class Command(DjangoCommand):
    """Purge the configured engine's rows; for a daily cron job, which may run on several hosts."""

    help = (
        "Delete expired anonymous sessions, and ended and expired sign-ins whose retention has"
        " passed, and wipe the data of expired sign-ins, in short transactions. May run on several"
        f" hosts at once and be stopped at any time. Exit code {INTERRUPTED} if Ctrl-C has stopped it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options that limit the work, and for its output."""
        add_max_seconds(parser)
        parser.add_argument(
            "--batch-size",
            type=positive(int),
            metavar="ROWS",
            help=f"the most rows that one transaction takes (default: {purging.BATCH_SIZE})",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would be done, and do nothing"
        )
        add_json(parser)
        add_no_progress(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Purge and print the figures.

        Raises:
            CommandError: the engine does not support an option, or Ctrl-C was pressed.
        """
        store = own_engine()
        if store is None or not _is_purged_as_ours(store):
            _refuse_what_needs_ours(options)
            super().handle(*args, **options)
        elif options["dry_run"]:
            self._count(store.get_model_class().objects.all(), as_json=options["json"])
        else:
            self._purge(store.get_model_class().objects.all(), options)

    def _count(self, rows: Any, *, as_json: bool) -> None:
        rows = rows.for_writing().order_by()
        conditions = purging.purgeable(timezone.now())
        counts = {kind: count_in_time(rows.filter(each)) for kind, each in conditions.items()}
        if as_json:
            numbers: dict[str, int] = {kind: each.number for kind, each in counts.items()}
            is_exact = all(each.is_exact for each in counts.values())
            write_json(self.stdout, dry_run=True, **numbers, is_exact=is_exact)
            return
        self.stdout.write(
            f"To be deleted: {counts['anonymous']} anonymous and {counts['signed_in']} signed-in sessions."
            f" To lose their data: {counts['expired']} expired sign-ins."
        )

    def _purge(self, rows: Any, options: dict[str, Any]) -> None:
        seconds = options["max_seconds"]
        bar = Bar(self.stdout, _total(rows)) if is_shown(self.stdout, options) else None
        with interrupt() as is_interrupted:
            purged = purging.purge(
                rows,
                batch_size=options["batch_size"],
                budget=None if seconds is None else timedelta(seconds=seconds),
                progress=bar,
                should_stop=lambda: bool(is_interrupted),
            )
        if bar is not None:
            bar.clear()
        if options["json"]:
            write_json(self.stdout, dry_run=False, deleted=purged.deleted, **asdict(purged))
        elif options["verbosity"]:
            self._report(purged)
        if is_interrupted and not purged.is_finished:
            raise CommandError("Interrupted; the next run goes on.", returncode=INTERRUPTED)

    def _report(self, purged: purging.Purged) -> None:
        self.stdout.write(
            f"Deleted {purged.deleted:,} sessions ({purged.anonymous:,} anonymous, "
            f"{purged.signed_in:,} signed in) in {purged.elapsed:.1f} s; {purged.expired:,} expired "
            f"sign-ins have lost their data; {purged.batches:,} batches, "
            f"longest statement {purged.longest:.3f} s."
        )
        if not purged.is_finished:
            self.stdout.write("Stopped before the end; the next run goes on.")


def _is_purged_as_ours(store: type[SessionStore]) -> bool:
    """Return whether the engine has our ``clear_expired()``; a project's own engine may have more to clear."""
    clear = getattr(store.clear_expired, "__func__", None)
    own: Any = SessionStore.clear_expired
    return clear is own.__func__


def _refuse_what_needs_ours(options: dict[str, Any]) -> None:
    names = [name for name in ("max_seconds", "batch_size", "dry_run", "json") if options[name]]
    if names:
        flags = ", ".join("--" + name.replace("_", "-") for name in names)
        raise CommandError(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which clears expired sessions in its own way:"
            f" {flags} cannot apply. Nothing was deleted."
        )


def _total(rows: Any) -> int | None:
    # Without a total the bar shows the number alone.
    with suppress(TimeIsUpError), time_limit(rows.for_writing().db, SECONDS_TO_COUNT):
        counts = purging.count_purgeable(rows).values()
        return None if max(counts) >= purging.MAX_COUNT else sum(counts)
    return None
