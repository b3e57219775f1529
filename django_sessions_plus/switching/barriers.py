"""Times before which no session may be imported: "sign out everywhere" must reach what was not imported yet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.db import IntegrityError, transaction
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends import user_key
from django_sessions_plus.switching.models import ImportBarrier
from django_sessions_plus.switching.unimported import delete_unimported

EVERYBODY = ""
FEW = 500
"""How many barriers are read at once."""


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
    delete_unimported(user, now, using=using)
    return now


def is_forbidden(user: Any, created_at: datetime | None, *, using: str) -> bool:
    """Return whether a session of ``user`` may no longer be imported; ``created_at`` is None if nobody knows it."""
    return user is not None and forbids(barriers_of([user], using=using), user, created_at)


def barriers_of(users: Iterable[Any], *, using: str) -> dict[str, datetime]:
    """Return the barriers that concern these users, for ``forbids()``; one query."""
    keys = {EVERYBODY, *map(_key_of, users)}
    return dict(_barriers(using).filter(user_key__in=keys))


def barriers_of_many(users: Iterable[Any], *, using: str) -> dict[str, datetime]:
    """Return at least the barriers that concern these users, for ``forbids()``; two queries if there are many barriers.

    Usually there are few or none, and all of them are read faster than a list of users is sent.
    """
    few = dict(_barriers(using)[: FEW + 1])
    return few if len(few) <= FEW else barriers_of(users, using=using)


def _barriers(using: str) -> Any:
    return ImportBarrier.objects.using(using).values_list("user_key", "before")


def forbids(barriers: dict[str, datetime], user: Any, created_at: datetime | None) -> bool:
    """Return whether these barriers forbid to import a session of ``user`` that was created then.

    Without a date nothing shows that the session is younger than the barrier.
    """
    if user is None or not barriers:
        # "Sign everyone out" leaves anonymous sessions alone, here and in the other store.
        return False
    times = [barriers[key] for key in (EVERYBODY, _key_of(user)) if key in barriers]
    return bool(times) and (created_at is None or created_at <= max(times))


def _key_of(user: Any) -> str:
    if user is None:
        return EVERYBODY
    # A UUID, for example, can be written in several ways.
    named = {SESSION_KEY: getattr(user, "pk", user)}
    return str(user_key.named_in(named, sessions.session_model()))
