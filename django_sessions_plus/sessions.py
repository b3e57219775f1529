"""The verbs: list a user's sessions, end one, the others or all of them, or start one.

Pages, API, admin, commands and receivers all call these. If the session of the running
request is among those ended, ``request.session`` becomes empty, its cookie is deleted and
``request.user`` is anonymous from then on. No verb checks permissions.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import router, transaction
from django.http import HttpRequest

from django_sessions_plus import ending, starting
from django_sessions_plus.backends.base import RowSession
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.jwt import refresh
from django_sessions_plus.jwt.refresh import IssuedTokens
from django_sessions_plus.locking import locked
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.purging import Progress
from django_sessions_plus.querysets import SessionQuerySet
from django_sessions_plus.running import current as current
from django_sessions_plus.running import reset_current as reset_current
from django_sessions_plus.running import set_current as set_current

Named = AbstractSession | uuid.UUID | str


def session_model() -> type[AbstractSession]:
    """Return the model of the configured engine's rows; ``Session`` when the engine is not one of ours."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    return store.get_model_class() if issubclass(store, RowSession) else Session


def list_for(user: Any) -> SessionQuerySet[AbstractSession]:
    """Return the active sessions of ``user``, newest activity first; one query when it is read."""
    return _rows().active().for_user(user).newest_activity_first()


async def alist_for(user: Any) -> list[AbstractSession]:
    """See list_for()."""
    return [session async for session in list_for(user)]


def revoke(session: Named, *, reason: str = EndReason.REVOKED, actor: Any = None) -> bool:
    """End one session (a row or its id) and return whether this call ended it.

    False for a session that is already over, and for an unknown or malformed id. Of several
    parallel calls exactly one returns True. ``actor`` is a user, a primary key or None.
    """
    key = _as_id(session)
    if key is None:
        return False
    return bool(_end([_rows().filter(pk=key)], reason, actor))


async def arevoke(session: Named, *, reason: str = EndReason.REVOKED, actor: Any = None) -> bool:
    """See revoke()."""
    return await sync_to_async(revoke)(session, reason=reason, actor=actor)


def revoke_many(
    many: Iterable[Named] | SessionQuerySet[Any],
    *,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
) -> int:
    """End many sessions (rows, ids, or a queryset of rows) as ``revoke()`` ends one, and return how many.

    Works in batches, each in a transaction of its own; after each ``progress`` is called with the
    number so far. A queryset of any size costs little memory: it is never read as a whole.
    """
    if isinstance(many, SessionQuerySet) and not many.query.is_sliced:
        return _end([many.for_writing()], reason, actor, progress)
    ids = sorted({key for each in many if (key := _as_id(each)) is not None})
    batches = (ids[at : at + ending.BATCH_SIZE] for at in range(0, len(ids), ending.BATCH_SIZE))
    return _end((_rows().filter(pk__in=batch) for batch in batches), reason, actor, progress)


async def arevoke_many(
    many: Iterable[Named] | SessionQuerySet[Any],
    *,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
) -> int:
    """See revoke_many()."""
    end = sync_to_async(revoke_many)
    return await end(many, reason=reason, actor=actor, progress=progress)


def revoke_others(
    user: Any,
    *,
    keep: Named | None,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
) -> int:
    """End all active sessions of ``user`` except ``keep`` (a row, its id, or None) and return how many.

    After each batch ``progress`` is called with the number so far.
    """
    return _end([_all_but(keep, _rows().for_user(user))], reason, actor, progress)


async def arevoke_others(
    user: Any,
    *,
    keep: Named | None,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
) -> int:
    """See revoke_others()."""
    end = sync_to_async(revoke_others)
    return await end(user, keep=keep, reason=reason, actor=actor, progress=progress)


def revoke_all(
    user: Any,
    *,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
) -> int:
    """End all active sessions of ``user`` and return how many; see ``revoke_others()``."""
    return revoke_others(user, keep=None, reason=reason, actor=actor, progress=progress)


async def arevoke_all(
    user: Any,
    *,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
) -> int:
    """See revoke_all()."""
    return await sync_to_async(revoke_all)(user, reason=reason, actor=actor, progress=progress)


def revoke_everyone(
    *,
    keep: Named | None = None,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
) -> int:
    """Sign everyone out: end all users' active sessions except ``keep`` (a row or its id), and return how many.

    That is, those whose row exists when this is called, as far as the clocks of the hosts agree.
    Sessions that start meanwhile stay; a user who signs in meanwhile on an older row, such as that
    of an anonymous visit, may have to sign in once more. Anonymous sessions stay.
    """
    rows = _rows().filter(user__isnull=False)
    newest = rows.order_by("-pk").values_list("pk", flat=True).first()
    if newest is None:
        return 0
    return _end([_all_but(keep, rows.filter(pk__lte=newest))], reason, actor, progress)


