"""The channel of a site that has one process: nothing is sent, because who writes tells the memory itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_sessions_plus.backends.leasing.channels import Channel, Connection
from django_sessions_plus.backends.leasing.triggers import why_shared
from django_sessions_plus.conf.engine import engine

if TYPE_CHECKING:
    from django_sessions_plus.backends.leasing.memory import Memory
    from django_sessions_plus.base_session import AbstractSession


class ProcessChannel(Channel):
    """Hears nothing of other processes, so the lease of its memory has no end."""

    has_connection = False
    was_forked = False
    """Whether this process was forked from one that served sessions from memory, which would hear nothing of it."""

    def why_impossible(self) -> str | None:
        """See Channel."""
        if ProcessChannel.was_forked:
            return "this process was forked from one that serves sessions from memory"
        return why_unannounced(self.model, self.alias)

    def connect(self, memory: Memory) -> Connection:
        """Raise, because there is nothing to connect to."""
        raise NotImplementedError


def why_unannounced(model: type[AbstractSession], alias: str) -> str | None:
    """Return why this package does not announce all changes that it makes to rows of ``model``; None if it does."""
    store: Any = engine()
    if not hasattr(store, "get_model_class") or store.get_model_class() is not model:
        # Querysets announce changes of that model alone.
        return "these sessions are not those of SESSION_ENGINE"
    return why_shared(alias)
