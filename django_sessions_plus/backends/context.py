"""Where a session is used from: what the request says of itself, and what is written where that changes.

Functions of the row, of ``request.META``, of settings and of the present moment. No I/O.
"""

from __future__ import annotations

from datetime import datetime
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
"""The columns of the last change of context, of a session that had none."""

PREVIOUS_CONTEXT = ("previous_ip_address", "previous_user_agent")
"""Those of them that no request needs, so that the engine does not read them with a row, and no cache has them."""


def context_changes(row: AbstractSession, meta: Meta) -> dict[str, tuple[Any, Any]]:
    """Return where the request comes from elsewhere than the row has recorded: ``{column: (old, new)}``.

    From another network or browser, as ``devices.context_changes()`` has it. Empty
    for a store without a request, and where nobody is signed in.
    """
    if row.user_id is None:
        return {}
    proxies = config.TRUSTED_PROXIES
    address = meta.get("REMOTE_ADDR")
    if proxies:
        address = devices.client_ip(meta, proxies, config.CLIENT_IP_HEADER)
    if address == row.ip_address and meta.get("HTTP_USER_AGENT") == row.user_agent:
        # Nearly every request, in a fraction of the time.
        return {}
    return devices.context_changes(vars(row), client_columns(meta))


def is_change_due(row: AbstractSession, meta: Meta, now: datetime) -> bool:
    """Return whether the session is used from elsewhere, and that has to be recorded without waiting for a touch.

    Once per ``SESSIONS_PLUS_LAST_SEEN_INTERVAL``, so that a phone that goes to and fro between
    two networks does not write with every request.
    """
    if row.user_id is None:
        return False
    interval, last = config.LAST_SEEN_INTERVAL, row.context_changed_at
    if last is not None and not policy.is_last_seen_due(
        last_seen_at=last, interval=interval, now=now
    ):
        return False
    return bool(context_changes(row, meta))


def reauthentication_columns(row: AbstractSession, meta: Meta) -> Columns:
    """Return what has the session ask for the password, if it is used from elsewhere.

    Once for each authentication, however often the context changes to and fro.
    """
    if config.CONTEXT_POLICY != "reauthenticate" or row.user_id is None:
        return {}
    is_noted = row.reauthentication_required or not context_changes(row, meta)
    return {} if is_noted else {"reauthentication_required": True}


def activity_columns(row: AbstractSession, use: Use, now: datetime) -> Columns:
    """Return what is written down of a use: when, and what is of where."""
    confirmation = _confirmation_columns(row, use)
    return {"last_seen_at": now, **context_columns(row, use.meta, now), **confirmation}


def apply_context_policy(row: AbstractSession | None, use: Use) -> bool:
    """Return whether the loaded session has to end, because the request comes from elsewhere.

    Where the policy asks for the password instead, that is noted of the row: in memory,
    so that it costs no write and holds for requests that do not count as activity.
    """
    kind = config.CONTEXT_POLICY
    if kind == "notice" or row is None or use.is_authenticated_now:
        return False
    is_elsewhere = bool(context_changes(row, use.meta))
    row.is_reauthentication_due = is_elsewhere and kind == "reauthenticate"
    return is_elsewhere and kind == "end"


def context_columns(row: AbstractSession, meta: Meta, now: datetime) -> Columns:
    """Return from where the session is used, and where it was before if that is elsewhere."""
    client = changed_client_columns(row, meta)
    changes = {} if row.user_id is None else devices.context_changes(vars(row), client)
    return {**client, **_change_columns(changes, now)} if changes else client


def client_columns(meta: Meta) -> Columns:
    """Return what the request said of its device, as far as recording is switched on."""
    if meta is NO_META:
        return {}
    address = devices.client_ip(meta, config.TRUSTED_PROXIES, config.CLIENT_IP_HEADER)
    user_agent = meta.get("HTTP_USER_AGENT")
    return {
        "ip_address": devices.recorded_ip(address, config.RECORD_IP),
        "user_agent": devices.recorded_user_agent(user_agent, config.RECORD_USER_AGENT),
    }


def changed_client_columns(row: AbstractSession, meta: Meta) -> Columns:
    """Return what of the device the row does not say yet.

    What a request does not tell (a health check without a user agent) changes nothing.
    """
    known = {name: value for name, value in client_columns(meta).items() if value is not None}
    return {name: value for name, value in known.items() if getattr(row, name) != value}


def _confirmation_columns(row: AbstractSession, use: Use) -> Columns:
    """Return what notes that the client has the answer to the last refresh, if it uses what that gave out.

    It is part of a touch that is due anyway. Until one is due, which takes no longer than
    ``SESSIONS_PLUS_LAST_SEEN_INTERVAL``, the refresh can still be repeated by whoever has
    both its token and its attempt. That is the safe way to be wrong: the other would end
    sessions of clients that never got the answer.
    """
    issued_at, refreshed_at = use.access_issued_at, row.refreshed_at
    if issued_at is None or refreshed_at is None or issued_at < int(refreshed_at.timestamp()):
        return {}
    # The rotation is named, for a parallel refresh may have made another one since.
    return {"confirmed_refreshed_at": refreshed_at}


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
