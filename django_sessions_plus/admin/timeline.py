"""The story of one session, as far as its row knows it. What a later event overwrote is not made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, pgettext

from django_sessions_plus import devices, policy, wording
from django_sessions_plus.admin import cells
from django_sessions_plus.conf import config
from django_sessions_plus.policy import Access

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

# Two moments of one request.
_AT_ONCE = timedelta(seconds=2)


@dataclass(frozen=True)
class Event:
    """Something that happened, or will."""

    at: datetime
    what: str
    kind: str = ""
    """How it is marked: "active" or "ended"."""
    details: tuple[Any, ...] = ()


def events(session: AbstractSession, now: datetime, ended_by: Any = None) -> list[Event]:
    """Return what the row knows, the earliest first; ``ended_by`` is shown as who ended it."""
    life = sorted([*_beginning(session), *_use(session)], key=lambda event: event.at)
    return [*life, *_end(session, now, ended_by)]


def _beginning(session: AbstractSession) -> Iterator[Event]:
    signed_in = session.authenticated_at
    if signed_in is None:
        is_token = session.access == Access.TOKEN
        yield Event(
            session.created_at, gettext("Token issued") if is_token else gettext("Visit began")
        )
        return
    if signed_in - session.created_at <= _AT_ONCE:
        yield Event(signed_in, gettext("Signed in"), "active")
        return
    # Whether a visit began or somebody signed in the row does not know any more.
    yield Event(session.created_at, gettext("Session began"))
    yield Event(signed_in, gettext("Signed in, or confirmed the password"), "active")


def _use(session: AbstractSession) -> Iterator[Event]:
    if session.refresh_started_at is not None:
        yield Event(session.refresh_started_at, gettext("First refresh token issued"))
    if session.refreshed_at is not None:
        yield Event(session.refreshed_at, gettext("Refresh token last rotated"))
    if session.context_changed_at is not None:
        yield _elsewhere(session.context_changed_at, session)
    details = [cells.device(session.device)]
    if session.ip_address:
        details.append(session.ip_address)  # type: ignore[arg-type]
    yield Event(session.last_seen_at, gettext("Last seen"), details=tuple(details))


def _elsewhere(at: datetime, session: AbstractSession) -> Event:
    before = []
    if session.previous_user_agent:
        before.append(wording.device_name(devices.parse(session.previous_user_agent)))
    if session.previous_ip_address:
        before.append(session.previous_ip_address)
    details = (gettext("before: %(before)s") % {"before": ", ".join(before)},) if before else ()
    return Event(at, gettext("Used from another network or browser"), details=details)


def _end(session: AbstractSession, now: datetime, ended_by: Any) -> Iterator[Event]:
    if session.ended_at is not None:
        by = () if ended_by is None else (gettext("by %(person)s") % {"person": ended_by},)
        yield Event(
            session.ended_at, pgettext("session", "Ended"), "ended", (session.end_reason_label, *by)
        )
        return
    limit = policy.deadline(session.limited_from, config.ABSOLUTE_AGE)
    expires_at = policy.capped(session.expires_at, limit)
    if session.is_active(now):
        is_final = expires_at == limit
        what = (
            pgettext("session", "Expires")
            if is_final
            else gettext("Expires, unless it is used before")
        )
        yield Event(expires_at, what)
    else:
        yield Event(expires_at, pgettext("session", "Expired"), "expired")
