"""A statement that was compiled takes its values by name where that is quicker, and never a value for another."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import connection

from django_sessions_plus.backends.fastpath.parameters import Parameters


def database(vendor: str, takes_names: bool = True) -> SimpleNamespace:
    features = SimpleNamespace(supports_paramstyle_pyformat=takes_names)
    return SimpleNamespace(vendor=vendor, features=features)


def test_sqlite_gets_names():
    parameters = Parameters("UPDATE a SET b = %s WHERE c = %s", 2, database("sqlite"))
    assert parameters.sql == "UPDATE a SET b = %(p0)s WHERE c = %(p1)s"
    assert parameters.bind(["x", 1]) == {"p0": "x", "p1": 1}


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("UPDATE a SET b = %s", database("postgresql")),
        ("UPDATE a SET b = %s", database("sqlite", takes_names=False)),
        ("UPDATE a SET b = '%%' || %s", database("sqlite")),
    ],
)
def test_others_get_what_was_compiled(sql, where):
    parameters = Parameters(sql, 1, where)
    assert parameters.sql == sql
    assert parameters.bind(["x"]) == ["x"]


@pytest.mark.django_db
@pytest.mark.parametrize("sql", ["SELECT %s, '100'", "SELECT %s, '100%%'"])
def test_a_statement_returns_what_was_bound(sql):
    parameters = Parameters(sql, 1, connection)
    with connection.cursor() as cursor:
        cursor.execute(parameters.sql, parameters.bind(["x"]))
        assert tuple(cursor.fetchone()) == ("x", sql[len("SELECT %s, '") : -1].replace("%%", "%"))
