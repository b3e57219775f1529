"""The types of session data and columns, and what the decisions in ``changes`` need from a store. Types only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from django.db import models

from django_sessions_plus.conf.kinds import Transport

Columns = dict[str, Any]
"""The values of columns by column name."""
Data = Mapping[str, Any]
"""The content of a session, as in ``request.session``."""
Meta = Mapping[str, Any]
Condition = Callable[[Any, datetime], models.QuerySet[Any]]
"""Returns the query for a row, which finds it only if it is still as the write needs it; a method of ``Rows``."""

NO_META: Meta = {}
"""The ``meta`` of a store that belongs to no request."""


class Use(Protocol):
    """One use of a session: the attributes of a session store that decisions read. ``BaseStore`` documents them."""

    meta: Meta
    """``request.META``; ``NO_META`` without a request."""
    transport: Transport
    counts_as_activity: bool
    can_set_cookie: bool
    is_cookie_due: bool
    is_token_outdated: bool
    """Whether a parallel request has rotated the token, so that its response sets the cookie."""
    is_new: bool
    is_authenticated_now: bool
    is_authenticated_at_start: bool
    access_issued_at: int | None
    pending_remember: bool | None
    """The value that was assigned to ``remember`` since the last save; None if there was none."""
    name: str
    user: Any
    """The signed-in user, if known without a query; else None."""

    @property
    def remember(self) -> bool:
        """Whether the session outlives the browser."""

    def get_session_cookie_age(self) -> int:
        """Return the idle timeout in seconds."""

    def decode(self, session_data: str) -> dict[str, Any]:
        """Return the session data from its stored text."""
