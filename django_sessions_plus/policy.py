"""The rules of a session's life, as pure functions.

They say when it is active, when its expiry slides, and when it is fresh. They take ``now`` and plain
values, and read no clock, no setting and no database. So they are the same for sync and async, for
every engine, and in tests. ``querysets.active_at()`` is the rule of ``status()`` in SQL; a test
compares the two.

Longer than other modules, because each rule says what it takes and why.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _

Expiry = datetime | int | None
"""What ``set_expiry()`` was given: a datetime, idle seconds, or None."""

# The stored expiry may be too early by at most this part (a fifth) of the idle timeout. With the
# update age alone, a timeout that is shorter than the update age would never slide.
LARGEST_UPDATE_SHARE = 5

# How much the clocks of the hosts that write one row may differ.
CLOCK_SKEW = timedelta(minutes=1)

_NO_TIME = timedelta(0)

# How long a request that the browser sent before it signed out may take to arrive.
SUCCESSION_WINDOW = timedelta(minutes=1)


# How the user agent of a browser begins, in upper or lower case, or how it ends if only the device
# was recorded (SESSIONS_PLUS_RECORD_USER_AGENT).
BROWSER_PREFIXES = ("Mozilla/", "Opera/")
BROWSER_SUFFIXES = (" (desktop)", " (phone)", " (tablet)")


class Status(StrEnum):
    """The state of a session at a given time."""

    ACTIVE = "active"
    ENDED = "ended"
    EXPIRED = "expired"


class EndReason(models.TextChoices):
    """Why a session was ended. A session that expired was not ended; see ``Timeout``."""

    SIGNED_OUT = "signed_out", _("signed out")
    REVOKED = "revoked", _("revoked")
    LIMIT = "limit", _("too many sessions")
    PASSWORD_CHANGED = "password_changed", _("password changed")
    USER_DEACTIVATED = "user_deactivated", _("user deactivated")
    USER_DELETED = "user_deleted", _("user deleted")
    REFRESH_REUSED = "refresh_reused", _("refresh token used again")
    CONTEXT_CHANGED = "context_changed", _("another network or browser")


class Timeout(models.TextChoices):
    """Which timeout a session has reached. The next purge records it as the end reason."""

    IDLE = "idle_timeout", _("idle timeout")
    ABSOLUTE = "absolute_timeout", _("absolute timeout")


class InactiveReason(StrEnum):
    """Why a session has ended or expired, as far as the holder of its token may know.

    Users who find themselves signed out should not have to guess why. But it says neither who ended
    the session, nor what was suspicious, nor anything about the state of the account, because
    sign-in does not reveal that either. See docs/security.md.
    """

    SIGNED_OUT = "signed_out"
    """Signed out with this session's own token, or replaced by another sign-in."""
    REVOKED = "revoked"
    """Ended from another device or by the staff; also every reason that is not listed here."""
    LIMIT = "limit"
    """There were more sessions than one user may have."""
    PASSWORD_CHANGED = "password_changed"
    SUSPICIOUS = "suspicious"
    """It looked as if somebody else used it."""
    EXPIRED = "expired"
    """It reached the idle or the absolute timeout."""


_SHOWN_REASONS: dict[str, InactiveReason] = {
    EndReason.SIGNED_OUT: InactiveReason.SIGNED_OUT,
    EndReason.LIMIT: InactiveReason.LIMIT,
    EndReason.PASSWORD_CHANGED: InactiveReason.PASSWORD_CHANGED,
    EndReason.REFRESH_REUSED: InactiveReason.SUSPICIOUS,
    EndReason.CONTEXT_CHANGED: InactiveReason.SUSPICIOUS,
    Timeout.IDLE: InactiveReason.EXPIRED,
    Timeout.ABSOLUTE: InactiveReason.EXPIRED,
}


class Access(models.TextChoices):
    """How a session is used, as far as its row shows; see ``access()``."""

    BROWSER = "browser", _("Browser")
    APP = "app", _("App or script")
    API = "api", _("API with refresh token")
    TOKEN = "token", _("Issued token")


def limited_from(
    *, user_id: object, authenticated_at: datetime | None, started_at: datetime
) -> datetime | None:
    """Return from when the absolute timeout counts: the authentication, or the start where none is known.

    None while nobody is signed in. An imported session has started at the import, which must sign nobody out.
    """
    return started_at if authenticated_at is None and user_id is not None else authenticated_at


def deadline(since: datetime | None, absolute_age: timedelta | None) -> datetime | None:
    """Return when the absolute timeout is reached; None if there is none (OWASP ASVS 5.0 7.3.2)."""
    if since is None or absolute_age is None:
        return None
    return since + absolute_age


def capped(expiry: datetime, limit: datetime | None) -> datetime:
    """Return the earlier of ``expiry`` and ``limit``; a ``limit`` of None sets none."""
    return expiry if limit is None else min(expiry, limit)


