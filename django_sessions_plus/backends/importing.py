"""The way from the engine to ``django_sessions_plus.switching``, which imports sessions of another engine.

By a dotted path, because ``switching`` builds on the engine. Nothing of it is loaded unless
``SESSIONS_PLUS_IMPORT_FROM`` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from django_sessions_plus.conf import config

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.backends.session import SessionStore
    from django_sessions_plus.base_session import AbstractSession


class Importer(Protocol):
    """The functions of ``django_sessions_plus.switching.importing`` that other parts call."""

    def import_session(self, store: SessionStore) -> AbstractSession | None:
        """Return the row of the session that another engine has for the store's token, now imported; else None."""

    def is_importable(self, token: str) -> bool:
        """Return whether another engine has a session with this token."""

    def delete_in_source(self, digests: Iterable[str], *, using: str) -> None:
        """Delete the sessions with these token digests where they were imported from, if they were left there."""

    def forbid_earlier(self, user: Any, *, using: str) -> datetime:
        """Forbid to import sessions of ``user`` (None: of anybody) that are older than now, and return that time."""


def importer() -> Importer | None:
    """Return what imports sessions of another engine; None if ``SESSIONS_PLUS_IMPORT_FROM`` is empty."""
    if not config.IMPORT_FROM:
        return None
    return cast(Importer, import_module("django_sessions_plus.switching.importing"))
