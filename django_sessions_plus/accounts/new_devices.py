"""Whether a sign-in came from a device that the user has not used before, and the e-mail about it.

Nothing here can break a sign-in: it runs after the commit, and failures are logged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.utils import timezone, translation

from django_sessions_plus import devices, events
from django_sessions_plus.accounts.attempts import wait_after
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.conf import callables, config
from django_sessions_plus.events import logger
from django_sessions_plus.presentation import wording
from django_sessions_plus.signals import new_device_signed_in

# How many of a user's rows are compared: those with the latest expires_at.
RECENT = 200

_NEW_DEVICE = "django_sessions_plus/email/new_device"
_TOKEN_ISSUED = "django_sessions_plus/email/token_issued"
# Names of devices that an e-mail may contain. The client chooses the user agent, and must not be
# able to put a link into our e-mails.
_NAMEABLE = re.compile(r"[A-Za-z0-9 +_-]{1,60}")
# Names of tokens that an e-mail may contain; an operator chose them.
_NAMEABLE_TOKEN = re.compile(r"[\w ()+-]+")

# Browser, operating system and network of a sign-in; None where unknown.
Features = tuple[str | None, str | None, str | None]


def report_new_device(session: AbstractSession, user: Any, **kwargs: Any) -> None:
    """Report a sign-in from a browser, system and network that are new to the user in this combination.

    One query, and only if ``new_device_signed_in`` has receivers or the e-mail is on. Of parallel
    sign-ins from the same new device at least one is reported, perhaps each. Never raises: failures
    are logged.
    """
    with best_effort("look for a new device", using=session._state.db):
        _report_new_device(session, user)


def _report_new_device(session: AbstractSession, user: Any) -> None:
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
    """Return whether the user has signed in before, but never from such a device, as far as rows show. One query.

    At most ``RECENT`` retained rows are compared. A feature that was not recorded, now or then,
    counts as equal; but a sign-in without any known feature equals no other.
    """
    if config.RECORD_IP == config.RECORD_USER_AGENT == "off":
        return False
    mine = _features(session.user_agent, session.ip_address)
    known = [each for each in _earlier(session) if any(each)]
    is_like_one = any(mine) and any(_is_like(mine, each) for each in known)
    return bool(known) and not is_like_one


def _earlier(session: AbstractSession) -> list[Features]:
    rows = type(session).objects.using(session._state.db).for_user(session.user_id)
    # This order uses the index for a user's active sessions.
    recent = rows.order_by("-expires_at").values_list(
        "authenticated_at", "created_at", "pk", "user_agent", "ip_address"
    )[:RECENT]
    # Otherwise two sign-ins at the same time would each find the other, and none would be reported.
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

    Nothing is sent to a user without an address, nor beyond ``SESSIONS_PLUS_RATES``.
    A failure is logged as ``new_device_email_failed``.
    """
    try:
        message = email_about(session, user)
        if message is None:
            return False
        rate = config.rate("email")
        if wait_after("new-device-email", str(session.user_id), rate) is not None:
            _log_failure(session, "throttled")
            return False
        return message.send() == 1
    except Exception as error:  # noqa: BLE001 - a sign-in must not fail because an e-mail did
        # A mail server, a template or a hook of the project may raise anything. The server's message may
        # contain the address, so the traceback is logged at level DEBUG only.
        logger.debug("The e-mail about a new device could not be sent.", exc_info=True)
        _log_failure(session, type(error).__name__)
        return False


def _log_failure(session: AbstractSession, error: str) -> None:
    events.NEW_DEVICE_EMAIL_FAILED.log(session_id=session.pk, user_id=session.user_id, error=error)


def email_about(session: AbstractSession, user: Any) -> EmailMultiAlternatives | None:
    """Return the e-mail about this sign-in, in the user's language; None if the user has no address.

    It contains no id, no token and no image, and of the request's headers only what the session
    recorded. The templates receive texts and a time, but no model instances.
    """
    # A session that was started for a token has no authenticated_at.
    templates = _TOKEN_ISSUED if session.authenticated_at is None else _NEW_DEVICE
    return message_to(user, templates, lambda: _context(session, user))


def message_to(
    user: Any, templates: str, make_context: Callable[[], dict[str, Any]]
) -> EmailMultiAlternatives | None:
    """Return an e-mail to the user, in the user's language; None if the user has no address.

    ``templates`` is the path of its three templates without their extensions. ``make_context`` is
    called with the user's language active.
    """
    to = getattr(user, _email_field(user), None)
    if not to:
        return None
    with translation.override(_language_of(user)), timezone.override(_site_zone()):
        context = make_context()
        subject, text, html = (
            render_to_string(f"{templates}{end}", context)
            for end in ("_subject.txt", ".txt", ".html")
        )
    message = EmailMultiAlternatives(
        # A template ends with a newline, which a header must not contain.
        subject=" ".join(subject.split()),
        body=text.strip() + "\n",
        to=[to],
        # RFC 3834 section 5: prevents automatic replies.
        headers={"Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(html, "text/html")
    return message


def _context(session: AbstractSession, user: Any) -> dict[str, Any]:
    # Mail programs would turn a version, which has dots, into a link.
    device = replace(session.device, version="")
    name = wording.device_name(device) if device.label else ""
    return {
        **site_context(user),
        "device": name if _NAMEABLE.fullmatch(f"{device.browser} {device.os}") else "",
        "ip_address": session.ip_address or "",
        "moment": _started(session.authenticated_at, session.created_at),
        "token_name": session.name if _NAMEABLE_TOKEN.fullmatch(session.name) else "",
    }


def site_context(user: Any) -> dict[str, Any]:
    """Return the context of every e-mail: the user's name, the site, and the URLs of its pages."""
    return {
        "name": user.get_username(),
        # Not from the request: the client chooses its Host header.
        "site": config.SITE_NAME or urlsplit(config.DEVICES_URL or "").hostname or "",
        "devices_url": config.DEVICES_URL or "",
        "password_url": _password_url(),
    }


def _password_url() -> str:
    """Return the full URL of the page for a new password; empty if there is none, or its host is unknown."""
    if config.PASSWORD_URL is None:
        return ""
    url = urljoin(config.DEVICES_URL or "", resolve_url(config.PASSWORD_URL))
    return url if urlsplit(url).netloc else ""


def _email_field(user: Any) -> str:
    find = getattr(type(user), "get_email_field_name", None)
    return "email" if find is None else str(find())


def _language_of(user: Any) -> str:
    """Return the user's language if the site has it, else the site's; never that of the request."""
    wanted = callables.user_language(user) or settings.LANGUAGE_CODE
    try:
        return translation.get_supported_language_variant(wanted)
    except LookupError:
        return settings.LANGUAGE_CODE


def _site_zone() -> Any:
    return timezone.get_default_timezone() if settings.USE_TZ else None
