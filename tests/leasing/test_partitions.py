"""The triggers on a table in partitions, as docs/scale.md makes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.models import Session
from tests.leasing.test_triggers import Ear, ear, sql  # noqa: F401 - a fixture
from tests.partitioned import recipe

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.db_engine,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="a recipe for PostgreSQL"),
    pytest.mark.skipif(
        settings.SESSION_ENGINE == "tests.partitioned.engine",
        reason="the table is in parts already",
    ),
]

TABLE = Session._meta.db_table


@pytest.fixture
def partitioned(ear: Ear) -> Iterator[Ear]:  # noqa: F811
    """A table in four parts, with triggers."""
    migration: dict[str, Any] = {"__name__": "shop"}
    exec(recipe("shop/migrations/0002_partition_sessions.py"), migration)
    triggers.install(Session, "default")
    with connection.schema_editor() as editor:
        migration["partition"](apps, editor)
    # They went with the table.
    assert triggers.missing(Session, "default") == [TABLE]
    triggers.install(Session, "default")
    assert triggers.missing(Session, "default") == []
    yield ear
    triggers.remove(Session, "default")
    with connection.schema_editor() as editor:
        migration["put_together"](apps, editor)


def start(digit: str, user: User) -> Session:
    """Make a row in the partition of this digit."""
    expires_at = timezone.now() + timedelta(days=1)
    return Session.objects.create(token_digest=digit * 64, user=user, expires_at=expires_at)


def test_what_happens_in_each_partition_is_announced(partitioned: Ear, alice: User):
    rows = [start(digit, alice) for digit in "048c"]
    keys = {f"s {row.pk}" for row in rows}
    partitioned()
    Session.objects.update(last_seen_at=timezone.now())
    assert partitioned() == set()
    sessions.revoke(rows[0])
    assert partitioned() == {f"s {rows[0].pk}"}
    sessions.revoke_all(alice)
    assert partitioned() == keys - {f"s {rows[0].pk}"}


def test_replication_does_not_silence_it(partitioned: Ear, alice: User):
    row = start("4", alice)
    sql("SET session_replication_role = replica")
    sql(f"DELETE FROM {TABLE}")
    sql("RESET session_replication_role")
    assert partitioned() == {f"s {row.pk}"}


def test_a_row_that_moves_to_another_partition_is_announced(partitioned: Ear, alice: User):
    row = start("0", alice)
    Session.objects.update(token_digest="f" * 64)
    assert partitioned() == {f"s {row.pk}"}


def test_a_partition_that_is_written_to_by_its_name_is_announced(partitioned: Ear, alice: User):
    row = start("0", alice)
    sql(f"UPDATE {TABLE}_0 SET ended_at = now()")
    assert partitioned() == {f"s {row.pk}"}


def test_what_is_done_to_a_whole_partition_is_silent(partitioned: Ear, alice: User):
    """The age of a snapshot is the bound then. A test, so that the docs can say it."""
    start("0", alice)
    start("4", alice)
    sql(f"TRUNCATE {TABLE}_0")
    assert partitioned() == set()
    sql(f"ALTER TABLE {TABLE} DETACH PARTITION {TABLE}_1")
    try:
        assert Session.objects.count() == 0
        assert partitioned() == set()
    finally:
        sql(f"ALTER TABLE {TABLE} ATTACH PARTITION {TABLE}_1 FOR VALUES FROM ('4') TO ('8')")
    assert triggers.missing(Session, "default") == []
    sql(f"TRUNCATE {TABLE}")
    assert partitioned() == {"*"}


def test_disabled_in_one_partition_they_count_as_disabled(partitioned: Ear):
    sql(f"ALTER TABLE {TABLE}_2 DISABLE TRIGGER USER")
    assert triggers.states(Session, "default")[TABLE] == "disabled"
    with connection.cursor() as cursor:
        cursor.execute(*triggers.echo(Session, "default"))
        missing, *_ = cursor.fetchone()
    assert missing > 0
