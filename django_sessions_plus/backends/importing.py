"""The way from the engine to ``django_sessions_plus.switching``, which imports sessions of another engine.

By a dotted path, because ``switching`` builds on the engine. Nothing of it is loaded, and these functions do
nothing, unless ``SESSIONS_PLUS_IMPORT_FROM`` is set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from django.db import connections, transaction

from django_sessions_plus.backends.base import BaseStore
from django_sessions_plus.backends.use import Columns, Data
from django_sessions_plus.conf import config
from django_sessions_plus.conf.engine import engine

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.base_session import AbstractSession
    from django_sessions_plus.querysets import SessionQuerySet


class Importer(Protocol):
    """The functions of ``django_sessions_plus.switching.importing`` that other parts call."""

    def take_cookie(self, store: Any) -> bool:
        """If the store's token is the signed data of another engine, replace it by the token derived from it."""

    def is_cookie_used(self, store: Any) -> bool:
        """Return whether the session of the cookie that ``take_cookie()`` has taken was ever imported."""

    def import_session(self, store: Any) -> AbstractSession | None:
        """Return the row of the session that another engine has for the store's token, now imported; else None."""

    def is_importable(self, token: str) -> bool:
        """Return whether another engine has a session with this token."""

    def delete_in_source(self, digests: Iterable[str], *, using: str) -> None:
        """Delete the sessions with these token digests where they were imported from, if they were left there."""

    def follow_write(
        self, row: AbstractSession, columns: Columns, *, data: Data | None, using: str
    ) -> None:
        """Write to the source of ``row``, if the session was left there, what ``columns`` have changed."""

    def forbid_earlier(self, user: Any, *, using: str) -> datetime:
        """Forbid to import sessions of ``user`` (None: of anybody) that are older than now, and return that time."""


def mirror() -> Importer | None:
    """Return what knows the sources of imported sessions; None if ``SESSIONS_PLUS_IMPORT_FROM`` is empty.

    Also while ``SESSION_ENGINE`` is another engine: what ends then must not be opened by that engine.
    """
    if not config.IMPORT_FROM:
        return None
    return cast(Importer, import_module("django_sessions_plus.switching.importing"))


def importer() -> Importer | None:
    """Return what imports sessions of another engine; None as long as ``SESSION_ENGINE`` is that other engine."""
    return mirror() if config.IMPORT_FROM and issubclass(engine(), BaseStore) else None


def may_be_unimported() -> bool:
    """Return whether there may be sessions that no list shows, because they were not imported yet."""
    return bool(config.IMPORT_FROM)


def import_row(store: Any) -> AbstractSession | None:
    """Return the row of the session that another engine has for the token of ``store``, now imported; else None."""
    switch = importer()
    return None if switch is None else switch.import_session(store)


def row_of_cookie(store: Any) -> AbstractSession | None:
    """Return the row for a token of ``store`` that is a whole session, signed by another engine; else None.

    The session is imported if it was not yet. A value that the site has not signed costs no query.
    """
    if ":" not in (store.session_key or ""):
        return None
    switch = mirror()
    if switch is None or not switch.take_cookie(store):
        return None
    row: AbstractSession | None = store.rows.find(
        store._digest_of(store.session_key), with_user=store.wants_user
    )
    return row or import_row(store)


def is_cookie_used(store: Any) -> bool:
    """Return whether the cookie of ``store`` is the signed data of a session that was imported, and has ended since."""
    switch = None if store.cookie_value is None else mirror()
    return switch is not None and switch.is_cookie_used(store)


def imported_again(store: Any, row: AbstractSession | None) -> AbstractSession | None:
    """Return ``row`` of ``store``, or the one that replaces it if its import was undone; None if the session has ended.

    See ``Uncommitted.is_import_undone()``.
    """
    if row is None or not store.has_uncommitted or not store.uncommitted.is_import_undone(row):
        return row
    import_again = store.uncommitted.import_again
    again = type(store)(store.uncommitted.imported_token)
    again.meta, again.wants_user, again.uncommitted = (
        store.meta,
        store.wants_user,
        store.uncommitted,
    )
    # An earlier save of this value was undone too.
    store.pending_remember = store.remember
    store.uncommitted.forget_import()
    found: AbstractSession | None = import_again() if import_again else again._find_row()
    return found


def row_to_end(store: Any, digest: str | None) -> AbstractSession | None:
    """Return the row with this token digest, which has to end; None if there is none. ``store`` has the token.

    A session that was not imported yet has to end too, or the same token would open it later.
    """
    row: AbstractSession | None = None if digest is None else store.rows.find_not_ended(digest)
    row = row or (import_row(store) if digest else row_of_cookie(store))
    if row is None:
        forbid_unasked(store)
    return row


def forbid_unasked(store: Any) -> None:
    """Forbid to import later the session that ``store`` could not load, because the other engine could not be asked."""
    forbid = store.uncommitted.forbid_import if store.has_uncommitted else None
    if forbid is not None:
        forbid()


def is_importable(token: str) -> bool:
    """Return whether another engine has a session with this token."""
    switch = importer()
    return switch is not None and switch.is_importable(token)


def forbid_earlier(
    users: Iterable[Any],
    rows: SessionQuerySet[Any],
    end: Callable[[SessionQuerySet[Any]], object],
) -> None:
    """Before ``rows`` end: forbid to import sessions of ``users`` (``[None]``: of everybody) that are older than now.

    In a transaction, ``end`` is called after its commit with those of ``rows`` that were imported meanwhile.
    """
    switch = importer()
    if switch is None:
        return
    times = [switch.forbid_earlier(user, using=rows.db) for user in users]
    if times and connections[rows.db].in_atomic_block:
        # Another process sees that only after the commit, and may have imported one until then; it may
        # have begun before. Who has signed in since stays.
        late = rows.filter(imported_at__isnull=False).exclude(authenticated_at__gte=min(times))
        transaction.on_commit(partial(end, late), using=rows.db)


def delete_all_in_source(rows: SessionQuerySet[Any]) -> None:
    """Delete the sessions of these rows, which have ended, where they were imported from, if they were left there."""
    switch = mirror()
    if switch is not None:
        digests = rows.filter(imported_at__isnull=False).values_list("token_digest", flat=True)
        switch.delete_in_source(digests, using=rows.db)


def delete_in_source(row: AbstractSession, using: str) -> None:
    """Delete the session of ``row`` where it was imported from, if it was left there: its token is no longer valid."""
    switch = None if row.imported_at is None else mirror()
    if switch is not None:
        switch.delete_in_source([row.token_digest], using=using)


def follow_write(store: Any, row: AbstractSession, columns: Columns) -> None:
    """Write to where ``row`` was imported from, if the session was left there, what ``columns`` have changed.

    ``row`` is as it was before. With a new token, the session is deleted there.
    """
    switch = None if row.imported_at is None else mirror()
    if switch is not None:
        text = columns.get("session_data")
        data = None if text is None else store.decode(text)
        switch.follow_write(row, columns, data=data, using=store.rows.alias)
