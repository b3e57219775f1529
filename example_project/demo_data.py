"""The people of the demo and the devices they have used.

Writes rows directly, because the past cannot be signed in to. Nobody has the tokens of
these sessions: they are made, stored as digests, and thrown away.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.policy import EndReason


@dataclass(frozen=True)
class Person:
    """Somebody to sign in as."""

    username: str
    first_name: str
    password: str
    is_admin: bool


@dataclass(frozen=True)
class PastDevice:
    """A device that was used ``signed_in`` to ``last_seen`` ago; ``end_reason`` says how that stopped."""

    username: str
    user_agent: str
    ip_address: str
    signed_in: timedelta
    last_seen: timedelta
    remember: bool = True
    end_reason: str = ""
    ended_by: str = ""
    previous_ip_address: str | None = None
    """Where it was used from until half the time was over."""


PEOPLE = (
    Person("ada", "Ada", "analytical-engine-1843", is_admin=True),
    Person("grace", "Grace", "nanosecond-wire-1952", is_admin=False),
)

SAFARI_MACOS = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Safari/605.1.15"
)
SAFARI_IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)
SAFARI_IPAD = (
    "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1"
)
CHROME_ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36"
)
CHROME_CHROMEOS = (
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36"
)
EDGE_WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36 Edg/137.0.0.0"
)
FIREFOX_LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0"
CURL = "curl/8.14.1"

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# The addresses are those set aside for documentation (RFC 5737, RFC 3849). They also tell
# these rows from the sessions of whoever tries the demo.
PAST_DEVICES = (
    PastDevice("ada", SAFARI_MACOS, "192.0.2.17", 6 * DAY, 26 * MINUTE),
    PastDevice("ada", SAFARI_IPHONE, "2001:db8:4f2:1::9c", 19 * DAY, 3 * HOUR, previous_ip_address="192.0.2.17"),
    PastDevice("ada", CURL, "198.51.100.24", 2 * DAY, 20 * HOUR),
    PastDevice("ada", EDGE_WINDOWS, "203.0.113.80", 12 * DAY, 11 * DAY, remember=False),
    PastDevice("ada", FIREFOX_LINUX, "198.51.100.7", 9 * DAY, 3 * DAY, True, EndReason.SIGNED_OUT, "ada"),
    PastDevice("grace", FIREFOX_LINUX, "198.51.100.143", 4 * DAY, 50 * MINUTE),
    PastDevice("grace", CHROME_ANDROID, "203.0.113.21", 16 * DAY, 9 * HOUR),
    PastDevice("grace", SAFARI_IPAD, "2001:db8:77:a::2", 11 * DAY, 3 * DAY),
    PastDevice("grace", CHROME_CHROMEOS, "192.0.2.201", 20 * DAY, 12 * DAY),
    PastDevice("grace", EDGE_WINDOWS, "203.0.113.9", 8 * DAY, 2 * DAY, True, EndReason.REVOKED, "ada"),
    PastDevice("grace", SAFARI_MACOS, "192.0.2.66", 15 * DAY, 4 * DAY, True, EndReason.PASSWORD_CHANGED, "grace"),
    PastDevice("grace", CHROME_ANDROID, "2001:db8:77:b::5", 13 * DAY, 6 * DAY, True, EndReason.LIMIT),
)  # fmt: skip


def add() -> None:
    """Put people and past devices in place, as they were meant to be if they exist already.

    Sessions of those who are trying the demo stay, unless a password has to be put back.
    """
    # People first and on their own: a password that is put back ends the sessions there are at
    # its commit.
    with transaction.atomic():
        users = {person.username: _add_person(person) for person in PEOPLE}
    with transaction.atomic():
        model = sessions.session_model()
        addresses = [past.ip_address for past in PAST_DEVICES]
        model.objects.filter(user__in=users.values(), ip_address__in=addresses).delete()
        now = timezone.now()
        model.objects.bulk_create(_row(model, past, users, now) for past in PAST_DEVICES)


def _add_person(person: Person) -> Any:
    user_model: Any = get_user_model()
    user = user_model.objects.filter(username=person.username).first()
    if user is None:
        user = user_model(username=person.username, email=f"{person.username}@example.com")
    user.first_name = person.first_name
    user.is_active = True
    user.is_staff = user.is_superuser = person.is_admin
    if not user.check_password(person.password):
        user.set_password(person.password)
    user.save()
    return user


def _row(
    model: type[AbstractSession], past: PastDevice, users: dict[str, Any], now: datetime
) -> AbstractSession:
    signed_in, last_seen = now - past.signed_in, now - past.last_seen
    is_ended = past.end_reason != ""
    return model(
        id=_id_made_at(signed_in),
        token_digest=tokens.digest(tokens.make_token()),
        user=users[past.username],
        created_at=signed_in,
        authenticated_at=signed_in,
        updated_at=last_seen,
        last_seen_at=last_seen,
        expires_at=last_seen if is_ended else last_seen + _idle_age(past.remember),
        ip_address=past.ip_address,
        user_agent=past.user_agent,
        remember=past.remember,
        ended_at=last_seen if is_ended else None,
        end_reason=past.end_reason,
        ended_by=users.get(past.ended_by),
        context_changed_at=signed_in + (last_seen - signed_in) / 2
        if past.previous_ip_address
        else None,
        previous_ip_address=past.previous_ip_address,
    )


def _id_made_at(moment: datetime) -> UUID:
    """Return an id as it would have been made then: ids begin with their time and sort by it."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | tokens.make_id().int & (1 << 80) - 1)


def _idle_age(remember: bool) -> timedelta:
    return timedelta(seconds=settings.SESSION_COOKIE_AGE) if remember else config.UNREMEMBERED_AGE
