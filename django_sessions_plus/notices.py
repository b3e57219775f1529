"""Whether a sign-in came from a device that is new to the person, and the e-mail that says so.

Nothing here can break a sign-in: it happens after the commit, and what fails is logged.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone, translation

from django_sessions_plus import devices, events, wording
from django_sessions_plus.attempts import wait_after
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.events import logger
from django_sessions_plus.signals import new_device_signed_in

# How many of a person's rows are looked at: those that expire or ended last.
RECENT = 200

_TEMPLATES = "django_sessions_plus/email/new_device"
# What may stand in an e-mail as the name of a device. It comes from the user agent, so nothing
# that a mail program would make a link of.
_NAMEABLE = re.compile(r"[A-Za-z0-9 +_-]{1,60}")

# Of a sign-in: the browser, the system, the network; None where it is not known.
Features = tuple[str | None, str | None, str | None]


def notice_new_device(session: AbstractSession, user: Any, **kwargs: Any) -> None:
    """Report a sign-in from a browser, system and network that are new to the user in this combination.

    One query, and only if ``new_device_signed_in`` has receivers or the e-mail is on. Of parallel
    sign-ins that are new in the same way at least one is reported, and possibly each.
    """
    model = type(session)
    if not (config.NEW_DEVICE_EMAIL or new_device_signed_in.has_listeners(model)):
        return
    if not is_new_device(session):
        return
    events.NEW_DEVICE_SIGNED_IN.log(session_id=session.pk, user_id=session.user_id)
    new_device_signed_in.send_robust(sender=model, session=session, user=user)
    if config.NEW_DEVICE_EMAIL:
        send_email(session, user)


def is_new_device(session: AbstractSession) -> bool:
    """Tell whether the user has signed in before, as far as rows show, but never from such a device. One query.

    At most ``RECENT`` rows are compared, as far back as they are retained. A part that was not
    recorded, now or then, makes no difference; but a sign-in that reveals nothing is like no other.
    """
    if config.RECORD_IP == config.RECORD_USER_AGENT == "off":
        return False
    mine = _features(session.user_agent, session.ip_address)
    known = [each for each in _earlier(session) if any(each)]
    is_like_one = any(mine) and any(_is_like(mine, each) for each in known)
    return bool(known) and not is_like_one


def _earlier(session: AbstractSession) -> list[Features]:
    rows = type(session).objects.using(session._state.db).for_user(session.user_id)
    # By the index that also serves a person's live sessions.
    recent = rows.order_by("-expires_at").values_list(
        "authenticated_at", "created_at", "pk", "user_agent", "ip_address"
    )[:RECENT]
    # Who signs in at the same moment must not take each other for somebody known.
    mine = _started(session.authenticated_at, session.created_at), session.pk
    return [
        _features(user_agent, address)
        for authenticated_at, created_at, key, user_agent, address in recent
        if (_started(authenticated_at, created_at), key) < mine
    ]


def _started(authenticated_at: datetime | None, created_at: datetime) -> datetime:
    return authenticated_at or created_at


def _features(user_agent: str | None, address: str | None) -> Features:
    network = devices.network_of(address) if address else None
    if not user_agent:
        return None, None, network
    return devices.browser_of(user_agent), devices.parse(user_agent).os, network


def _is_like(one: Features, other: Features) -> bool:
    return all(
        mine is None or theirs is None or mine == theirs
        for mine, theirs in zip(one, other, strict=True)
    )


def send_email(session: AbstractSession, user: Any) -> bool:
    """Send the user an e-mail about this sign-in; return whether it was sent. Never raises.

    Nothing is sent to a user without an address, nor beyond ``SESSIONS_PLUS_NEW_DEVICE_EMAIL_RATE``.
    A failure is logged as ``new_device_email_failed``.
    """
    try:
        message = email_about(session, user)
        if message is None:
            return False
        rate = config.NEW_DEVICE_EMAIL_RATE
        if wait_after("new-device-email", str(session.user_id), rate) is not None:
            _log_failure(session, "throttled")
            return False
        return message.send() == 1
    except Exception as error:  # noqa: BLE001 - a sign-in must not fail because a letter did
        # Whatever a mail server, a template or a hook of the project does. What the server says
        # may hold the address, so only who looks for a fault gets to see it.
        logger.debug("The e-mail about a new device could not be sent.", exc_info=True)
        _log_failure(session, type(error).__name__)
        return False


def _log_failure(session: AbstractSession, error: str) -> None:
    events.NEW_DEVICE_EMAIL_FAILED.log(session_id=session.pk, user_id=session.user_id, error=error)


def email_about(session: AbstractSession, user: Any) -> EmailMultiAlternatives | None:
    """Return the e-mail about this sign-in, in the user's language; None if the user has no address.

    It contains no id, no token, no image, and nothing from the request's headers but what the
    session recorded. The templates receive texts and a time, but no objects.
    """
    to = getattr(user, _email_field(user), None)
    if not to:
        return None
    with translation.override(_language_of(user)), timezone.override(_site_zone()):
        context = _context(session, user)
        subject, text, html = (
            render_to_string(f"{_TEMPLATES}{end}", context)
            for end in ("_subject.txt", ".txt", ".html")
        )
    message = EmailMultiAlternatives(
        # A template ends in a new line, and a header has none.
        subject=" ".join(subject.split()),
        body=text.strip() + "\n",
        to=[to],
        # RFC 3834 section 5: nobody's absence is to answer it.
        headers={"Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(html, "text/html")
    return message


def _context(session: AbstractSession, user: Any) -> dict[str, Any]:
    label = session.device.label
    return {
        "name": user.get_username(),
        "device": wording.device_name(session.device) if _NAMEABLE.fullmatch(label) else "",
        "ip_address": session.ip_address or "",
        "moment": _started(session.authenticated_at, session.created_at),
        # Not from the request: whoever signs in chooses its Host header.
        "devices_url": config.DEVICES_URL or "",
    }


def _email_field(user: Any) -> str:
    find = getattr(type(user), "get_email_field_name", None)
    return "email" if find is None else str(find())


def _language_of(user: Any) -> str:
    """Return the person's language if the site has it, else the site's; never that of whoever signs in."""
    wanted = config.user_language(user) or settings.LANGUAGE_CODE
    try:
        return translation.get_supported_language_variant(wanted)
    except LookupError:
        return settings.LANGUAGE_CODE


def _site_zone() -> Any:
    return timezone.get_default_timezone() if settings.USE_TZ else None
