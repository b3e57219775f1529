"""``manage.py sessions_refresh_cache``, for when the session table was changed by other means than Django."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Have every process read its sessions from the database again."""

    help = (
        "Have every process read sessions from the database again. Needed after SQL has changed"
        " the session table directly, with the engine cached_db."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Withdraw all copies.

        Raises:
            CommandError: the engine keeps none, or the cache could not be reached; nobody else will try again.
        """
        store = import_module(settings.SESSION_ENGINE).SessionStore
        if not hasattr(store, "withdraw_all"):
            raise CommandError(
                f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which keeps no copies: there is nothing to do."
            )
        try:
            store.withdraw_all()
        except Exception as exc:  # every cache has errors of its own
            raise CommandError(
                f"The cache could not be reached: {exc}. Run the command again later."
            ) from exc
        if options["verbosity"]:
            self.stdout.write("No copy is believed any more; sessions are read from the database.")
