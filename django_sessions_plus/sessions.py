"""The verbs: list a user's sessions, end one, the others or all of them, or start one.

The pages, the API, the admin, the commands and the receivers all call these. If the session of the running
request is among those ended, ``request.session`` becomes empty, its cookie is deleted and
``request.user`` is anonymous from then on. No verb checks permissions.

Longer than other modules, because a reader looks for every verb here, and all find and end rows in the same way.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Set
from datetime import timedelta
from functools import partial
from typing import Any, get_args

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import router, transaction

from django_sessions_plus.backends import importing, opened
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.running import adopt as adopt
from django_sessions_plus.backends.running import aresolve as aresolve
from django_sessions_plus.backends.running import current as current
from django_sessions_plus.backends.running import reset_current as reset_current
from django_sessions_plus.backends.running import resolve as resolve
from django_sessions_plus.backends.running import set_current as set_current
from django_sessions_plus.backends.settlement import settles, verb_twin
from django_sessions_plus.backends.user_check import backend_of
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bulk import ending
from django_sessions_plus.bulk.locking import batched
from django_sessions_plus.bulk.purging import Progress
from django_sessions_plus.conf import callables, lifetimes
from django_sessions_plus.conf.engine import engine
from django_sessions_plus.conf.kinds import OwnTransport
from django_sessions_plus.jwt.issuing import aissue_tokens as aissue_tokens
from django_sessions_plus.jwt.issuing import issue_tokens as issue_tokens
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.presentation.wording import clean_name
from django_sessions_plus.querysets import SessionQuerySet

SessionOrId = AbstractSession | uuid.UUID | str
_Rows = SessionQuerySet[AbstractSession]


def session_model() -> type[AbstractSession]:
    """Return the model of the configured engine's rows; ``Session`` when the engine is not one of ours."""
    store = engine()
    return store.get_model_class() if issubclass(store, SessionStore) else Session


def list_for(user: Any) -> SessionQuerySet[AbstractSession]:
    """Return the active sessions of ``user``, newest activity first; one query when it is read."""
    return _rows().active().for_user(user).newest_activity_first()


async def alist_for(user: Any) -> list[AbstractSession]:
    """See list_for()."""
    return [session async for session in list_for(user)]


@settles
def revoke(
    session: SessionOrId,
    *,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    settled: bool = False,
) -> bool:
    """End one session (a row or its id) and return whether this call ended it.

    False if the session has already ended or expired, and for an unknown or malformed id. Of several
    parallel calls exactly one returns True. ``reason`` is an ``EndReason`` or a text of your own, at most
    32 characters. ``actor`` is who ended it: a user, a primary key or None. With ``settled`` it returns
    only once no process accepts the session any more, whoever has ended it.

    Raises:
        TransactionManagementError: ``settled`` in a transaction. Nothing was ended.
        UnsettledError: ``settled``, and the cache could not be told of the end.
    """
    key = _as_id(session)
    return key is not None and bool(_end([_rows().filter(pk=key)], reason, actor))


arevoke = verb_twin(revoke)


@settles
def revoke_many(
    many: Iterable[SessionOrId] | SessionQuerySet[Any],
    *,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
    settled: bool = False,
) -> int:
    """End many sessions (rows, ids, or a queryset of rows) and return how many this call ended; see ``revoke()``.

    Works in batches, each in a transaction of its own; after each ``progress`` is called with the
    number so far. A queryset of any size costs little memory: it is never read as a whole.
    """
    if isinstance(many, SessionQuerySet) and not many.query.is_sliced:
        return _end([many.for_writing()], reason, actor, progress)
    ids = sorted({key for each in many if (key := _as_id(each)) is not None})
    return _end(_named(ids), reason, actor, progress)


arevoke_many = verb_twin(revoke_many)


@settles
def revoke_others(
    user: Any,
    *,
    keep: SessionOrId | Set[uuid.UUID] | None,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
    settled: bool = False,
) -> int:
    """End all active sessions of ``user`` except ``keep`` (a row, its id, a set of ids, or None) and return how many.

    After each batch ``progress`` is called with the number so far. A session that starts meanwhile may stay.
    """
    rows = _all_but(keep, _rows().for_user(user))
    end_late = partial(revoke_many, reason=reason, actor=actor)
    # An anonymous user has no key, and None would forbid the import for everybody.
    if getattr(user, "pk", user) is not None:
        importing.forbid_earlier([user], rows, end_late)
    return _end([rows], reason, actor, progress)


arevoke_others = verb_twin(revoke_others)


@settles
def revoke_all(
    user: Any,
    *,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
    settled: bool = False,
) -> int:
    """End all active sessions of ``user`` and return how many; see ``revoke_others()``."""
    return revoke_others(user, keep=None, reason=reason, actor=actor, progress=progress)


arevoke_all = verb_twin(revoke_all)


