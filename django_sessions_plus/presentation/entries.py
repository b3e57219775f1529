"""One session as shown to users, on the devices page and in a project's own templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from django.utils.translation import gettext

from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.devices import Device
from django_sessions_plus.policy import Access
from django_sessions_plus.presentation import wording
from django_sessions_plus.presentation.places import place_of


@dataclass(frozen=True)
class Entry:
    """A session with the texts that describe it. Its attributes cost no query."""

    session: AbstractSession
    is_current: bool = False
    """Whether it is the session of the request."""
    has_namesake: bool = False
    """Whether another entry of the list has the same name."""

    @cached_property
    def device(self) -> Device:
        """The device."""
        return self.session.device

    @property
    def name(self) -> str:
        """The name that an operator gave it, or its device, such as "Chrome on macOS"."""
        return wording.session_name(self.session)

    @property
    def first_seen(self) -> str:
        """The exact time it began, if another entry has the same name; else empty."""
        return wording.exactly(self.session.created_at) if self.has_namesake else ""

    @property
    def full_name(self) -> str:
        """The name; with the time it began, if another entry has the same name."""
        if not self.has_namesake:
            return self.name
        parts = {"device": self.name, "when": self.first_seen}
        return gettext("%(device)s, first seen %(when)s") % parts

    @property
    def used_from(self) -> str:
        """The device, if ``name`` is not the device; empty if unknown."""
        return wording.device_name(self.device) if self.session.name and self.device.label else ""

    @property
    def calls_itself(self) -> str:
        """The user agent, if it names no known browser or system; else empty."""
        return "" if self.device.label else self.session.user_agent or ""

    @cached_property
    def place(self) -> str:
        """City and country of its IP address, from ``places``; empty if unknown."""
        return place_of(self.session.ip_address)

    @property
    def access(self) -> Access:
        """How the session is used, as far as its row shows."""
        return self.session.access

    @property
    def access_in_words(self) -> str:
        """``access`` as a text for users."""
        return str(self.access.label)

    @property
    def can_sign_in_again(self) -> bool:
        """Whether the user can sign in again on the device; not true for an issued token."""
        return self.access is not Access.TOKEN

    @property
    def why_ended(self) -> str:
        """Why it ended or expired, as a text for its user."""
        return wording.end_reason(self.session)

    @property
    def ended_since(self) -> datetime:
        """When it ended or expired."""
        return self.session.ended_at or self.session.expires_at


def entries(rows: Iterable[AbstractSession], current: AbstractSession | None = None) -> list[Entry]:
    """Return an entry for each row; ``current`` is marked, and so are entries with the same name."""
    return mark_same_names(Entry(row, is_current=row == current) for row in rows)


def mark_same_names(shown: Iterable[Entry]) -> list[Entry]:
    """Return the entries; those with the same name as another one are marked."""
    found = list(shown)
    count = Counter(entry.name for entry in found)
    return [replace(entry, has_namesake=count[entry.name] > 1) for entry in found]
