"""``manage.py sessions_refresh_cache``: use it after the session table was changed without Django."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from django_sessions_plus.conf.engine import engine


class Command(BaseCommand):
    """Invalidate all cached copies, so that every process reads its sessions from the database again."""

    help = (
        "Have every process read sessions from the database again. Needed after SQL has changed"
        " the session table directly, with the engine cached_db."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Invalidate all copies.

        Raises:
            CommandError: the engine keeps no copies, or the cache could not be reached; it is not tried again later.
        """
        store = engine()
        if not hasattr(store, "invalidate_all"):
            raise CommandError(
                f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which keeps no copies: there is nothing to do."
            )
        try:
            store.invalidate_all()
        except Exception as exc:  # every cache has errors of its own
            raise CommandError(
                f"The cache could not be reached: {exc}. Run the command again later."
            ) from exc
        if options["verbosity"]:
            self.stdout.write("No copy is believed any more; sessions are read from the database.")
