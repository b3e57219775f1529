"""``manage.py import_sessions``: import all sessions of the previous engine at once."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.backends.session import SessionStore
from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.management.counting import total_in_time
from django_sessions_plus.management.numbers import add_max_seconds, positive
from django_sessions_plus.management.progress import (
    INTERRUPTED,
    Bar,
    add_json,
    add_no_progress,
    interrupt,
    is_shown,
    write_json,
)
from django_sessions_plus.switching import going_back, remaining
from django_sessions_plus.switching.bulk_import import BATCH_SIZE, Figures, Options, import_all
from django_sessions_plus.switching.management.wording import (
    figures_as_json,
    missing_text,
    status_text,
    unlisted,
)
from django_sessions_plus.switching.sources.named import TOKENS, source_of, sources
from django_sessions_plus.switching.sources.rows import RowSource


class Command(BaseCommand):
    """Import the sessions that no browser has brought along yet."""

    help = (
        f"Import all sessions of the engines that {PREFIX}IMPORT_FROM names, in short transactions,"
        " beside live traffic. May be stopped at any time and run again: no session is imported"
        f" twice. Exit code {INTERRUPTED} if Ctrl-C has stopped it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options that say what to import, that limit the work, and for its output."""
        parser.add_argument(
            "--from",
            action="append",
            dest="names",
            metavar="NAME",
            help=f"an entry of {PREFIX}IMPORT_FROM, instead of all of them; may be given several times",
        )
        parser.add_argument(
            "--keep-source",
            action="store_true",
            help=f"leave the sessions in their source too, as {PREFIX}IMPORT_KEEP_SOURCE does",
        )
        add_max_seconds(parser)
        parser.add_argument(
            "--batch-size",
            type=positive(int, BATCH_SIZE),
            default=BATCH_SIZE,
            metavar="ROWS",
            help="the most rows that one transaction takes (default and most: %(default)s)",
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--dry-run", action="store_true", help="count what would be imported, and write nothing"
        )
        what.add_argument(
            "--status",
            action="store_true",
            help="say how many sessions are left to import, and when one was last imported",
        )
        text = "with --dry-run: count what going back would lose"
        parser.add_argument("--back", action="store_true", help=text)
        add_json(parser)
        add_no_progress(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Import and print the figures.

        Raises:
            CommandError: nothing can be imported by these settings, or Ctrl-C was pressed.
        """
        store_class = own_engine()
        if store_class is None:
            raise CommandError(
                f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}: sessions are imported into an engine of this"
                " package, such as 'django_sessions_plus.backends.db'. Nothing was imported."
            )
        names = _names(options["names"])
        if options["back"]:
            self._show_missing(store_class, options)
            return
        if options["status"]:
            self._show_status(names, store_class, as_json=options["json"])
        else:
            self._import(self._listable(names), store_class, options)

    def _listable(self, names: list[str]) -> list[RowSource]:
        """Return the sources whose sessions are in a table, and write which are not."""
        listable = []
        for name in names:
            source = None if name in TOKENS else source_of(name)
            if isinstance(source, RowSource):
                listable.append(source)
            else:
                self.stderr.write(f"{name}: {unlisted(name)}. Nothing is imported from there now.")
        if not listable:
            raise CommandError("Nothing was imported: no source has its sessions in a table.")
        return listable

    def _import(
        self, sources: list[RowSource], store_class: type[SessionStore], options: dict[str, Any]
    ) -> None:
        chosen = Options(
            keep_source=options["keep_source"] or bool(config.IMPORT_KEEP_SOURCE),
            batch_size=options["batch_size"],
            is_dry_run=options["dry_run"],
        )
        began, seconds, done = monotonic(), options["max_seconds"], {}
        with interrupt() as is_interrupted:

            def is_stopped() -> bool:
                return bool(is_interrupted) or (
                    seconds is not None and monotonic() - began >= seconds
                )

            for source in sources:
                done[source.name] = self._import_one(
                    source, store_class, chosen, options, is_stopped
                )
                if is_stopped():
                    break
        is_finished = len(done) == len(sources) and all(each.is_finished for each in done.values())
        if options["json"]:
            write_json(
                self.stdout,
                dry_run=chosen.is_dry_run,
                keep_source=chosen.keep_source,
                is_finished=is_finished,
                sources={name: figures_as_json(figures) for name, figures in done.items()},
            )
        if is_interrupted and not is_finished:
            raise CommandError("Interrupted; the next run goes on.", returncode=INTERRUPTED)

    def _import_one(
        self,
        source: RowSource,
        store_class: type[SessionStore],
        chosen: Options,
        options: dict[str, Any],
        is_stopped: Callable[[], bool],
    ) -> Figures:
        is_drawn = is_shown(self.stdout, options)
        bar = Bar(self.stdout, total_in_time(source.rows())) if is_drawn else None

        def must_stop(figures: Figures) -> bool:
            if bar is not None:
                bar(figures.done)
            return is_stopped()

        figures = import_all(source, store_class, chosen, must_stop=must_stop)
        if bar is not None:
            bar.clear()
        if options["verbosity"] and not options["json"]:
            self._report(source, chosen, figures)
        return figures

    def _report(self, source: RowSource, chosen: Options, figures: Figures) -> None:
        write, verb = self.stdout.write, "To be imported" if chosen.is_dry_run else "Imported"
        write(
            f"{source.name}: {verb}: {figures.imported:,}. Already imported: {figures.already_imported:,}."
            f" Expired: {figures.expired:,}. {figures.elapsed:.1f} s."
        )
        for what, counts in (("Refused", figures.refused), ("Unreadable", figures.unreadable)):
            for reason, count in counts.most_common():
                write(f"  {what}: {count:,}, because {reason}.")
        if figures.ended:
            write(
                f"  Ended at once, by {PREFIX}MAX_PER_USER or with all others: {figures.ended:,}."
            )
        if figures.undeleted:
            write(f"  Not deleted in the source, for the next run: {figures.undeleted:,}.")
        if not chosen.is_dry_run:
            write(f"  {figures.batches:,} batches, longest transaction {figures.longest:.3f} s.")
        if not figures.is_finished:
            write("  Stopped before the end; the next run goes on.")

    def _show_missing(self, store_class: type[SessionStore], options: dict[str, Any]) -> None:
        if not options["dry_run"]:
            raise CommandError(
                "--back only counts: add --dry-run. To go back, see docs/switching.md."
            )
        counts = going_back.count_missing(using=store_class().rows.alias)
        if options["json"]:
            write_json(self.stdout, back=counts)
        else:
            self.stdout.write(missing_text(**counts))

    def _show_status(
        self, names: list[str], store_class: type[SessionStore], *, as_json: bool
    ) -> None:
        using, status = store_class().rows.alias, {}
        for name in names:
            source, left = None if name in TOKENS else source_of(name), None
            if isinstance(source, RowSource):
                left = remaining.count_left(source, using=using)
            last = remaining.last_imported_at(name, using=using)
            now = timezone.now()  # after these were read: requests import sessions meanwhile
            is_over = name not in TOKENS and remaining.is_over(last, left, now)
            status[name] = {
                "left": left,
                "last_imported_at": None if last is None else last.isoformat(),
                "is_over": is_over,
            }
            if not as_json:
                days = None if last is None else (now - last).days
                self.stdout.write(status_text(name, left, days, is_over=is_over))
        if as_json:
            write_json(self.stdout, status=status)


def _names(names: list[str] | None) -> list[str]:
    """Return these names of sources, or those of all.

    Raises:
        CommandError: the settings do not name one of them, or one that cannot be used.
    """
    configured = config.IMPORT_FROM
    if not configured:
        raise CommandError(f"{PREFIX}IMPORT_FROM names nothing from which to import.")
    for name in names or ():
        if name not in configured:
            raise CommandError(
                f"{PREFIX}IMPORT_FROM does not name {name!r}. Only while it does, a user who signs out"
                " everywhere also ends the sessions there, so that they cannot be imported afterwards."
            )
    try:
        sources()
    except ConfigurationError as error:
        raise CommandError(str(error)) from error
    return list(dict.fromkeys(names or configured))
