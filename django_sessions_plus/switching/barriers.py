"""Times before which no session may be imported: "sign out everywhere" must reach what was not imported yet."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from django_sessions_plus.switching.models import ImportBarrier

EVERYBODY = ""


def forbid_earlier(user: Any, *, using: str) -> datetime:
    """Forbid to import sessions of ``user`` (None: of anybody) that are older than now, and return that time.

    Call it before the imported sessions are ended: a parallel import looks for this when it is done, and ends
    what it has imported.
    """
    now, key = timezone.now(), _key_of(user)
    barriers = ImportBarrier.objects.using(using)
    # Not update_or_create(), which reads first: on SQLite, a transaction that has read may be refused its write.
    if not barriers.filter(user_key=key).update(before=now):
        try:
            with transaction.atomic(using=using):
                barriers.create(user_key=key, before=now)
        except IntegrityError:
            barriers.filter(user_key=key).update(before=now)
    return now


def is_forbidden(user: Any, created_at: datetime | None, *, using: str) -> bool:
    """Return whether a session of ``user`` may no longer be imported; ``created_at`` is None if nobody knows it.

    Without a date nothing shows that the session is younger than the barrier.
    """
    if user is None:
        # "Sign everyone out" leaves anonymous sessions alone, here and in the other store.
        return False
    barriers = ImportBarrier.objects.using(using).filter(user_key__in=[EVERYBODY, _key_of(user)])
    latest = max(barriers.values_list("before", flat=True), default=None)
    return latest is not None and (created_at is None or created_at <= latest)


def _key_of(user: Any) -> str:
    return EVERYBODY if user is None else str(getattr(user, "pk", user))
