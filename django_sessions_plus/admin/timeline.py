"""The events of one session, as far as its row still shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, pgettext

from django_sessions_plus import devices, policy
from django_sessions_plus.policy import Access, Status
from django_sessions_plus.presentation import wording

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

# Times that differ by less belong to one request.
_AT_ONCE = timedelta(seconds=2)


@dataclass(frozen=True)
class TimelineEntry:
    """Something that happened in a session, or will happen."""

    at: datetime
    what: str
    kind: str = ""
    """How it is shown: "active" or "ended"."""
    details: tuple[Any, ...] = ()


def events(session: AbstractSession, now: datetime, ended_by: Any = None) -> list[TimelineEntry]:
    """Return the events of a session, the earliest first; ``ended_by`` is the user who ended it."""
    life = sorted([*_beginning(session), *_use(session)], key=lambda event: event.at)
    return [*life, *_end(session, now, ended_by)]


def _beginning(session: AbstractSession) -> Iterator[TimelineEntry]:
    signed_in = session.authenticated_at
    if signed_in is None:
        is_token = session.access == Access.TOKEN
        is_visit = session.user_id is None
        began = gettext("Visit began") if is_visit else gettext("Session began")
        yield TimelineEntry(session.created_at, gettext("Token issued") if is_token else began)
        return
    if signed_in - session.created_at <= _AT_ONCE:
        yield TimelineEntry(signed_in, gettext("Signed in"), "active")
        return
    # The row does not show any more whether it began with a sign-in.
    yield TimelineEntry(session.created_at, gettext("Session began"))
    yield TimelineEntry(signed_in, gettext("Signed in, or confirmed the password"), "active")


def _use(session: AbstractSession) -> Iterator[TimelineEntry]:
    if session.refresh_started_at is not None:
        yield TimelineEntry(session.refresh_started_at, gettext("First refresh token issued"))
    if session.refreshed_at is not None:
        yield TimelineEntry(session.refreshed_at, gettext("Refresh token last rotated"))
    if session.context_changed_at is not None:
        yield _context_change(session.context_changed_at, session)
    is_worth_telling = session.device.label or not session.name
    details = [wording.device_name(session.device)] if is_worth_telling else []
    if session.ip_address:
        details.append(session.ip_address)
    yield TimelineEntry(session.last_seen_at, gettext("Last seen"), details=tuple(details))


def _context_change(at: datetime, session: AbstractSession) -> TimelineEntry:
    before = []
    if session.previous_user_agent:
        before.append(wording.device_name(devices.parse(session.previous_user_agent)))
    if session.previous_ip_address:
        before.append(session.previous_ip_address)
    details = (gettext("before: %(before)s") % {"before": ", ".join(before)},) if before else ()
    return TimelineEntry(at, gettext("Used from another network or browser"), details=details)


def _end(session: AbstractSession, now: datetime, ended_by: Any) -> Iterator[TimelineEntry]:
    if session.status(now) is Status.ENDED and session.ended_at is not None:
        by = () if ended_by is None else (gettext("by %(person)s") % {"person": ended_by},)
        yield TimelineEntry(
            session.ended_at, pgettext("session", "Ended"), "ended", (session.end_reason_label, *by)
        )
        return
    limit = session.limited_until
    expires_at = policy.capped(session.expires_at, limit)
    if session.is_active(now):
        is_final = expires_at == limit
        what = (
            pgettext("session", "Expires")
            if is_final
            else gettext("Expires, unless it is used before")
        )
        yield TimelineEntry(expires_at, what)
    else:
        which = (session.end_reason_label,)
        yield TimelineEntry(expires_at, pgettext("session", "Expired"), "expired", which)
