"""Count what would be lost by going back to the previous engine without this package. No writes."""

from __future__ import annotations

from django.db.models import Count, Exists, OuterRef, Q

from django_sessions_plus import sessions
from django_sessions_plus.switching.models import ImportedKey


def count_missing(*, using: str) -> dict[str, int]:
    """Return how many active sessions the previous engine would not have; reads all rows of active sessions.

    ``active`` is how many there are, ``begun_here`` how many never were in the other store, and ``not_kept`` how
    many were imported, but are no longer there: the source was not kept, or they have another token now. ``users``
    is how many users would have to sign in again on one device at least.
    """
    active = sessions.session_model().objects.using(using).active()
    kept = ImportedKey.objects.using(using).filter(digest=OuterRef("token_digest"))
    missing = active.filter(~Exists(kept.exclude(sealed_key="")))
    counts: dict[str, int] = missing.aggregate(
        begun_here=Count("pk", filter=Q(imported_at=None)),
        not_kept=Count("pk", filter=Q(imported_at__isnull=False)),
        users=Count("user", distinct=True),
    )
    return {"active": active.count(), **counts}
