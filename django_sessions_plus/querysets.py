"""Sets of sessions by state, and the bulk statements that end and purge them.

Everything is lazy but the terminal calls; only those have async twins.
"""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.conf import settings
from django.db import connections, models, router, transaction
from django.db.models import Q
from django.utils import timezone

from django_sessions_plus import policy, purging
from django_sessions_plus.conf import config
from django_sessions_plus.locking import take_turn

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

# How many rows one statement changes where each of them has to be named.
BATCH_SIZE = 500

Row = TypeVar("Row", bound="AbstractSession")


class SessionQuerySet(models.QuerySet[Row]):
    """The manager of every session model.

    With an engine that keeps copies of rows, ``update()`` and ``delete()`` also withdraw the
    copies of what they change. An update then takes ``BATCH_SIZE`` rows at a time.
    """

    _is_quiet = False

    def active(self, now: datetime | None = None) -> Self:
        """Keep the sessions that can be used at ``now`` (default: this moment)."""
        return self.filter(active_at(now or timezone.now()))

    def ended(self) -> Self:
        """Keep the sessions that were stopped by act."""
        return self.filter(ended_at__isnull=False)

    def expired(self, now: datetime | None = None) -> Self:
        """Keep the sessions that have expired, by either timeout."""
        return self.filter(~active_at(now or timezone.now()), ended_at=None)

    def for_user(self, user: Any) -> Self:
        """Keep the sessions of ``user`` (an instance or its primary key); none for an anonymous one."""
        key = getattr(user, "pk", user)
        return self.none() if key is None else self.filter(user=key)

    def used_by(self, access: policy.Access) -> Self:
        """Keep the sessions that are used that way, as ``policy.access()`` tells of each."""
        return self.filter(used_by(access))

    def newest_activity_first(self) -> Self:
        """Order by last activity; the id decides between equals, so that pages are stable."""
        return self.order_by("-last_seen_at", "-id")

    def end(self, *, reason: str, actor: Any = None, now: datetime | None = None) -> int:
        """End what has not ended, wipe its data and return how many rows this call ended.

        One conditional statement, so that of several callers only one ends a row. The
        expiry moves to the end: an ended row has no future, and the purge needs one index.
        """
        return self.filter(ended_at=None).update(**end_columns(reason, actor, now))

    async def aend(self, *, reason: str, actor: Any = None, now: datetime | None = None) -> int:
        """See end()."""
        return await self.filter(ended_at=None).aupdate(**end_columns(reason, actor, now))

    def purge(self, now: datetime | None = None) -> int:
        """Delete rows that are no longer needed, and return how many.

        Expired anonymous sessions go at once, ended and expired sign-ins after
        ``SESSIONS_PLUS_RETENTION``. Works in batches of ``SESSIONS_PLUS_PURGE_BATCH_SIZE``
        rows, each its own short transaction, and may run in several processes at once.
        ``purging.purge()`` reports more and can be stopped.
        """
        return purging.purge(self, now=now).deleted

    async def apurge(self, now: datetime | None = None) -> int:
        """See purge()."""
        return (await purging.apurge(self, now=now)).deleted

    def update(self, **columns: Any) -> int:
        """Update as Django does, and withdraw the copies of these rows."""
        store = None if self._is_quiet or self.query.is_sliced else copying_store(self.model)
        if store is None:
            return super().update(**columns)
        rows = self.for_writing().quietly().order_by("pk")
        updated, last = rows._update_batch(store, columns)
        while last is not None:
            more, last = rows.filter(pk__gt=last)._update_batch(store, columns)
            updated += more
        return updated

    update.alters_data = True  # type: ignore[attr-defined]

    def for_writing(self) -> Self:
        """Use the database that writes go to, unless another one was chosen."""
        # On a replica that lags, what was deleted would come up again in the next batch.
        return self.using(self._chosen_alias() or router.db_for_write(self.model))

    def quietly(self) -> Self:
        """Leave it to the caller to withdraw the copies of what is changed."""
        quiet = self._chain()  # type: ignore[attr-defined]
        quiet._is_quiet = True
        return quiet  # type: ignore[no-any-return]

    def _update_batch(self, store: Any, columns: dict[str, Any]) -> tuple[int, Any]:
        """Update one batch; return how many rows that were, and the last key if there may be more."""
        with transaction.atomic(using=self.db, savepoint=False):
            batch = self._locked_digests(BATCH_SIZE)
            updated = self.filter(pk__in=[key for key, _ in batch]).update(**columns)
            store.withdraw([digest for _, digest in batch], self.db)
        return updated, batch[-1][0] if len(batch) == BATCH_SIZE else None

    def _locked_digests(self, limit: int) -> list[tuple[Any, str]]:
        """Return keys and digests, which nobody else changes until the transaction ends."""
        rows = self.values_list("pk", "token_digest")
        if connections[self.db].features.has_select_for_update:
            return list(rows.select_for_update()[:limit])
        take_turn(self)
        return list(rows[:limit])

    def _raw_delete(self, using: str | None) -> int:
        # What every delete of this model comes down to, that of a cascade too.
        store = None if self._is_quiet else copying_store(self.model)
        if store is not None:
            rows = self.using(using).order_by("pk")
            # Of one more than are named all copies are withdrawn, so there is no need to know them.
            some = rows._locked_digests(store.named_at_most() + 1)
            store.withdraw([digest for _, digest in some], rows.db)
        return super()._raw_delete(using)

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._is_quiet = self._is_quiet
        return clone

    def _chosen_alias(self) -> str | None:
        alias: str | None = vars(self)["_db"]
        return alias


def copying_store(model: type[models.Model]) -> Any:
    """Return the configured engine's store if it keeps copies of this model's rows; else None."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if not hasattr(store, "withdraw") or store.get_model_class() is not model:
        return None
    return store


def active_at(now: datetime) -> Q:
    """Return the condition that a session can be used at ``now``."""
    condition = Q(ended_at=None, expires_at__gt=now)
    if config.ABSOLUTE_AGE is not None:
        limit = now - config.ABSOLUTE_AGE
        not_authenticated = Q(user=None) | Q(created_at__gt=limit)
        condition &= Q(authenticated_at__gt=limit) | Q(authenticated_at=None) & not_authenticated
    return condition


def used_by(access: policy.Access) -> Q:
    """Return the condition that a session is used that way."""
    token = Q(user__isnull=False, authenticated_at=None)
    api = ~token & Q(refresh_started_at__isnull=False)
    browser = Q(user_agent=None) | Q(user_agent="")
    for prefix in policy.BROWSER_PREFIXES:
        # The first says nothing that the second does not. But of it PostgreSQL has statistics, and
        # without any takes browsers for rare and reads the table.
        browser |= Q(user_agent__startswith=prefix) | Q(user_agent__istartswith=prefix)
    for suffix in policy.BROWSER_SUFFIXES:
        browser |= Q(user_agent__iendswith=suffix)
    rest = ~token & Q(refresh_started_at=None)
    conditions = {
        policy.Access.TOKEN: token,
        policy.Access.API: api,
        policy.Access.BROWSER: rest & browser,
        policy.Access.APP: rest & ~browser,
    }
    return conditions[access]


def end_columns(reason: str, actor: Any, now: datetime | None) -> dict[str, Any]:
    """Return the values that an end writes, by attribute name; ``actor`` is a user, a primary key or None."""
    now = now or timezone.now()
    return {
        "ended_at": now,
        "expires_at": now,
        "end_reason": reason,
        "ended_by_id": getattr(actor, "pk", actor),
        "session_data": "",
    }
