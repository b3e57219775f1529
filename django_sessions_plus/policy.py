"""The rules of a session's life, as pure functions.

They take ``now`` and plain values, read no clock, no setting and no database, and are therefore
the same in both modes, for every engine, and in tests. ``querysets.active_at()`` states the rule of
``status()`` once more in SQL; a test holds them equal.
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

# How long requests may be under way that the browser sent before it signed out.
SUCCESSION_WINDOW = timedelta(minutes=1)


# How the user agent of a browser begins, in upper or lower case, or how it ends if it was recorded
# as a device (SESSIONS_PLUS_RECORD_USER_AGENT).
BROWSER_PREFIXES = ("Mozilla/", "Opera/")
BROWSER_SUFFIXES = (" (desktop)", " (phone)", " (tablet)")


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
    REFRESH_REUSED = "refresh_reused", _("refresh token used again")
    CONTEXT_CHANGED = "context_changed", _("another network or browser")


class OverReason(StrEnum):
    """Why a session is over, in the few words that the holder of its token may know.

    The token let its holder in, and users who find themselves signed out should not have to guess.
    It says no more than that: not who ended the session, not what raised a suspicion, and nothing
    of the account's state, which sign-in does not reveal either. docs/security.md has the reasons.
    """

    SIGNED_OUT = "signed_out"
    """Signed out with this session's own token, or a sign-in took its place."""
    REVOKED = "revoked"
    """Ended from another device or by the staff; also for any reason not listed here."""
    LIMIT = "limit"
    """There were more sessions than one person may have."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a reason
    SUSPICIOUS = "suspicious"
    """It was used as if by somebody else."""
    EXPIRED = "expired"
    """It reached the idle or the absolute timeout."""


_TOLD_OF: dict[str, OverReason] = {
    EndReason.SIGNED_OUT: OverReason.SIGNED_OUT,
    EndReason.LIMIT: OverReason.LIMIT,
    EndReason.PASSWORD_CHANGED: OverReason.PASSWORD_CHANGED,
    EndReason.REFRESH_REUSED: OverReason.SUSPICIOUS,
    EndReason.CONTEXT_CHANGED: OverReason.SUSPICIOUS,
}


class Access(models.TextChoices):
    """How a session is used, as far as its row can tell; ``access()`` decides."""

    BROWSER = "browser", _("Browser")
    APP = "app", _("App or script")
    API = "api", _("API with refresh token")
    TOKEN = "token", _("Issued token")


def limited_from(
    *, user_id: object, authenticated_at: datetime | None, created_at: datetime
) -> datetime | None:
    """Return from when the absolute timeout counts: the authentication, or the start where nobody authenticated.

    None while nobody is signed in.
    """
    return created_at if authenticated_at is None and user_id is not None else authenticated_at


def deadline(since: datetime | None, absolute_age: timedelta | None) -> datetime | None:
    """Return when the absolute timeout is reached; None if there is none (OWASP ASVS 5.0 7.3.2)."""
    if since is None or absolute_age is None:
        return None
    return since + absolute_age


def capped(expiry: datetime, limit: datetime | None) -> datetime:
    """Return ``expiry``, or ``limit`` where that comes first; None sets no limit."""
    return expiry if limit is None else min(expiry, limit)


def status(
    *,
    ended_at: datetime | None,
    expires_at: datetime,
    since: datetime | None,
    absolute_age: timedelta | None,
    now: datetime,
) -> Status:
    """Judge a session: ended by act, expired by either timeout, or active; see ``limited_from()`` for ``since``."""
    if ended_at is not None:
        return Status.ENDED
    limit = deadline(since, absolute_age)
    if expires_at <= now or (limit is not None and limit <= now):
        return Status.EXPIRED
    return Status.ACTIVE


def next_expiry(
    *, explicit: Expiry, idle_age: timedelta, limit: datetime | None, now: datetime
) -> datetime:
    """Return the expiry of a session that is used now.

    ``explicit`` is what ``set_expiry()`` stored; it overrides the idle timeout, and ``limit`` (the
    absolute timeout) caps both. An ``explicit`` of 0 is Django's "until the browser closes": that
    concerns the cookie, and the row still has its idle timeout.
    """
    if isinstance(explicit, str):
        explicit = datetime.fromisoformat(explicit)
    if isinstance(explicit, datetime):
        expiry = explicit
    else:
        expiry = now + (timedelta(seconds=explicit) if explicit else idle_age)
    return capped(expiry, limit)


def is_slide_due(
    *, updated_at: datetime, idle_age: timedelta, update_age: timedelta, now: datetime
) -> bool:
    """Tell whether using the session moves its expiry now: once per update age, or fifth of the idle timeout."""
    return now - updated_at >= min(update_age, idle_age / LARGEST_UPDATE_SHARE)


def is_last_seen_due(*, last_seen_at: datetime, interval: timedelta, now: datetime) -> bool:
    """Tell whether the time of last activity is old enough to be written again."""
    return now - last_seen_at >= interval


def is_fresh(*, authenticated_at: datetime | None, fresh_age: timedelta, now: datetime) -> bool:
    """Tell whether the person authenticated recently enough for a sensitive act (OWASP ASVS 5.0 7.5)."""
    return authenticated_at is not None and now - authenticated_at < fresh_age


def over_reason(*, end_reason: str, ended_at: datetime | None) -> OverReason:
    """Return why a session is over, as far as the holder of its token may know."""
    if ended_at is None:
        return OverReason.EXPIRED
    return _TOLD_OF.get(end_reason, OverReason.REVOKED)


def is_just_signed_out(reason: str, ended_at: datetime | None, now: datetime) -> bool:
    """Tell whether the session was signed out a moment ago, so that the browser may have signed in again since."""
    if ended_at is None or reason != EndReason.SIGNED_OUT:
        return False
    return now - ended_at < SUCCESSION_WINDOW


def access(
    *,
    user_id: object,
    authenticated_at: datetime | None,
    refresh_started_at: datetime | None,
    user_agent: str | None,
) -> Access:
    """Tell how a session is used; ``querysets.used_by()`` is its twin in SQL.

    In the session of an issued token nobody has authenticated. Cookies and bearer tokens open the
    same session, so the rest can only be told apart by the user agent. Without one a session counts
    as a browser's, which most are.
    """
    if user_id is not None and authenticated_at is None:
        return Access.TOKEN
    if refresh_started_at is not None:
        return Access.API
    text = (user_agent or BROWSER_PREFIXES[0]).lower()
    prefixes = tuple(prefix.lower() for prefix in BROWSER_PREFIXES)
    is_browser = text.startswith(prefixes) or text.endswith(BROWSER_SUFFIXES)
    return Access.BROWSER if is_browser else Access.APP
