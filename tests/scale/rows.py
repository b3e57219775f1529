"""Rows by the thousand, in the proportions of a table in use."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from django_sessions_plus import tokens
from django_sessions_plus.models import Session

PEOPLE = 500
# SQLite's planner knows averages alone; the others weigh what reading the whole table would cost.
ROWS = 10_000 if connection.vendor == "sqlite" else 30_000
# The first of the people is signed in on that many devices.
DEVICES = 300

ACTIVE, ANONYMOUS, ENDED, EXPIRED, LEFT, OLD = [
    "active",
    "anonymous",
    "ended",
    "expired",
    "left",
    "old",
]
"""What rows are; "left" is anonymous and expired, "old" is past its retention."""
_KINDS = [*[ACTIVE] * 12, *[ANONYMOUS] * 3, *[ENDED] * 2, EXPIRED, LEFT, OLD]


def token(number: int) -> str:
    """Return the token of row ``number``."""
    return str(number).zfill(tokens.LENGTH)


@contextmanager
def filled() -> Iterator[list[User]]:
    """Fill the table, for everybody to see, and empty it at the end; gives the people."""
    people = User.objects.bulk_create(
        User(username=f"person{number}", is_staff=number < 5) for number in range(PEOPLE)
    )
    _count_all_of_it("STATS_AUTO_RECALC=0 STATS_SAMPLE_PAGES=65535")
    try:
        _insert(people)
        _analyze()
        yield people
    finally:
        for model in (Session, User):
            model._base_manager.all()._raw_delete(connection.alias)
        _count_all_of_it("STATS_AUTO_RECALC=DEFAULT STATS_SAMPLE_PAGES=DEFAULT")
        _analyze()


def _insert(people: list[User]) -> None:
    fields = {str(field.attname): field for field in Session._meta.concrete_fields}
    usual = {name: _prepared(field, field.get_default()) for name, field in fields.items()}
    moments = _Moments(timezone.now(), fields["expires_at"])
    rows = []
    for number in range(ROWS):
        kind = ACTIVE if number < DEVICES else _KINDS[number % len(_KINDS)]
        row = usual | _state(kind, number, moments)
        row["id"] = _prepared(fields["id"], _id(number, moments.now))
        row["ip_address"] = _prepared(fields["ip_address"], f"192.0.{number % 250}.{number % 199}")
        if kind not in (ANONYMOUS, LEFT):
            owner = 0 if number < DEVICES else number // len(_KINDS) % PEOPLE
            row |= {"user_id": people[owner].pk, "authenticated_at": row["last_seen_at"]}
        rows.append(tuple(row.values()))
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields.values())
    marks = ", ".join(["%s"] * len(fields))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {quote(Session._meta.db_table)} ({columns}) VALUES ({marks})", rows
        )


class _Moments:
    """Moments as the driver takes them, made once: there are fewer of them than rows."""

    def __init__(self, now: datetime, field: Any) -> None:
        self.now = now
        steps = range(1000)
        self.past = [_prepared(field, now - timedelta(minutes=40 * i)) for i in steps]
        self.future = [_prepared(field, now + timedelta(minutes=20 * (1 + i))) for i in steps]
        self.long_past = [_prepared(field, now - timedelta(days=31, minutes=i)) for i in steps]


def _state(kind: str, number: int, moments: _Moments) -> dict[str, Any]:
    seen = moments.past[number % 1000]
    row = {
        "token_digest": tokens.digest(token(number)),
        "session_data": "" if kind == ENDED else "x" * 200,
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "created_at": seen,
        "updated_at": seen,
        "last_seen_at": seen,
        "expires_at": seen,
    }
    if kind in (ACTIVE, ANONYMOUS):
        row["expires_at"] = moments.future[number % 1000]
    if kind == OLD:
        row["expires_at"] = moments.long_past[number % 1000]
    if kind == ENDED:
        row |= {"ended_at": seen, "end_reason": "revoked"}
    return row


def _id(number: int, now: datetime) -> uuid.UUID:
    # Time-ordered, as the engine's are.
    born = int((now - timedelta(seconds=ROWS - number)).timestamp() * 1000)
    return uuid.UUID(int=born << 80 | 0x7 << 76 | 0x2 << 62 | number)


def _prepared(field: Any, value: Any) -> Any:
    return field.get_db_prep_save(value, connection)


def _count_all_of_it(options: str) -> None:
    """Have MariaDB plan by every page and at our word alone, not by a few at random and when it likes."""
    if connection.vendor != "mysql":
        return
    with connection.cursor() as cursor:
        for model in (Session, User):
            cursor.execute(
                f"ALTER TABLE {connection.ops.quote_name(model._meta.db_table)} {options}"
            )


def _analyze() -> None:
    # What other tests have left of the indexes would make reading the whole table look cheap.
    compact = {"mysql": "ANALYZE TABLE", "postgresql": "VACUUM (FULL, ANALYZE)"}
    analyze = compact.get(connection.vendor, "ANALYZE")
    with connection.cursor() as cursor:
        for model in (Session, User):
            cursor.execute(f"{analyze} {connection.ops.quote_name(model._meta.db_table)}")
            if cursor.description:
                cursor.fetchall()
