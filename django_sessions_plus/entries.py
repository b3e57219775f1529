"""One session as people see it, on the devices page and in a project's own templates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django_sessions_plus import wording
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.devices import Device
from django_sessions_plus.places import place_of
from django_sessions_plus.policy import Access


@dataclass(frozen=True)
class Entry:
    """A session, and the words for it. Reading it costs no query."""

    session: AbstractSession
    is_current: bool = False
    """Whether it is the session of the request."""

    @cached_property
    def device(self) -> Device:
        """The device."""
        return self.session.device

    @property
    def name(self) -> str:
        """The device in words, such as "Chrome on macOS"."""
        return wording.device_name(self.device)

    @property
    def calls_itself(self) -> str:
        """The user agent, if it names no known browser or system; else empty."""
        return "" if self.device.label else self.session.user_agent or ""

    @cached_property
    def place(self) -> str:
        """City and country of its address, from ``places``; empty if unknown."""
        return place_of(self.session.ip_address)

    @property
    def access(self) -> Access:
        """How the session is used, as far as its row can tell."""
        return self.session.access

    @property
    def access_in_words(self) -> str:
        """The kind of access for people."""
        return str(self.access.label)

    @property
    def can_sign_in_again(self) -> bool:
        """Whether the user can make up for an end by signing in again; an issued token is gone for good."""
        return self.access is not Access.TOKEN

    @property
    def why_over(self) -> str:
        """Why it is over, for its owner."""
        return wording.end_reason(self.session)

    @property
    def over_since(self) -> datetime:
        """When it ended or expired."""
        return self.session.ended_at or self.session.expires_at


def entries(rows: Iterable[AbstractSession], current: AbstractSession | None = None) -> list[Entry]:
    """Return the rows as people see them, the ``current`` one marked."""
    return [Entry(row, is_current=row == current) for row in rows]