@settles
def revoke_everyone(
    *,
    keep: SessionOrId | None = None,
    reason: str = EndReason.REVOKED,
    actor: Any = None,
    progress: Progress | None = None,
    settled: bool = False,
) -> int:
    """Sign everyone out: end all users' active sessions except ``keep`` (a row or its id), and return how many.

    Only rows that exist now are ended, as far as the clocks of the hosts agree. Sessions that start meanwhile stay,
    and so do anonymous ones. A user who signs in meanwhile on an older row may have to sign in again.
    """
    rows = _all_but(keep, _rows().filter(user__isnull=False))
    # Before the newest row is read: what is imported between the two would be newer, and stay.
    importing.forbid_earlier([None], rows, partial(revoke_many, reason=reason, actor=actor))
    newest = rows.order_by("-pk").values_list("pk", flat=True).first()
    ended = rows.none() if newest is None else rows.filter(pk__lte=newest)
    return _end([ended], reason, actor, progress)


arevoke_everyone = verb_twin(revoke_everyone)


def start(
    user: Any,
    *,
    name: str = "",
    user_agent: str | None = None,
    ip_address: str | None = None,
    remember: bool = True,
    expiry: timedelta | None = None,
    transport: OwnTransport = "bearer",
) -> SessionStore:
    """Start a session for ``user`` without a sign-in, and return its store: ``session_key`` is the token.

    For operators and scripts. The row is like that of a sign-in, and limits, signals and lists treat
    it alike. But nobody has proved to be the user: ``authenticated_at`` is None, so that the session
    is not fresh until the person authenticates in it; ``user_logged_in`` is not sent, and
    ``last_login`` does not change.

    ``name`` is what lists show first, and use never changes it. User agent and address are recorded as
    far as settings allow. With ``expiry`` the session ends after that time, used or not; without, by
    the timeouts, of which ``remember`` decides the idle one. ``transport`` is how the token will be
    sent, which decides the timeouts: "jwt" if access and refresh tokens are issued for the session.

    Raises:
        SignInRefusedError: the user is inactive, or no authentication backend lets the user in.
        ValueError: ``expiry`` is not above zero, or beyond the absolute timeout or
            a hundred years; ``name`` is longer than its column; or there is no such ``transport``.
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package, or a timeout cannot be used.
    """
    if transport not in get_args(OwnTransport):
        raise ValueError(f"There is no transport {transport!r}.")
    lifetimes.check_expiry(expiry, transport)
    name = clean_name(name)
    backend = backend_of(user)
    store = new_store()
    store.transport = transport
    store.meta = {"REMOTE_ADDR": ip_address, "HTTP_USER_AGENT": user_agent}
    store[SESSION_KEY] = user._meta.pk.value_to_string(user)
    store[BACKEND_SESSION_KEY] = backend
    if hasattr(user, "get_session_auth_hash"):
        store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.name, store.remember = name, remember
    if expiry is not None:
        store.set_expiry(expiry)
    store.is_authenticated_at_start = False
    store.user = user
    store.save()
    # If it becomes the session of a request, the middleware need not save it again.
    store.modified = False
    return store


astart = verb_twin(start)


def enforce_limit(user: Any, *, keep: AbstractSession) -> int:
    """End the sessions of ``user`` beyond ``SESSIONS_PLUS_MAX_PER_USER`` and return how many.

    Ends the least recently seen, and never ``keep``. To refuse the sign-in instead would lock out
    users who have lost their old devices.

    Raises:
        ConfigurationError: ``SESSIONS_PLUS_MAX_PER_USER`` cannot be used.
    """
    limit = callables.max_per_user(user)
    if limit is None:
        return 0
    mine = _rows().for_user(user)
    if not ending.has_more_than(limit, mine):
        return 0
    with transaction.atomic(using=mine.db):
        found = ending.least_recently_seen(mine, keep=keep.pk, limit=limit)
        batches = ending.locked_in_batches(mine, found, reason=EndReason.LIMIT, actor=None)
        return _count(batches)


def _rows() -> _Rows:
    model = session_model()
    rows: _Rows = model.objects.using(router.db_for_write(model))
    return rows


def _named(ids: list[uuid.UUID]) -> Iterator[_Rows]:
    for part in batched(ids):
        yield _rows().filter(pk__in=part)


def _as_id(session: SessionOrId | None) -> uuid.UUID | None:
    key = session.pk if isinstance(session, AbstractSession) else session
    if key is None or isinstance(key, uuid.UUID):
        return key
    try:
        return uuid.UUID(str(key))
    except ValueError:
        return None


def _all_but(keep: SessionOrId | Set[uuid.UUID] | None, rows: _Rows) -> _Rows:
    if isinstance(keep, Set):
        return rows.exclude(pk__in=keep) if keep else rows
    return rows if (kept := _as_id(keep)) is None else rows.exclude(pk=kept)


def _end(sets: Iterable[_Rows], reason: str, actor: Any, progress: Progress | None = None) -> int:
    return _count(ending.in_batches(sets, reason=reason, actor=actor), progress)


def _count(batches: Iterable[ending.Batch], progress: Progress | None = None) -> int:
    """Return how many sessions the batches end, and empty the stores of this request whose sessions are among them."""
    ended = 0
    for batch in batches:
        for store in opened.stores_of_request():
            if store.row is not None and batch.has_ended(store.row.pk):
                store.forget()
        importing.delete_all_in_source(batch.rows.filter(**batch.our_end))
        ended += batch.count
        if progress is not None:
            progress(ended)
    return ended
