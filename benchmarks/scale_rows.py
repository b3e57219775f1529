"""Rows by the million: made by the database itself where it can make them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.utils import timezone

from benchmarks import keys, loads
from benchmarks.worker import Site
from django_sessions_plus import tokens

TABLE = "django_sessions_plus_session"
# In use: sessions whose data is real, so that their user is found in it.
SAMPLE = 500

# The digest is made as tokens.digest() makes it, which grow() verifies. The rest is as long
# and as random as in life; the id begins with the moment the row is from, as UUIDv7 do.
_INSERT = f"""
INSERT INTO {TABLE} (
    id, token_digest, user_id, session_data, version, created_at, authenticated_at, updated_at,
    last_seen_at, expires_at, ip_address, user_agent, remember, end_reason,
    reauthentication_required, name, refresh_replays_left
)
SELECT
    (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7'
        || substr(md5(random()::text), 1, 3) || '8' || substr(md5(number::text), 1, 15))::uuid,
    encode(sha256(convert_to(%(domain)s || lpad(number::text, 32, '0'), 'UTF8')), 'hex'),
    number %% %(users)s + 1, %(data)s, 0, moment, moment, %(seen)s, %(seen)s, %(ends)s,
    %(address)s::inet, %(agent)s, true, '', false, '', 0
FROM (
    SELECT number, %(now)s::timestamptz - (%(last)s - number) * interval '200 milliseconds' AS moment
    FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS number
) AS numbers
"""


def token(number: int) -> str:
    """Return the token of row ``number``."""
    return str(number).zfill(32)


def sample(rows: int) -> list[int]:
    """Return the numbers of the sessions in use."""
    return keys.pool(rows, SAMPLE)


def grow(site: Site, first: int, last: int, users: int) -> float:
    """Add the rows from ``first`` up to ``last``, all of them alive; return how long that took."""
    started = time.perf_counter()
    with _without_indexes():
        _add(first, last, users, ends=timedelta(days=14))
    _make_real(last, users)
    _analyze()
    return round(time.perf_counter() - started, 1)


def add_expired(site: Site, first: int, last: int, users: int) -> None:
    """Add rows that the purge is to delete."""
    _add(first, last, users, ends=timedelta(days=-60))
    _analyze()


def _add(first: int, last: int, users: int, ends: timedelta) -> None:
    now = timezone.now()
    if connection.vendor == "postgresql":
        values: dict[str, Any] = {
            "domain": tokens._DOMAIN.decode(),
            "users": users,
            "data": "x" * 330,
            "seen": now + timedelta(hours=1),
            # Spread over an hour, as in life.
            "ends": now + ends,
            "address": keys.ADDRESS,
            "agent": keys.USER_AGENT,
            "now": now,
            "first": first,
            "last": last,
        }
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, values)
        return
    model = apps.get_model("django_sessions_plus.Session")
    rows = _rows(range(first, last), users, now + ends)
    with transaction.atomic():
        while batch := [model(**row) for row in islice(rows, loads.BATCH)]:
            model.objects.bulk_create(batch)


def _rows(numbers: range, users: int, ends: Any) -> Iterator[dict[str, Any]]:
    seen = timezone.now() + timedelta(hours=1)
    for number in numbers:
        yield {
            "token_digest": tokens.digest(token(number)),
            "user_id": keys.user_key(number, users),
            "session_data": "x" * 330,
            "authenticated_at": seen,
            "updated_at": seen,
            "last_seen_at": seen,
            "expires_at": ends,
            "ip_address": keys.ADDRESS,
            "user_agent": keys.USER_AGENT,
        }


def _make_real(rows: int, users: int) -> None:
    """Give the sessions in use their data, and be sure that they are found by their tokens."""
    model, people = apps.get_model("django_sessions_plus.Session"), apps.get_model("auth.User")
    store = model.get_session_store_class()()
    for number in sample(rows):
        user = people.objects.get(pk=keys.user_key(number, users))
        found = model.objects.filter(token_digest=tokens.digest(token(number)), user=user)
        if not found.update(
            session_data=store.encode(loads.session_data(user)), authenticated_at=timezone.now()
        ):
            raise LookupError(f"row {number} is not found by its token")


@contextmanager
def _without_indexes() -> Iterator[None]:
    """Drop the indexes that are no constraints and the unique ones on text, and make them again.

    Random digests into a big index, one by one, would take hours.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = %s::regclass AND contype = 'u'",
            [TABLE],
        )
        constraints = cursor.fetchall()
        for name, _ in constraints:
            cursor.execute(f'ALTER TABLE {TABLE} DROP CONSTRAINT "{name}"')
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes "
            "WHERE tablename = %s AND indexname NOT LIKE '%%_pkey'",
            [TABLE],
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        yield
        for name, definition in constraints:
            cursor.execute(f'ALTER TABLE {TABLE} ADD CONSTRAINT "{name}" {definition}')
        for _, definition in indexes:
            cursor.execute(definition)


def _analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"VACUUM ANALYZE {TABLE}" if connection.vendor == "postgresql" else "ANALYZE"
        )
