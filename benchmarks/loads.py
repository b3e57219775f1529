"""Fill a contender's database: the same users, and for each session the same data.

Runs in a worker process, after the site's settings are in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from importlib import import_module
from itertools import islice
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from benchmarks import keys
from benchmarks.config import Sizes
from django_sessions_plus import tokens

BATCH = 2_000
# Stored databases are used again for months; nothing in them must end by itself.
_FAR = timedelta(days=3650)


def fill(load: str, sizes: Sizes) -> None:
    """Create the tables and everything in them."""
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
    with transaction.atomic():
        insert_users(sizes)
        for label, rows in LOADS[load](sizes):
            _insert(label, rows)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
        elif connection.vendor == "sqlite":
            cursor.execute("ANALYZE")


def insert_users(sizes: Sizes) -> None:
    """Create the users."""
    _insert("auth.User", _users(sizes))


def refresh(numbers: Iterable[int], *, always_due: bool) -> None:
    """Make this project's sessions in use appear as just seen; the absolute timeout starts anew.

    An hour ahead, so that none falls due during a run: what a request costs whose session is
    due is a contender of its own.
    """
    now = timezone.now()
    moment = now + (timedelta(days=-2) if always_due else timedelta(hours=1))
    digests = [tokens.digest(keys.session_token(number)) for number in numbers]
    rows = apps.get_model("django_sessions_plus.Session").objects.filter(token_digest__in=digests)
    rows.update(
        updated_at=moment,
        last_seen_at=moment,
        authenticated_at=now,
        # Not ahead: that would be a timeout that was shortened, which is due at once.
        expires_at=min(moment, now) + timedelta(days=14),
    )


def session_data(user: Any) -> dict[str, Any]:
    """Return what a session of ``user`` holds."""
    return {
        "_auth_user_id": str(user.pk),
        "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
        "_auth_user_hash": user.get_session_auth_hash(),
        "n": 0,
        "locale": "en",
        "recently_viewed": [user.pk, user.pk + 1, user.pk + 2],
    }


Rows = Iterator[tuple[str, Iterator[dict[str, Any]]]]


def _users(sizes: Sizes) -> Iterator[dict[str, Any]]:
    for number in range(1, sizes.users + 1):
        yield {
            "pk": number,
            "username": f"user{number}",
            "email": f"user{number}@example.com",
            # As long as a real one; nobody signs in by it.
            "password": f"pbkdf2_sha256$1000000$salt{number:018}${'x' * 43}=",
        }


def _django(sizes: Sizes) -> Rows:
    yield "sessions.Session", _classic_sessions(sizes, "expire_date")


def _user_sessions(sizes: Sizes) -> Rows:
    client = {"ip": keys.ADDRESS, "user_agent": keys.USER_AGENT}
    yield "user_sessions.Session", _classic_sessions(sizes, "expire_date", client)


def _qsessions(sizes: Sizes) -> Rows:
    package = import_module("qsessions")
    client = {"ip": keys.ADDRESS, "user_agent": keys.USER_AGENT, "created_at": timezone.now()}
    # It keeps the device in the data as well, and saves every session that lacks it.
    data = {
        package.IP_SESSION_KEY: keys.ADDRESS,
        package.USER_AGENT_SESSION_KEY: keys.USER_AGENT,
    }
    yield "qsessions.Session", _classic_sessions(sizes, "expire_date", client, data)


def _allauth(sizes: Sizes) -> Rows:
    yield from _django(sizes)
    yield "usersessions.UserSession", _tracked(sizes)


def _tracked(sizes: Sizes) -> Iterator[dict[str, Any]]:
    for number in range(sizes.sessions):
        yield {
            "user_id": keys.user_key(number, sizes.users),
            "session_key": keys.session_token(number),
            "ip": keys.ADDRESS,
            "user_agent": keys.USER_AGENT,
        }


def _plus(sizes: Sizes) -> Rows:
    yield "django_sessions_plus.Session", _plus_sessions(sizes)


def _plus_sessions(sizes: Sizes) -> Iterator[dict[str, Any]]:
    now = timezone.now()
    for number, user, text in _texts(sizes):
        yield {
            "token_digest": tokens.digest(keys.session_token(number)),
            "user_id": user,
            "session_data": text,
            "created_at": now,
            "authenticated_at": now,
            "expires_at": now + _FAR,
            "ip_address": keys.ADDRESS,
            "user_agent": keys.USER_AGENT,
        }


def _token(sizes: Sizes) -> Rows:
    yield "authtoken.Token", _tokens(sizes)


def _tokens(sizes: Sizes) -> Iterator[dict[str, Any]]:
    for user in range(1, sizes.users + 1):
        yield {"key": keys.session_token(user), "user_id": user}


def _knox(sizes: Sizes) -> Rows:
    yield "knox.AuthToken", _knox_tokens(sizes)


def _knox_tokens(sizes: Sizes) -> Iterator[dict[str, Any]]:
    hash_token = import_module("knox.crypto").hash_token
    length = import_module("knox.settings").CONSTANTS.TOKEN_KEY_LENGTH
    for number in range(sizes.sessions):
        token = keys.session_token(number) * 2
        yield {
            "digest": hash_token(token),
            "token_key": token[:length],
            "user_id": keys.user_key(number, sizes.users),
            "expiry": timezone.now() + _FAR,
        }


def _simplejwt(sizes: Sizes) -> Rows:
    now = timezone.now()
    yield "token_blacklist.OutstandingToken", _outstanding(sizes, now)
    # Every fifth was revoked; none of those that are asked for, whose ids are others.
    revoked = ({"token_id": number} for number in range(1, sizes.sessions, 5))
    yield "token_blacklist.BlacklistedToken", revoked


def _outstanding(sizes: Sizes, now: datetime) -> Iterator[dict[str, Any]]:
    for number in range(sizes.sessions):
        yield {
            "pk": number + 1,
            "user_id": keys.user_key(number, sizes.users),
            "jti": keys.session_token(number),
            "token": keys.session_token(number) * 6,
            "expires_at": now + _FAR,
        }


LOADS: dict[str, Callable[[Sizes], Rows]] = {
    "django": _django,
    "user_sessions": _user_sessions,
    "qsessions": _qsessions,
    "allauth": _allauth,
    "plus": _plus,
    "token": _token,
    "knox": _knox,
    "simplejwt": _simplejwt,
}


def _classic_sessions(
    sizes: Sizes,
    expiry: str,
    columns: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    ends = timezone.now() + _FAR
    for number, user, text in _texts(sizes, data):
        row = {"session_key": keys.session_token(number), "session_data": text, expiry: ends}
        if columns is not None:
            row |= columns | {"user_id": user}
        yield row


def _texts(sizes: Sizes, more: dict[str, Any] | None = None) -> Iterator[tuple[int, int, str]]:
    """Yield number, user and encoded data of each session."""
    encode = import_module(settings.SESSION_ENGINE).SessionStore().encode
    of_user = {
        user.pk: encode(session_data(user) | (more or {}))
        for user in apps.get_model("auth.User").objects.all()
    }
    for number in range(sizes.sessions):
        user = keys.user_key(number, sizes.users)
        yield number, user, of_user[user]


def _insert(label: str, rows: Iterator[dict[str, Any]]) -> None:
    model = apps.get_model(label)
    while batch := [model(**values) for values in islice(rows, BATCH)]:
        model.objects.bulk_create(batch)
