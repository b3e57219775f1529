"""The statements of a request are prepared where the database is set up as docs/operations.md has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.fastpath import compiled
from tests.backends.drivers import identity
from tests.conftest import Clock
from tests.test_docs import DOCS, blocks, settings_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connections["default"].vendor != "postgresql", reason="only PostgreSQL is asked to"
    ),
]


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The database with the options of the documentation, on a connection of its own."""
    (example,) = (
        block for block in blocks(DOCS / "operations.md", "python") if "prepare_threshold" in block
    )
    options = settings_of(example)["DATABASES"]["default"]["OPTIONS"]
    database: Any = connections["default"]
    database.close()
    with monkeypatch.context() as patch:
        patch.setitem(database.settings_dict, "OPTIONS", options)
        compiled._statements.clear()
        yield database
        database.close()
    compiled._statements.clear()


def open_(token: str | None) -> SessionStore:
    store = SessionStore(token)
    store.wants_user = True
    store.load_if_needed()
    return store


def test_look_up_write_and_touch_are_planned_once(prepared, alice, clock: Clock):
    store = SessionStore()
    store.update(identity(alice))
    store.save()
    for number in range(5):
        clock.advance(minutes=6)
        again = open_(store.session_key)
        assert again.row is not None
        assert again.row.user == alice
        assert again.row.last_seen_at.tzinfo is not None
        again.touch()
        again["n"] = number
        again.save()
    with prepared.cursor() as cursor:
        cursor.execute("SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements")
        times = dict(cursor.fetchall())
    looked_up = [n for text, n in times.items() if "LEFT OUTER JOIN" in text]
    written = [n for text, n in times.items() if text.startswith("UPDATE")]
    # The threshold is how often a statement runs before it is prepared.
    assert looked_up == [4]
    assert written == [4, 4]
    assert open_(store.session_key)["n"] == 4
