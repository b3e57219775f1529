"""Find out how much of another engine is left to import, and whether anything is still being imported. No writes."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max, Q
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import tokens
from django_sessions_plus.bulk.locking import keys_in_batches
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sources.rows import RowSource


@sensitive_variables()
def count_left(source: RowSource, *, using: str) -> int:
    """Return how many sessions of ``source`` have neither expired nor been imported; reads all keys, in batches."""
    left = 0
    for session_keys in keys_in_batches(source.rows()):
        digests = [tokens.digest(session_key) for session_key in session_keys]
        left += (
            len(session_keys) - ImportedKey.objects.using(using).filter(digest__in=digests).count()
        )
    return left


def last_imported_at(name: str, *, using: str) -> datetime | None:
    """Return when a session or token of the source with this name was last imported; None if none was."""
    # That of a token also names the model.
    is_of_source = Q(source=name) | Q(source__startswith=f"{name}:")
    imported = ImportedKey.objects.using(using).filter(is_of_source)
    found: datetime | None = imported.aggregate(last=Max("imported_at"))["last"]
    return found


def is_over(last: datetime | None, left: int | None, now: datetime) -> bool:
    """Return whether nothing more will be imported, so that the source need not be named any longer.

    ``left`` is None if it cannot be counted. What was not imported within ``SESSION_COOKIE_AGE`` belongs to
    browsers that do not come back, or cannot be imported.
    """
    if left == 0:
        return True
    return last is not None and now - last > timedelta(seconds=settings.SESSION_COOKIE_AGE)
