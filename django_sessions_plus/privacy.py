"""Export and erase what is stored about a user's sessions, on the user's request (GDPR articles 15 and 17).

No permissions are checked here; the caller has to do that.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from django_sessions_plus import events, sessions
from django_sessions_plus.backends.twins import in_thread
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bulk.deleting import delete_by_keys
from django_sessions_plus.bulk.locking import keys_in_batches, lock_in_order, without_index_on_mysql
from django_sessions_plus.bulk.purging import Progress
from django_sessions_plus.policy import EndReason
from django_sessions_plus.presentation.user_fields import SECRET_FIELD
from django_sessions_plus.querysets import SessionQuerySet, active_at

# How many rows with their data an export reads at a time.
CHUNK_SIZE = 500

WITHHELD = "(withheld)"
"""Written in an export in place of a secret."""

_BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^0-9A-Za-z]+")
# Digests; the session data, which is exported decoded; and a counter that says nothing about the user.
_NOT_EXPORTED = {"token_digest", "refresh_digest", "refresh_attempt", "session_data", "version"}


def records(user: Any) -> Generator[dict[str, Any], None, None]:
    """Yield everything that is stored about each session of ``user`` except secrets, earliest expiry first.

    A project's own columns are included. Keys of the session data that begin with an underscore are
    left out, because they are Django's and hold secrets. Values whose name suggests a secret are
    replaced by ``WITHHELD``, at any depth. Rows are read while the caller iterates.
    """
    rows = _rows(user).order_by("expires_at", "pk")
    count = 0
    for session in rows.iterator(chunk_size=CHUNK_SIZE):
        count += 1
        yield _record(session)
    events.SESSIONS_EXPORTED.log(user_id=getattr(user, "pk", user), count=count)


def erase(
    user: Any, *, active: bool = False, actor: Any = None, progress: Progress | None = None
) -> int:
    """Delete the rows of the ended and expired sessions of ``user`` and return how many.

    With ``active`` the active sessions are ended first, as by ``sessions.revoke_all()``, and
    deleted too. Works in batches, each in a short transaction of its own; after each batch
    ``progress`` is called with the number so far. A session that is active, or that starts
    meanwhile, is never deleted.
    """
    if active:
        sessions.revoke_all(user, reason=EndReason.REVOKED, actor=actor)
    over = ~active_at(timezone.now())
    rows, erased = _rows(user), 0
    every = rows.model.objects.using(rows.db)
    for keys in keys_in_batches(rows.filter(over)):
        named = every.filter(without_index_on_mysql(over, rows.db), pk__in=keys)
        with transaction.atomic(using=rows.db, savepoint=False):
            erased += delete_by_keys(lock_in_order(named))
        if progress is not None:
            progress(erased)
    events.SESSIONS_ERASED.log(user_id=getattr(user, "pk", user), count=erased)
    return erased


async def aerase(
    user: Any, *, active: bool = False, actor: Any = None, progress: Progress | None = None
) -> int:
    """See erase()."""
    return await in_thread(erase, user, active=active, actor=actor, progress=progress)


def _rows(user: Any) -> SessionQuerySet[AbstractSession]:
    rows: SessionQuerySet[AbstractSession] = sessions.session_model().objects.for_writing()
    return rows.for_user(user)


def _record(session: AbstractSession) -> dict[str, Any]:
    columns = {
        field.attname: getattr(session, field.attname)
        for field in session._meta.concrete_fields
        if field.attname not in _NOT_EXPORTED
    }
    data = {key: value for key, value in session.get_decoded().items() if not _is_djangos(key)}
    return {
        **_without_secrets(columns),
        "status": str(session.status()),
        "device": session.device.label,
        "has_refresh_token": session.refresh_digest is not None,
        "data": _without_secrets(data),
    }


def _is_djangos(key: object) -> bool:
    return str(key).startswith("_")


def _without_secrets(value: Any) -> Any:
    """Return the value with ``WITHHELD`` in place of everything whose name suggests a secret."""
    if isinstance(value, Mapping):
        return {
            str(key): WITHHELD if _is_secret(str(key)) else _without_secrets(each)
            for key, each in value.items()
        }
    return [_without_secrets(each) for each in value] if isinstance(value, (list, tuple)) else value


def _is_secret(name: str) -> bool:
    """Return whether this is the name of a secret, or of several, in any spelling."""
    # Projects store what providers send under its own names: accessToken, api-key.
    words = _BETWEEN_WORDS.sub("_", name)
    return any(map(SECRET_FIELD.fullmatch, (words, words.removesuffix("s"))))
