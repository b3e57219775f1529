"""Querysets of sessions by state, and the bulk statement that ends them.

Only the calls that query the database have async twins; the others are lazy.

Private names of Django 5.2 to 6.1: ``_chain()`` and ``_clone()``, because a flag has to be copied from one queryset
to the next; ``_db``, to see whether a database was chosen; and ``_raw_delete()``, because a cascade deletes by it
and calls nothing public. tests/test_private_names.py fails if they disappear.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections, models, router, transaction
from django.db.models import Q
from django.utils import timezone

from django_sessions_plus import policy
from django_sessions_plus.bulk.locking import KEYS_PER_STATEMENT, locked_by_key, take_write_lock
from django_sessions_plus.conf import config, lifetimes
from django_sessions_plus.conf.engine import engine

Row = TypeVar("Row", bound=models.Model)


def one_or_none(rows: models.QuerySet[Row]) -> Row | None:
    """Return the one row of a queryset that finds at most one; None if it finds none."""
    # Not first(), which would add an ORDER BY on the primary key.
    try:
        return rows.get()
    except ObjectDoesNotExist:
        return None


class SessionQuerySet(models.QuerySet[Row]):
    """The manager of every session model.

    With an engine that caches copies of rows, ``update()`` and ``delete()`` also invalidate the
    copies of the rows they change.
    """

    _is_quiet = False

    def active(self, now: datetime | None = None) -> Self:
        """Filter the sessions that can be used at ``now`` (default: the current time)."""
        return self.filter(active_at(now or timezone.now()))

    def ended(self) -> Self:
        """Filter the sessions that were ended; an expired one was not."""
        return self.filter(ended_at__isnull=False).exclude(end_reason__in=policy.Timeout.values)

    def expired(self, now: datetime | None = None) -> Self:
        """Filter the sessions that have expired, by either timeout, whether or not the purge has marked them."""
        is_no_act = Q(ended_at=None) | Q(end_reason__in=policy.Timeout.values)
        return self.filter(~active_at(now or timezone.now()), is_no_act)

    def for_user(self, user: Any) -> Self:
        """Filter the sessions of ``user`` (an instance or its primary key); none for an anonymous user."""
        key = getattr(user, "pk", user)
        return self.none() if key is None else self.filter(user=key)

    def used_by(self, access: policy.Access) -> Self:
        """Filter the sessions for which ``policy.access()`` returns ``access``."""
        return self.filter(used_by(access))

    def newest_activity_first(self) -> Self:
        """Order by last activity, then by id, so that pages are stable."""
        return self.order_by("-last_seen_at", "-id")

    def end(self, *, reason: str, actor: Any = None, now: datetime | None = None) -> int:
        """End the sessions that have not ended, wipe their data and return how many this call ended.

        One conditional statement, so that only one of several callers ends a row. It also sets
        ``expires_at`` to the time of the end, so that the purge finds ended and expired rows by one index.
        """
        return self.filter(ended_at=None).update(**end_columns(reason, actor, now))

    async def aend(self, *, reason: str, actor: Any = None, now: datetime | None = None) -> int:
        """See end()."""
        return await self.filter(ended_at=None).aupdate(**end_columns(reason, actor, now))

    def update(self, **columns: Any) -> int:
        """Update as Django does, and invalidate the cached copies of these rows.

        With an engine that keeps copies, more than ``KEYS_PER_STATEMENT`` (500) rows are updated in batches,
        each in a transaction of its own: if one fails, earlier batches stay written.
        """
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
        """Use the database for writes, unless a database was chosen with ``using()``."""
        # A replica that lags would return rows again that the last batch deleted.
        return self.using(self._chosen_alias() or router.db_for_write(self.model))

    def quietly(self) -> Self:
        """Return a queryset that invalidates no copies; the caller has to do it."""
        rows: Any = self
        quiet: Self = rows._chain()
        quiet._is_quiet = True
        return quiet

    def _update_batch(self, store: Any, columns: dict[str, Any]) -> tuple[int, Any]:
        """Update one batch; return how many rows, and the last primary key if there may be more."""
        with transaction.atomic(using=self.db, savepoint=False):
            batch = self._locked_digests(KEYS_PER_STATEMENT)
            # Without order_by(): with it, MariaDB would wait for locks of other rows.
            named = self.order_by().filter(pk__in=[key for key, _ in batch])
            updated = named.update(**columns)
            store.invalidate([digest for _, digest in batch], self.db)
        return updated, batch[-1][0] if len(batch) == KEYS_PER_STATEMENT else None

    def _locked_digests(self, limit: int) -> list[tuple[Any, str]]:
        """Lock the first ``limit`` rows until the transaction ends, and return their keys and digests."""
        rows = self.values_list("pk", "token_digest")
        if connections[self.db].vendor == "mysql":
            # In one statement, MariaDB would lock in the order of the index that it searches. The
            # caller's statement checks again whether each row still meets the condition.
            keys = [key for key, _ in rows[:limit]]
            return locked_by_key(self, keys, "pk", "token_digest")
        if connections[self.db].features.has_select_for_update:
            return list(rows.select_for_update()[:limit])
        take_write_lock(self)
        return list(rows[:limit])

    def _raw_delete(self, using: str | None) -> int:
        # Every delete of this model calls this method, that of a cascade too.
        self.using(using).invalidate_copies()
        return super()._raw_delete(using)

    def invalidate_copies(self) -> None:
        """Lock these rows until the transaction ends, and invalidate their cached copies. Needs a transaction."""
        store = None if self._is_quiet else copying_store(self.model)
        if store is not None:
            # If there are more rows than are invalidated one by one, all copies are invalidated.
            some = self.order_by("pk")._locked_digests(store.named_at_most() + 1)
            store.invalidate([digest for _, digest in some], self.db)

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._is_quiet = self._is_quiet
        return clone

    def _chosen_alias(self) -> str | None:
        alias: str | None = vars(self)["_db"]
        return alias


def copying_store(model: type[models.Model]) -> Any:
    """Return the configured engine's store class if it has to be told of changes of this model's rows; else None."""
    store: Any = engine()
    if not hasattr(store, "invalidate") or store.get_model_class() is not model:
        return None
    return store if store.needs_invalidation() else None


def active_at(now: datetime) -> Q:
    """Return the condition that a session can be used at ``now``."""
    condition = Q(ended_at=None, expires_at__gt=now)
    within = _is_within(config.ABSOLUTE_AGE, now)
    own = lifetimes.absolute_ages()
    if own:
        within &= ~Q(transport__in=list(own))
        for transport, age in own.items():
            within |= Q(transport=transport) & _is_within(age, now)
    return condition & within


def _is_within(age: timedelta | None, now: datetime) -> Q:
    """Return the condition that an absolute timeout is not reached."""
    if age is None:
        return Q()
    limit = now - age
    # An imported session has started at the import; see policy.limited_from().
    not_authenticated = Q(user=None) | Q(created_at__gt=limit) | Q(imported_at__gt=limit)
    return Q(authenticated_at__gt=limit) | Q(authenticated_at=None) & not_authenticated


def used_by(access: policy.Access) -> Q:
    """Return the condition that ``policy.access()`` of a session is ``access``."""
    token = Q(user__isnull=False, authenticated_at=None, imported_at=None)
    api = ~token & Q(refresh_started_at__isnull=False)
    browser = Q(user_agent=None) | Q(user_agent="")
    for prefix in policy.BROWSER_PREFIXES:
        # The second condition includes the first. But PostgreSQL has statistics only for the first,
        # and without them it takes browsers for rare and reads the whole table.
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
    """Return the columns that ending a session writes, with values; ``actor`` is a user, a primary key or None."""
    now = now or timezone.now()
    return {
        "ended_at": now,
        "expires_at": now,
        "end_reason": reason,
        "ended_by_id": getattr(actor, "pk", actor),
        "session_data": "",
    }
