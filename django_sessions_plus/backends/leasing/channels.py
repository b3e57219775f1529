"""What a channel is: the way by which a process hears what has ended elsewhere. No I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from django.db import router

from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.backends.leasing.memory import Memory
    from django_sessions_plus.backends.leasing.publishing import Publisher
    from django_sessions_plus.base_session import AbstractSession


class Connection(ABC):
    """A connection over which announcements come, in the order in which they were made. For one thread.

    Each method raises what its driver raises. It never connects anew by itself: whoever does might miss something.
    """

    @abstractmethod
    def echo(self) -> None:
        """Return once the memory has heard all that was announced before this was called.

        Raises:
            UnheardError: not everything that ends would be heard over this connection.
        """

    def read(self) -> bool:
        """Pass on what has been announced and can be read without an echo; return whether there was anything."""
        return False

    @abstractmethod
    def fileno(self) -> int:
        """Return the descriptor that is readable when something was announced."""

    def descriptors(self) -> list[int]:
        """Return the descriptors of all that it has open, for a child process that must not keep them."""
        return [self.fileno()]

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""


class Channel(ABC):
    """Announces what changes of the sessions of ``model`` in the database ``alias``, and connects to hear of it."""

    has_connection = True
    """Whether a thread has to listen. Without one, nothing is heard of other processes, and the lease has no end."""

    def __init__(self, model: type[AbstractSession], alias: str) -> None:
        self.model, self.alias = model, alias

    @abstractmethod
    def why_impossible(self) -> str | None:
        """Return why nothing can be heard here; None if it can. No I/O."""

    def has_users(self) -> bool:
        """Return whether changes of users are announced as well. No I/O."""
        users: Any = self.model._meta.get_field("user").related_model
        return config.LEASE_USERS == "signals" and router.db_for_read(users) == self.alias

    def publisher(self) -> Publisher | None:
        """Return what sends what this process changes to others; None if nothing has to be, or can be. No I/O."""
        return None

    def unheard_for(self) -> int | None:
        """Return after how many seconds nobody serves what this process could not announce; None if it could."""
        return None

    @abstractmethod
    def connect(self, memory: Memory) -> Connection:
        """Return a new connection, which passes on what it hears to ``memory``."""


class UnheardError(Exception):
    """Not everything that ends would be heard over this connection."""
