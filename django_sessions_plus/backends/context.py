"""Where a session is used from: what the request says of itself, and what follows where that changes. No I/O."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django_sessions_plus import devices, policy
from django_sessions_plus.backends.base import NO_META, RowSession
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

Columns = dict[str, Any]

NO_CONTEXT_CHANGE: Columns = {
    "context_changed_at": None,
    "previous_ip_address": None,
    "previous_user_agent": None,
}
"""The columns of the last change of context, of a session that had none.

No request needs them, so the engine does not read them with a row, and no cache has them.
"""


class ContextSession(RowSession):
    """A session that knows whether it is used from where it was."""

    def context_changes(self) -> dict[str, tuple[Any, Any]]:
        """Return where the request comes from elsewhere than the row has recorded: ``{column: (old, new)}``.

        From another network or browser, as ``devices.context_changes()`` has it. Empty
        for a store without a request, and where nobody is signed in.
        """
        row = self._row
        return {} if row is None or row.user_id is None else self._context_changes(row)

    def _context_changes(self, row: AbstractSession) -> dict[str, tuple[Any, Any]]:
        return devices.context_changes(vars(row), self._client())

    def is_refused_here(self) -> bool:
        """Tell whether the loaded session has to end, because the request comes from elsewhere.

        Where the policy asks for the password instead, that is noted of the row: in memory,
        so that it costs no write and holds for requests that do not count as activity.
        """
        row, kind = self._row, config.CONTEXT_POLICY
        if kind == "notice" or row is None or self._authenticated_now:
            return False
        is_elsewhere = bool(self.context_changes())
        row.is_in_doubt = is_elsewhere and kind == "reauthenticate"
        return is_elsewhere and kind == "end"

    def _doubt_columns(self, row: AbstractSession, now: datetime) -> Columns:
        """Return what has the session count as authenticated too long ago to be fresh, if it is in doubt and is.

        No more than once for each authentication, however often the context changes to
        and fro, for afterwards it is not fresh.
        """
        if config.CONTEXT_POLICY != "reauthenticate" or row.user_id is None:
            return {}
        age, limit = config.FRESH_AGE, config.ABSOLUTE_AGE
        is_fresh = policy.is_fresh(authenticated_at=row.authenticated_at, fresh_age=age, now=now)
        # It must not expire by that.
        if not is_fresh or (limit is not None and limit <= age) or not self._context_changes(row):
            return {}
        return {"authenticated_at": now - age}

    def _used_columns(self, row: AbstractSession, now: datetime) -> Columns:
        """Return what is written down of a use: when, and what is of where."""
        return {"last_seen_at": now, **self._place_columns(row, now)}

    def _place_columns(self, row: AbstractSession, now: datetime) -> Columns:
        """Return from where the session is used, and where it was before if that is elsewhere."""
        client = self._changed_client(row)
        changes = {} if row.user_id is None else devices.context_changes(vars(row), client)
        return {**client, **_change_columns(changes, now)} if changes else client

    def _client(self) -> Columns:
        """Return what the request said of its device, as far as recording is switched on."""
        if self._meta is NO_META:
            return {}
        address = devices.client_ip(self._meta, config.TRUSTED_PROXIES, config.CLIENT_IP_HEADER)
        user_agent = self._meta.get("HTTP_USER_AGENT")
        return {
            "ip_address": devices.recorded_ip(address, config.RECORD_IP),
            "user_agent": devices.recorded_user_agent(user_agent, config.RECORD_USER_AGENT),
        }

    def _changed_client(self, row: AbstractSession) -> Columns:
        # What a request does not tell (a health check without a user agent) changes nothing.
        known = {name: value for name, value in self._client().items() if value is not None}
        return {name: value for name, value in known.items() if getattr(row, name) != value}


def _change_columns(changes: dict[str, tuple[Any, Any]], now: datetime) -> Columns:
    """Return the record of a change: what has changed as it was before, and nothing that has not."""
    columns = {f"previous_{name}": old for name, (old, _) in changes.items()}
    # It was recorded under the settings of then, and is kept under those of now.
    if "previous_ip_address" in columns:
        address = columns["previous_ip_address"]
        columns["previous_ip_address"] = devices.recorded_ip(address, config.RECORD_IP)
    mode = config.RECORD_USER_AGENT
    if "previous_user_agent" in columns and mode != "full":
        text = columns["previous_user_agent"]
        columns["previous_user_agent"] = devices.recorded_user_agent(text, mode)
    return {**NO_CONTEXT_CHANGE, "context_changed_at": now, **columns}
