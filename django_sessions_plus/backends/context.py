"""The context of a session: from which network and browser it is used, and what to write when that changes.

Functions of the row, ``request.META``, settings and the current time. No I/O.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django_sessions_plus import devices, policy
from django_sessions_plus.backends.use import NO_META, Columns, Meta, Use
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

NO_CONTEXT_CHANGE: Columns = {
    "context_changed_at": None,
    "previous_ip_address": None,
    "previous_user_agent": None,
}
"""The columns of the last context change, as they are in a session that had none."""

PREVIOUS_CONTEXT = ("previous_ip_address", "previous_user_agent")
"""Those of them that no request needs: the engine does not load them with a row, and no cache stores them."""


def context_changes(row: AbstractSession, meta: Meta) -> dict[str, tuple[Any, Any]]:
    """Return ``{column: (old, new)}`` for the network and browser that the row has not recorded.

    ``devices.context_changes()`` decides what counts as another network or browser. Empty for
    a store without a request, and if nobody is signed in.
    """
    if row.user_id is None:
        return {}
    proxies = config.TRUSTED_PROXIES
    address = meta.get("REMOTE_ADDR")
    if proxies:
        address = devices.client_ip(meta, proxies, config.CLIENT_IP_HEADER)
    # A shortcut for nearly every request. What the row has not recorded counts as unchanged.
    if row.ip_address in (None, address) and row.user_agent in (None, meta.get("HTTP_USER_AGENT")):
        return {}
    return devices.context_changes(vars(row), client_columns(meta))


def is_change_due(row: AbstractSession, meta: Meta, interval: timedelta, now: datetime) -> bool:
    """Return whether to record now that the context has changed, without waiting until a touch is due.

    True at most once per ``interval``, so that a phone that keeps switching between two networks does
    not write with every request.
    """
    last = row.context_changed_at
    if last is not None and not policy.is_last_seen_due(
        last_seen_at=last, interval=interval, now=now
    ):
        return False
    return bool(context_changes(row, meta))


def reauthentication_columns(row: AbstractSession, meta: Meta) -> Columns:
    """Return the column that makes the session require reauthentication, if the policy says so and the context changed.

    Empty if the column is set already: it is written once per authentication.
    """
    if config.CONTEXT_POLICY != "reauthenticate" or row.user_id is None:
        return {}
    if row.reauthentication_required or not context_changes(row, meta):
        return {}
    return {"reauthentication_required": True}


def activity_columns(row: AbstractSession, use: Use, now: datetime) -> Columns:
    """Return the columns that record a use: its time, its context, and that the client got its last refresh token."""
    confirmation = _confirmation_columns(row, use)
    return {"last_seen_at": now, **context_columns(row, use.meta, now), **confirmation}


def apply_context_policy(row: AbstractSession | None, use: Use) -> bool:
    """Apply ``SESSIONS_PLUS_CONTEXT_POLICY`` to the loaded row; return whether the session has to end.

    With "reauthenticate", this sets ``row.is_reauthentication_due`` in memory: that needs no write,
    and also works for requests that do not count as activity.
    """
    kind = config.CONTEXT_POLICY
    if kind == "notice" or row is None or use.is_authenticated_now:
        return False
    is_changed = bool(context_changes(row, use.meta))
    row.is_reauthentication_due = is_changed and kind == "reauthenticate"
    return is_changed and kind == "end"


def context_columns(row: AbstractSession, meta: Meta, now: datetime) -> Columns:
    """Return the columns for the IP address and user agent that changed, and the record of a context change."""
    client = changed_client_columns(row, meta)
    if not client or row.user_id is None:
        return client
    changes = devices.context_changes(vars(row), client)
    return {**client, **_change_columns(changes, now)} if changes else client


def client_columns(meta: Meta) -> Columns:
    """Return the IP address and user agent of the request, as far as settings allow to record them."""
    if meta is NO_META:
        return {}
    address = devices.client_ip(meta, config.TRUSTED_PROXIES, config.CLIENT_IP_HEADER)
    user_agent = meta.get("HTTP_USER_AGENT")
    return {
        "ip_address": devices.recorded_ip(address, config.RECORD_IP),
        "user_agent": devices.recorded_user_agent(user_agent, config.RECORD_USER_AGENT),
    }


def changed_client_columns(row: AbstractSession, meta: Meta) -> Columns:
    """Return the IP address and user agent of the request if they differ from the row.

    A value that the request does not have (a health check without a user agent) changes nothing.
    """
    known = {name: value for name, value in client_columns(meta).items() if value is not None}
    return {name: value for name, value in known.items() if getattr(row, name) != value}


def _confirmation_columns(row: AbstractSession, use: Use) -> Columns:
    """Return the column which records that the client got the answer to its last refresh, if this use shows it.

    It shows it if the access token was issued by that refresh or later. The column is only written
    with a touch that is due anyway. Until then, at most ``SESSIONS_PLUS_LAST_SEEN_INTERVAL``, a
    client with both the old refresh token and its attempt can repeat the refresh. The opposite
    mistake would be worse: it would end sessions of clients that never got the answer.
    """
    issued_at, refreshed_at = use.access_issued_at, row.refreshed_at
    if issued_at is None or refreshed_at is None or issued_at < int(refreshed_at.timestamp()):
        return {}
    # Not just True: a parallel refresh may have rotated again since.
    return {"confirmed_refreshed_at": refreshed_at}


def _change_columns(changes: dict[str, tuple[Any, Any]], now: datetime) -> Columns:
    """Return the columns that record a context change: its time, and the old values of what has changed."""
    columns = {f"previous_{name}": old for name, (old, _) in changes.items()}
    # The old values were recorded under earlier settings; the present ones may allow less.
    if "previous_ip_address" in columns:
        address = columns["previous_ip_address"]
        columns["previous_ip_address"] = devices.recorded_ip(address, config.RECORD_IP)
    mode = config.RECORD_USER_AGENT
    if "previous_user_agent" in columns and mode != "full":
        text = columns["previous_user_agent"]
        columns["previous_user_agent"] = devices.recorded_user_agent(text, mode)
    return {**NO_CONTEXT_CHANGE, "context_changed_at": now, **columns}
