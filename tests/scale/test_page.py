"""The page about large tables, held against the database the suite runs on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session
from tests.partitioned import recipe
from tests.scale.plans import SEEK, explained, plans_of
from tests.scale.rows import token

pytestmark = [pytest.mark.django_db, pytest.mark.db_engine, pytest.mark.docs]

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
LANGUAGE = {"mysql": "mariadb"}.get(connection.vendor, connection.vendor)
EXPLAIN = {
    "sqlite": "EXPLAIN QUERY PLAN",
    "postgresql": "EXPLAIN (COSTS OFF)",
    "mysql": "EXPLAIN",
}[connection.vendor]


def test_the_page_lists_every_index():
    # The first table of the section; the parameters of a table come later.
    section = PAGE.partition("\n## Indexes")[2].partition("\n## ")[0]
    listed = {
        tuple(re.findall(r"`(\w+)`", row))
        for row in re.findall(r"^\| (`\w+`[^|]*) \|", section, re.MULTILINE)
    }
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Session._meta.db_table)
    keys = ("index", "unique", "primary_key")
    assert listed == {
        tuple(entry["columns"]) for entry in found.values() if any(entry[key] for key in keys)
    }


def look_up(client: Client, people: list[User]) -> None:
    store = SessionStore(token(7))
    store.wants_user = True
    store.load()


def list_sessions(client: Client, people: list[User]) -> None:
    list(sessions.list_for(people[30]))


def revoke_all(client: Client, people: list[User]) -> None:
    sessions.revoke_all(people[30])


def show_admin(client: Client, people: list[User]) -> None:
    client.force_login(User.objects.create_superuser("boss"))
    client.get("/admin/django_sessions_plus/session/")


SHOWN: list[tuple[Callable[..., None], str]] = [
    (look_up, "SELECT"),
    (list_sessions, "SELECT"),
    (revoke_all, "UPDATE"),
    (show_admin, "SELECT.* LIMIT 51$"),
]


@pytest.mark.parametrize("number", range(len(SHOWN)), ids=[work.__name__ for work, _ in SHOWN])
def test_the_plans_of_the_page_are_those_of_the_database(client, people, number):
    (block,) = re.findall(rf"^```{LANGUAGE}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    shown = block.split("\n\n")
    assert len(shown) == len(SHOWN)
    work, statement = SHOWN[number]
    told = explained(lambda: work(client, people), EXPLAIN)
    (rows,) = [rows for sql, rows in told if re.match(statement, sql)]
    plan = "\n".join(map(_text, rows))
    for line in shown[number].strip().splitlines():
        pieces = re.split(r"\.\.\.|  +", line.strip())
        assert re.search(".*".join(map(re.escape, pieces)), plan), plan


def _text(row: tuple[Any, ...]) -> str:
    return " ".join(map(str, row if LANGUAGE == "mariadb" else row[-1:]))


@pytest.mark.skipif(connection.vendor == "mysql", reason="its migrations cannot be taken back")
def test_an_index_on_the_address_serves_the_search_for_one(client, people):
    namespace: dict[str, Any] = {}
    exec(recipe("shop/migrations/0002_index_addresses.py"), namespace)
    (operation,) = namespace["Migration"].operations
    client.force_login(User.objects.create_superuser("boss"))
    with connection.cursor() as cursor:
        cursor.execute(operation.sql)
    for address in ("192.0.2.1", *["192.0.2.0/28"] * (connection.vendor == "postgresql")):
        plans = plans_of(
            lambda address=address: client.get(
                "/admin/django_sessions_plus/session/", {"q": address}
            )
        )
        ways = [plan.of(Session) for plan in plans]
        assert ways.count([(SEEK, ("ip_address",))]) == 1
    with connection.cursor() as cursor:
        cursor.execute(operation.reverse_sql)