async def arevoke_everyone(
    *,
    keep: Named | None = None,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
) -> int:
    """See revoke_everyone()."""
    end = sync_to_async(revoke_everyone)
    return await end(keep=keep, reason=reason, actor=actor, progress=progress)


def issue_tokens(session: AbstractSession) -> IssuedTokens:
    """Issue an access token and a refresh token for the session of a signed-in user.

    Both end with the session. A session has one refresh token at a time: that of an
    earlier call is refused from now on, but ends nothing.

    Raises:
        StaleSessionError: the session has ended or expired, or nobody is signed in to it.
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    return refresh.issue_tokens(session)


async def aissue_tokens(session: AbstractSession) -> IssuedTokens:
    """See issue_tokens()."""
    return await refresh.aissue_tokens(session)


def start(
    user: Any,
    *,
    user_agent: str | None = None,
    ip_address: str | None = None,
    remember: bool = True,
    expiry: timedelta | None = None,
) -> RowSession:
    """Start a session for ``user`` as a sign-in would, and return its store: ``session_key`` is the token.

    No password is checked, so the session is not fresh. See ``starting.start()`` for the arguments
    and exceptions.
    """
    return starting.start(
        user, user_agent=user_agent, ip_address=ip_address, remember=remember, expiry=expiry
    )


async def astart(
    user: Any,
    *,
    user_agent: str | None = None,
    ip_address: str | None = None,
    remember: bool = True,
    expiry: timedelta | None = None,
) -> RowSession:
    """See start()."""
    return await sync_to_async(starting.start, thread_sensitive=True)(
        user, user_agent=user_agent, ip_address=ip_address, remember=remember, expiry=expiry
    )


def enforce_limit(user: Any, *, keep: AbstractSession) -> int:
    """End the sessions of ``user`` beyond ``SESSIONS_PLUS_MAX_PER_USER`` and return how many.

    Ends the least recently seen, and never ``keep``: refusing the sign-in would lock out users
    who have lost their old devices.
    """
    limit = config.max_per_user(user)
    if limit is None:
        return 0
    mine = _rows().active().for_user(user)
    with transaction.atomic(using=mine.db):
        # Under a lock, so that two simultaneous sign-ins do not end each other.
        living = locked(mine)
        others = sorted(living, key=lambda row: (row.pk == keep.pk, row.last_seen_at, row.pk))
        ids = [row.pk for row in others[: len(living) - limit]]
        return _end([mine.filter(pk__in=ids)], EndReason.LIMIT, None) if ids else 0


def resolve(request: HttpRequest) -> AbstractSession | None:
    """Return the active signed-in session behind ``request``, by cookie or header; None if there is none.

    Loads the session if it is not loaded yet. An authentication backend may still refuse the
    row's user; ``request.user`` is authoritative for that.
    """
    store = getattr(request, "session", None)
    if not isinstance(store, RowSession):
        return None
    store.get("")
    return _signed_in(store)


async def aresolve(request: HttpRequest) -> AbstractSession | None:
    """See resolve()."""
    store = getattr(request, "session", None)
    if not isinstance(store, RowSession):
        return None
    await store.aget("")
    return _signed_in(store)


def _rows() -> SessionQuerySet[AbstractSession]:
    model = session_model()
    rows: SessionQuerySet[AbstractSession] = model.objects.using(router.db_for_write(model))
    return rows


def _as_id(session: Named | None) -> uuid.UUID | None:
    key = session.pk if isinstance(session, AbstractSession) else session
    if key is None or isinstance(key, uuid.UUID):
        return key
    try:
        return uuid.UUID(str(key))
    except ValueError:
        return None


def _all_but(
    keep: Named | None, rows: SessionQuerySet[AbstractSession]
) -> SessionQuerySet[AbstractSession]:
    kept = _as_id(keep)
    return rows if kept is None else rows.exclude(pk=kept)


def _end(
    sets: Iterable[SessionQuerySet[AbstractSession]],
    reason: str,
    actor: Any,
    progress: Progress | None = None,
) -> int:
    ended = 0
    for batch in ending.in_batches(sets, reason=reason, actor=actor):
        store = current()
        if store is not None and store.row is not None and batch.has_ended(store.row.pk):
            store.forget()
        ended += batch.count
        if progress is not None:
            progress(ended)
    return ended


def _signed_in(store: RowSession) -> AbstractSession | None:
    row = store.row
    return row if row is not None and row.user_id is not None else None
