"""Many rows are inserted as ``bulk_create()`` does it, whichever way the database offers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessions_plus.bulk import inserting
from django_sessions_plus.bulk.inserting import insert_many
from django_sessions_plus.models import Session
from django_sessions_plus.switching.models import ImportedKey

pytestmark = pytest.mark.django_db(transaction=True)


def row(**columns: Any) -> Session:
    now = timezone.now()
    return Session(**{"token_digest": "d" * 64, "expires_at": now + timedelta(1), **columns})


def test_the_rows_are_those_of_bulk_create(alice: User):
    given = [
        row(),
        row(token_digest="e" * 64, user=alice, ip_address="2001:db8::1", remember=False),
        row(
            token_digest="f" * 64,
            session_data='{"a":"\\\\ \\t\\n"}',
            user_agent="Ünïcode\t",
            version=7,
        ),
        row(token_digest="0" * 64, ended_at=timezone.now(), end_reason="revoked"),
    ]
    Session.objects.bulk_create(given)
    expected = list(Session.objects.order_by("token_digest").values())
    Session.objects.all().delete()
    with transaction.atomic():
        insert_many(given, using="default")
    assert list(Session.objects.order_by("token_digest").values()) == expected


def test_a_primary_key_is_made_by_the_database():
    with transaction.atomic():
        insert_many([ImportedKey(digest="a" * 64), ImportedKey(digest="b" * 64)], using="default")
    assert ImportedKey.objects.exclude(pk=None).count() == 2


def test_without_rows_nothing_is_asked():
    with CaptureQueriesContext(connection) as captured:
        insert_many([], using="default")
    assert not captured


def test_of_rows_of_which_one_cannot_be_inserted_none_is():
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_many([row(), row()], using="default")
    assert not Session.objects.exists()


@pytest.mark.parametrize("column", ["token_digest", "name"])
def test_a_text_that_is_too_long_is_an_error_of_django(column: str):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite stores it")
    with pytest.raises(DatabaseError), transaction.atomic():
        insert_many([row(**{column: "x" * 500})], using="default")


def in_an_expression() -> Any:
    """Return a column whose values stand in an expression, as those of GeoDjango."""
    field: Any = models.TextField()
    field.get_placeholder = lambda value, compiler, connection: "UPPER(%s)"
    return field


@pytest.mark.parametrize(
    ("field", "needs_sql"),
    [
        (models.TextField(), False),
        (models.TextField(db_default="x"), True),
        (in_an_expression(), True),
    ],
    ids=["text", "default in the database", "placeholder"],
)
def test_a_column_that_needs_sql_is_not_copied(field: Any, needs_sql: bool):
    assert inserting._needs_sql(field) is needs_sql


def test_such_a_row_is_inserted_by_bulk_create(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inserting, "_needs_sql", lambda field: True)
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        insert_many([row(), row(token_digest="e" * 64)], using="default")
    assert any(each["sql"].startswith("INSERT") for each in captured)
    assert Session.objects.count() == 2
