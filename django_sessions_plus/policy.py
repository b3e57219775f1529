"""The rules of a session's life, as pure functions.

They take ``now`` and plain values, read no clock, no setting and no database,
and are therefore the same for both modes, for every engine, and in tests. The
queryset's ``active()`` says the first rule once more in SQL; a test holds them equal.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _

Expiry = datetime | str | int | None
"""What ``set_expiry`` leaves behind: a moment (perhaps in ISO form), idle seconds, or nothing."""

# Of an idle timeout, the largest part that may pass before activity moves the expiry.
# Without it a timeout shorter than the update age would never move at all.
LARGEST_UPDATE_SHARE = 5

# How long requests may be under way that a browser sent before it signed out.
SUCCESSION_WINDOW = timedelta(minutes=1)


class Status(StrEnum):
    """What a session is at a given moment."""

    ACTIVE = "active"
    ENDED = "ended"
    EXPIRED = "expired"


class EndReason(models.TextChoices):
    """Why a session stopped by act. Expiry is no act and has no reason."""

    SIGNED_OUT = "signed_out", _("signed out")
    REVOKED = "revoked", _("revoked")
    LIMIT = "limit", _("too many sessions")
    PASSWORD_CHANGED = "password_changed", _("password changed")
    USER_DEACTIVATED = "user_deactivated", _("user deactivated")
    USER_DELETED = "user_deleted", _("user deleted")


def deadline(authenticated_at: datetime | None, absolute_age: timedelta | None) -> datetime | None:
    """Return when the absolute timeout strikes; None where there is none (OWASP ASVS 5.0 7.3.2)."""
    if authenticated_at is None or absolute_age is None:
        return None
    return authenticated_at + absolute_age


def status(
    *,
    ended_at: datetime | None,
    expires_at: datetime,
    authenticated_at: datetime | None,
    absolute_age: timedelta | None,
    now: datetime,
) -> Status:
    """Judge a session: ended by act, expired by either timeout, or active."""
    if ended_at is not None:
        return Status.ENDED
    limit = deadline(authenticated_at, absolute_age)
    if expires_at <= now or (limit is not None and limit <= now):
        return Status.EXPIRED
    return Status.ACTIVE


def next_expiry(
    *, explicit: Expiry, idle_age: timedelta, limit: datetime | None, now: datetime
) -> datetime:
    """Return the expiry of a session that is used now.

    The absolute limit caps what ``set_expiry`` asked for, and that comes before
    the idle timeout. ``explicit`` of 0 is Django's "until the browser closes":
    the cookie's affair, the row still has its idle timeout.
    """
    if isinstance(explicit, str):
        explicit = datetime.fromisoformat(explicit)
    if isinstance(explicit, datetime):
        expiry = explicit
    else:
        expiry = now + (timedelta(seconds=explicit) if explicit else idle_age)
    return expiry if limit is None else min(expiry, limit)


def is_slide_due(
    *, updated_at: datetime, idle_age: timedelta, update_age: timedelta, now: datetime
) -> bool:
    """Tell whether use should move the expiry now, and not sooner than once per update age."""
    return now - updated_at >= min(update_age, idle_age / LARGEST_UPDATE_SHARE)


def is_last_seen_due(*, last_seen_at: datetime, interval: timedelta, now: datetime) -> bool:
    """Tell whether the time of last activity is old enough to be written again."""
    return now - last_seen_at >= interval


def is_fresh(*, authenticated_at: datetime | None, fresh_age: timedelta, now: datetime) -> bool:
    """Tell whether the person authenticated recently enough for a sensitive act (OWASP ASVS 5.0 7.5)."""
    return authenticated_at is not None and now - authenticated_at < fresh_age


def is_just_signed_out(reason: str, ended_at: datetime | None, now: datetime) -> bool:
    """Tell whether the browser itself gave the session up a moment ago, and may have signed in anew since."""
    if ended_at is None or reason != EndReason.SIGNED_OUT:
        return False
    return now - ended_at < SUCCESSION_WINDOW
