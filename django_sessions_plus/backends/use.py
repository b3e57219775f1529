"""What the decisions about a session ask of the use that is made of it. Types only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from django_sessions_plus.conf.kinds import Transport

Columns = dict[str, Any]
"""Values by the names of a row's columns."""
Data = Mapping[str, Any]
"""What a session holds, as ``request.session`` has it."""
Meta = Mapping[str, Any]

NO_META: Meta = {}
"""The ``request.META`` of a store that serves no request."""


class Use(Protocol):
    """What a decision asks of the use that is made of a session; a session store is one."""

    meta: Meta
    """``request.META``; ``NO_META`` without a request."""
    transport: Transport
    counts_as_activity: bool
    can_set_cookie: bool
    is_cookie_due: bool
    is_token_outdated: bool
    """Whether a parallel request has rotated the token, and so brings the cookie."""
    is_authenticated_now: bool
    is_authenticated_at_start: bool
    access_issued_at: int | None
    pending_remember: bool | None
    """What somebody has decided of ``remember`` since the last save; None if nobody has."""
    name: str
    user: Any
    """The user who is signed in, where that is known without a query; else None."""

    @property
    def remember(self) -> bool:
        """Whether the session outlives the browser."""

    def get_session_cookie_age(self) -> int:
        """Return the idle timeout in seconds."""

    def decode(self, session_data: str) -> dict[str, Any]:
        """Return stored data."""
