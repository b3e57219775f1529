"""Send the signals of a session and log its events, after the commit of the write."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.db import router
from django.dispatch import Signal

from django_sessions_plus import devices, events
from django_sessions_plus.backends.use import Columns, Use
from django_sessions_plus.backends.user_key import known_user
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.conf import config
from django_sessions_plus.signals import (
    send_after_commit,
    session_context_changed,
    session_ended,
    session_started,
)

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.base_session import AbstractSession

PendingSignal = tuple[Signal, dict[str, Any]]
"""A signal and its arguments, to send after the write."""


def pending_signal(row: AbstractSession, columns: Columns) -> PendingSignal | None:
    """Return the signal to send after ``columns`` are written to ``row``, and its arguments; None for none. No I/O."""
    if columns.get("user_id") is not None:
        return session_started, {}
    if columns.keys().isdisjoint(("ip_address", "user_agent")):
        return None
    if columns.get("user_id", row.user_id) is None or columns.get("authenticated_at") is not None:
        # No context change: nobody is signed in, or the user has just authenticated in the new context.
        return None
    changed = devices.context_changes(vars(row), columns)
    return (session_context_changed, {"changes": changed}) if changed else None


def send_pending(row: AbstractSession, pending: PendingSignal | None, use: Use, using: str) -> None:
    """Send the signal that ``pending_signal()`` returned before the write, if it returned one."""
    if pending is not None:
        signal, arguments = pending
        send(signal, row, use, using, **arguments)


def send(signal: Signal, row: AbstractSession, use: Use, using: str, **arguments: Any) -> None:
    """Log the event and send the signal, both after the commit of the transaction on ``using``, if one is running."""
    _log(signal, row, use, using, **arguments)
    model = type(row)
    if signal.has_listeners(model):
        arguments |= {"sender": model, "session": row, "user": user_of(row, use)}
        send_after_commit(signal, using=using, **arguments)


def user_of(row: AbstractSession, use: Use) -> Any:
    """Return the user of ``row``, by a query if necessary; None if there is none, or the query fails."""
    user = known_user(row, use)
    if user is not None:
        return user
    using = router.db_for_read(get_user_model())
    with best_effort("find the user of a session", using=using), suppress(ObjectDoesNotExist):
        return row.user
    return None


def _log(signal: Signal, row: AbstractSession, use: Use, using: str, **arguments: Any) -> None:
    fields: dict[str, Any] = {"session_id": row.pk, "user_id": row.user_id}
    if signal is session_started:
        event = events.SESSION_STARTED
        fields["transport"] = use.transport
    elif signal is session_ended:
        actor = arguments["actor"]
        event = events.SESSION_ENDED
        fields |= {"reason": arguments["reason"], "actor_id": getattr(actor, "pk", actor)}
    else:
        event = events.SESSION_CONTEXT_CHANGED
        fields |= {"changed": arguments["changes"], "policy": config.CONTEXT_POLICY}
    event.log_after_commit(using=using, **fields)
