"""Open a session by the token of another package, which was imported. The digest finds it; it has no session token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_sessions_plus.backends import context
from django_sessions_plus.conf.lifetimes import FOREIGN

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.backends.session import SessionStore
    from django_sessions_plus.base_session import AbstractSession


def find(store: SessionStore, digest: str) -> AbstractSession | None:
    """Return the row with this ``tokens.foreign_digest()``, active or not; None if there is none. One query."""
    return store.rows.find(digest, with_user=store.wants_user)


def open_row(store: SessionStore, row: AbstractSession) -> None:
    """Load ``row`` into this new store, whether or not it is active.

    Like a store that was opened by an id, it never inserts a row. Nor does it rotate the token, which the client
    would not learn.
    """
    store.is_opened_by_id = True
    store.transport = FOREIGN
    vars(store).pop("_session_cache", None)
    store._session_cache = store._set_loaded_row(row)
    store.accessed = True
    if store.applies_context_policy and context.apply_context_policy(store.row, store):
        store.end_for_context_change()
