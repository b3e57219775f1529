"""The package's own session model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.module_loading import import_string

from django_sessions_plus.base_session import AbstractSession

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase


class Session(AbstractSession):
    """One session of the engines in ``django_sessions_plus.backends``."""

    class Meta(AbstractSession.Meta):
        # Not in the abstract model: otherwise each model would have permissions of its own.
        permissions = [
            ("issue_token", "Can issue a token for a user"),
            ("revoke_session", "Can end sessions"),
            ("introspect_token", "Can ask whether a token is active"),
        ]

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        """Return the database engine's store: it reads the rows of every engine on this model."""
        # Imported by name: the store's module imports this one.
        store: type[SessionBase] = import_string("django_sessions_plus.backends.db.SessionStore")
        return store
