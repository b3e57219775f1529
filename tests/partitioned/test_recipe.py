"""The recipe that divides the table, tried inside a transaction that is taken back.

What the engine does on such a table, in parallel too, the suite shows when it runs on it:
SESSIONS_TEST_ENGINE=partitioned.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from django_sessions_plus import sessions, tokens
from django_sessions_plus.models import Session
from tests.backends.drivers import identity
from tests.partitioned import recipe
from tests.scale.plans import explained

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.db_engine,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="a recipe for PostgreSQL"),
]

TABLE = Session._meta.db_table
IS_PARTITIONED = settings.SESSION_ENGINE == "tests.partitioned.engine"


def block(file: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "shop"}
    exec(recipe(file), namespace)
    return namespace


SessionStore: Any = block("shop/sessions.py")["SessionStore"]


@pytest.fixture(params=[2, 4, 8, 16])
def migration(request: pytest.FixtureRequest, db: None) -> dict[str, Any]:
    """The migration, for each number of partitions."""
    migration = block("shop/migrations/0002_partition_sessions.py")
    migration["PARTITIONS"] = request.param
    if IS_PARTITIONED:
        migrate(migration, "put_together")
    return migration


@pytest.fixture
def partitioned(migration: dict[str, Any]) -> int:
    """A table in parts; the number of them."""
    migrate(migration, "partition")
    number: int = migration["PARTITIONS"]
    return number


def migrate(migration: dict[str, Any], direction: str) -> None:
    with connection.schema_editor() as editor:
        migration[direction](apps, editor)


def structure() -> dict[str, Any]:
    """Return columns, constraints and indexes of the table, by name."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type, is_nullable, column_default, ordinal_position "
            "FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position",
            [TABLE],
        )
        columns = cursor.fetchall()
        found: Any = connection.introspection.get_constraints(cursor, TABLE)
    kinds = ("columns", "primary_key", "unique", "index", "check", "foreign_key")
    constraints = {name: {kind: one[kind] for kind in kinds} for name, one in found.items()}
    return {"columns": columns, "constraints": constraints}


def place(row: Session) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid FROM {TABLE} WHERE id = %s", [row.pk])
        return int(cursor.fetchone()[0])


def start(user: User | None = None) -> Any:
    store = SessionStore()
    store.update(identity(user) if user else {"colour": "red"})
    store.save()
    return store


def partitions_of(plan: list[tuple[str]]) -> set[str]:
    """Return the partitions a plan reads or writes."""
    return set(re.findall(rf" on ({TABLE}_[0-9a-f]) ", "\n".join(f"{line} " for (line,) in plan)))


def test_the_way_there_keeps_rows_columns_and_indexes_and_changes_the_key(migration, alice):
    start(alice)
    start()
    rows, before = sorted(Session.objects.values_list()), structure()
    migrate(migration, "partition")
    assert sorted(Session.objects.values_list()) == rows
    after = structure()
    assert after["columns"] == before["columns"]
    key = f"{TABLE}_pkey"
    assert after["constraints"].pop(key)["columns"] == ["id", "token_digest"]
    assert before["constraints"].pop(key)["columns"] == ["id"]
    assert after["constraints"] == before["constraints"]


def test_the_way_back_leaves_no_trace(migration, alice):
    before = structure()
    migrate(migration, "partition")
    start(alice)
    rows = list(Session.objects.values_list())
    migrate(migration, "put_together")
    assert list(Session.objects.values_list()) == rows
    assert structure() == before
    assert TABLE + "_0" not in connection.introspection.table_names()


def test_every_digest_has_a_partition_and_is_there_once(partitioned):
    for number in range(16):
        digest = f"{number:x}" * 64
        row = Session.objects.create(token_digest=digest, expires_at="2030-01-01T00:00Z")
        with pytest.raises(IntegrityError), transaction.atomic():
            Session.objects.create(token_digest=digest, expires_at=row.expires_at)
    assert len({place(row) for row in Session.objects.all()}) == partitioned


def test_a_rotation_leaves_the_row_in_its_partition(partitioned, alice):
    for user in [alice, None] * 4:
        store = start(user)
        before = place(store.row)
        for _ in range(8):
            store.cycle_key()
            assert tokens.is_well_formed(store.session_key)
            assert place(store.row) == before
        assert SessionStore(store.session_key).load()


def test_a_token_is_looked_for_in_one_partition_and_written_there(partitioned, alice):
    store = start(alice)
    again = SessionStore(store.session_key)
    again.wants_user = True
    again["size"] = 1
    for work in (again.load, again.save, again.cycle_key):
        for _, plan in explained(work, "EXPLAIN"):
            assert len(partitions_of(plan)) == 1


def test_an_id_is_looked_for_in_all(partitioned, alice):
    row = start(alice).row
    plans = explained(lambda: sessions.revoke(row.pk), "EXPLAIN")
    assert {len(partitions_of(plan)) for _, plan in plans} == {partitioned}
    assert Session.objects.ended().get() == row
