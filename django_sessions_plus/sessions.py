"""The verbs: list a person's sessions, end one, the others, or all of them.

Every edge (pages, API, admin, commands, receivers) calls these. When the session
of the running request is among those ended, ``request.session`` becomes empty,
its cookie is cleared and ``request.user`` is anonymous from then on.
"""

from __future__ import annotations

import uuid
from contextvars import ContextVar, Token
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections, router, transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone

from django_sessions_plus.backends.base import RowSession
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.querysets import SessionQuerySet
from django_sessions_plus.signals import send_after_commit, session_ended

BATCH_SIZE = 500

_current: ContextVar[RowSession | None] = ContextVar("django_sessions_plus_current", default=None)


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


def revoke(
    session: AbstractSession | uuid.UUID | str,
    *,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
) -> bool:
    """End one session (a row or its id) and return whether it was this call that did.

    False for a session that has ended or expired already, and for an unknown or
    malformed id. Of several parallel calls one returns True.
    """
    key = _as_id(session)
    if key is None:
        return False
    rows = _rows().active().filter(pk=key)
    if _end(rows.filter(user__isnull=False), reason, actor):
        return True
    # Nobody is signed in there: there is nothing to keep a record of.
    if not rows.filter(user=None).delete()[0]:
        return False
    _forget_current({key})
    return True


async def arevoke(
    session: AbstractSession | uuid.UUID | str,
    *,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
) -> bool:
    """See revoke()."""
    return await sync_to_async(revoke)(session, reason=reason, actor=actor)


def revoke_others(
    user: Any,
    *,
    keep: AbstractSession | uuid.UUID | str | None,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
) -> int:
    """End all active sessions of ``user`` but ``keep`` (a row or its id) and return how many those were.

    ``keep`` of None keeps none. Statements end ``BATCH_SIZE`` rows at a time.
    """
    others = _rows().active().for_user(user)
    if (kept := _as_id(keep)) is not None:
        others = others.exclude(pk=kept)
    return _end(others, reason, actor)


async def arevoke_others(
    user: Any,
    *,
    keep: AbstractSession | uuid.UUID | str | None,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
) -> int:
    """See revoke_others()."""
    return await sync_to_async(revoke_others)(user, keep=keep, reason=reason, actor=actor)


def revoke_all(user: Any, *, reason: str = EndReason.REVOKED, actor: Any = None) -> int:
    """End all active sessions of ``user`` and return how many those were."""
    return revoke_others(user, keep=None, reason=reason, actor=actor)


async def arevoke_all(user: Any, *, reason: str = EndReason.REVOKED, actor: Any = None) -> int:
    """See revoke_all()."""
    return await sync_to_async(revoke_all)(user, reason=reason, actor=actor)


def enforce_limit(user: Any, *, keep: AbstractSession) -> int:
    """End the sessions of ``user`` beyond ``SESSIONS_PLUS_MAX_PER_USER`` and return how many those were.

    Evicts the least recently seen and never ``keep``: refusing the sign-in would lock
    people out whose old devices are lost.
    """
    limit = config.max_per_user(user)
    if limit is None:
        return 0
    mine = _rows().active().for_user(user)
    with transaction.atomic(using=mine.db):
        # Under a lock, for two sign-ins at once must not end each other.
        living = _locked(mine, keep)
        others = sorted(living, key=lambda row: (row.pk == keep.pk, row.last_seen_at, row.pk))
        ids = [row.pk for row in others[: len(living) - limit]]
        return _end(mine.filter(pk__in=ids), EndReason.LIMIT, None) if ids else 0


def resolve(request: HttpRequest) -> AbstractSession | None:
    """Return the active signed-in session behind ``request``, by cookie or header; None if there is none.

    Loads the session if nobody has. The row's user may still be refused by an
    authentication backend; ``request.user`` is the word on that.
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


def current() -> RowSession | None:
    """Return the session store of the running request; None outside of one."""
    return _current.get()


def set_current(store: RowSession | None) -> Token[RowSession | None]:
    """Name the session store of the running request; for middleware and header authentication."""
    return _current.set(store)


def reset_current(token: Token[RowSession | None]) -> None:
    """Undo set_current()."""
    _current.reset(token)


def _rows() -> SessionQuerySet[AbstractSession]:
    model = session_model()
    rows: SessionQuerySet[AbstractSession] = model.objects.using(router.db_for_write(model))
    return rows


def _locked(rows: SessionQuerySet[AbstractSession], one: AbstractSession) -> list[AbstractSession]:
    """Return ``rows`` locked until the transaction ends; without row locks, a write to ``one`` locks all."""
    if connections[rows.db].features.has_select_for_update:
        return list(rows.select_for_update().order_by("pk"))
    rows.filter(pk=one.pk).update(version=F("version"))
    return list(rows)


def _as_id(session: AbstractSession | uuid.UUID | str | None) -> uuid.UUID | None:
    key = session.pk if isinstance(session, AbstractSession) else session
    if key is None or isinstance(key, uuid.UUID):
        return key
    try:
        return uuid.UUID(str(key))
    except ValueError:
        return None


def _end(rows: SessionQuerySet[AbstractSession], reason: str, actor: Any) -> int:
    ids = list(rows.values_list("pk", flat=True))
    batches = (ids[start : start + BATCH_SIZE] for start in range(0, len(ids), BATCH_SIZE))
    return sum(_end_batch(rows, batch, reason, actor) for batch in batches)


def _end_batch(
    rows: SessionQuerySet[AbstractSession], ids: list[uuid.UUID], reason: str, actor: Any
) -> int:
    now = timezone.now()
    batch = rows.model.objects.using(rows.db).filter(pk__in=ids)
    if not batch.active(now).end(reason=reason, actor=actor, now=now):
        return 0
    # Several may be ending the same rows: those that bear our moment are the ones we ended.
    ended = list(_with_users(batch.filter(ended_at=now)))
    for session in ended:
        send_after_commit(
            session_ended,
            using=rows.db,
            sender=rows.model,
            session=session,
            user=session.user,
            reason=reason,
            actor=actor,
        )
    _forget_current({session.pk for session in ended})
    return len(ended)


def _with_users(rows: SessionQuerySet[AbstractSession]) -> SessionQuerySet[AbstractSession]:
    # Users may live in another database, where no join reaches.
    if router.db_for_read(get_user_model()) == rows.db:
        return rows.select_related("user")
    return rows.prefetch_related("user")


def _forget_current(ids: set[uuid.UUID]) -> None:
    store = current()
    if store is not None and store.row is not None and store.row.pk in ids:
        store.forget()


def _signed_in(store: RowSession) -> AbstractSession | None:
    row = store.row
    return row if row is not None and row.user_id is not None else None