def status(
    *,
    ended_at: datetime | None,
    expires_at: datetime,
    since: datetime | None,
    absolute_age: timedelta | None,
    now: datetime,
    end_reason: str = "",
) -> Status:
    """Return whether a session is ended, expired or active; ``since`` is that of ``limited_from()``.

    A session that the purge has marked as expired has an ``ended_at`` too; its ``end_reason`` is a ``Timeout``.
    """
    if ended_at is not None:
        return Status.EXPIRED if end_reason in Timeout.values else Status.ENDED
    limit = deadline(since, absolute_age)
    if expires_at <= now or (limit is not None and limit <= now):
        return Status.EXPIRED
    return Status.ACTIVE


def timeout(
    *, expires_at: datetime, since: datetime | None, absolute_age: timedelta | None
) -> Timeout:
    """Return which timeout sets the expiry of a session: the absolute one if that allows no later expiry.

    The row does not record which timeouts were configured when its expiry was set, so today's decide.
    A datetime given to ``set_expiry()`` counts as idle timeout.
    """
    limit = deadline(since, absolute_age)
    return Timeout.IDLE if limit is None or expires_at < limit else Timeout.ABSOLUTE


def next_expiry(
    *, explicit: Expiry, idle_age: timedelta, limit: datetime | None, now: datetime
) -> datetime:
    """Return the expiry of a session that is used now.

    ``explicit`` is what ``set_expiry()`` was given; it overrides the idle timeout, and ``limit`` (the
    absolute timeout) caps both. An ``explicit`` of 0 is Django's "until the browser closes": it only
    affects the cookie, and the row still has its idle timeout.
    """
    if isinstance(explicit, datetime):
        expiry = explicit
    else:
        expiry = now + (timedelta(seconds=explicit) if explicit else idle_age)
    return capped(expiry, limit)


def is_slide_due(
    *, expires_at: datetime, next_expiry: datetime, update_age: timedelta, now: datetime
) -> bool:
    """Return whether using the session now moves its expiry from ``expires_at`` to ``next_expiry``.

    Only the difference between the two counts, not when the expiry was last moved, because the
    timeout may have been changed since. A later expiry is written once the difference is the update
    age, or a fifth of the time until ``next_expiry``. An earlier one, of a shortened timeout, is
    written at once.
    """
    gain = next_expiry - expires_at
    share = (next_expiry - now) / LARGEST_UPDATE_SHARE
    if gain < _NO_TIME:
        # A host whose clock is a little slow must not undo the slide of another host.
        return -gain > min(CLOCK_SKEW, share)
    return gain >= min(update_age, share)


def is_too_early_to_slide(
    *,
    moved_at: datetime,
    expires_at: datetime,
    idle_age: timedelta,
    update_age: timedelta,
    now: datetime,
) -> bool:
    """Return whether ``is_slide_due()`` is surely False, because the same idle timeout moved the expiry a moment ago.

    For nearly every request this saves the rest. It does not look at the absolute timeout.
    """
    if expires_at - moved_at != idle_age:
        return False
    return now - moved_at < min(update_age, idle_age / LARGEST_UPDATE_SHARE)


def may_lengthen(*, started_by: str, used_by: str) -> bool:
    """Return whether using a session by one transport may move its expiry, if it started by another.

    A cookie and a bearer token hold the same session token. A pair of JWTs does not: the device that
    holds it must not keep the session of a browser alive that nobody uses any more.
    """
    return used_by != "jwt" or started_by == "jwt"


def is_last_seen_due(*, last_seen_at: datetime, interval: timedelta, now: datetime) -> bool:
    """Return whether the time of last activity is old enough to be written again."""
    return now - last_seen_at >= interval


def is_fresh(*, authenticated_at: datetime | None, fresh_age: timedelta, now: datetime) -> bool:
    """Return whether the user authenticated recently enough for a sensitive action (OWASP ASVS 5.0 7.5)."""
    return authenticated_at is not None and now - authenticated_at < fresh_age


def inactive_reason(*, end_reason: str, ended_at: datetime | None) -> InactiveReason:
    """Return why a session has ended or expired, as far as the holder of its token may know."""
    if ended_at is None:
        return InactiveReason.EXPIRED
    return _SHOWN_REASONS.get(end_reason, InactiveReason.REVOKED)


def is_just_signed_out(reason: str, ended_at: datetime | None, now: datetime) -> bool:
    """Return whether the session was signed out a moment ago: the browser may have signed in again since."""
    if ended_at is None or reason != EndReason.SIGNED_OUT:
        return False
    return now - ended_at < SUCCESSION_WINDOW


def access(
    *,
    user_id: object,
    authenticated_at: datetime | None,
    imported_at: datetime | None,
    refresh_started_at: datetime | None,
    user_agent: str | None,
) -> Access:
    """Return how a session is used; ``querysets.used_by()`` is the same rule in SQL.

    Nobody has authenticated in the session of an issued token; when somebody did in an imported session is
    only not known. A cookie and a bearer token open the
    same session, so only the user agent shows the difference. Without one, a session counts as a
    browser's, because most are.
    """
    if user_id is not None and authenticated_at is None and imported_at is None:
        return Access.TOKEN
    if refresh_started_at is not None:
        return Access.API
    text = (user_agent or BROWSER_PREFIXES[0]).lower()
    prefixes = tuple(prefix.lower() for prefix in BROWSER_PREFIXES)
    is_browser = text.startswith(prefixes) or text.endswith(BROWSER_SUFFIXES)
    return Access.BROWSER if is_browser else Access.APP
