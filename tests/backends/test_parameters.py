"""A kept statement takes its values in the form its database executes fastest, and means the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import connection

from django_sessions_plus.backends.building import RefusedError
from django_sessions_plus.backends.parameters import Parameters

SQLITE, OTHER = SimpleNamespace(vendor="sqlite"), SimpleNamespace(vendor="postgresql")


def test_sqlite_gets_names():
    parameters = Parameters("UPDATE a SET b = %s WHERE c = %s", 2, SQLITE)
    assert parameters.sql == "UPDATE a SET b = %(p0)s WHERE c = %(p1)s"
    assert parameters.bind(["x", 1]) == {"p0": "x", "p1": 1}


def test_others_get_what_django_compiled():
    parameters = Parameters("UPDATE a SET b = %s", 1, OTHER)
    assert parameters.sql == "UPDATE a SET b = %s"
    assert parameters.bind(["x"]) == ["x"]


@pytest.mark.parametrize("count", [0, 2])
def test_a_statement_with_other_placeholders_is_refused(count):
    with pytest.raises(RefusedError):
        Parameters("SELECT '%%s' = %s", count, SQLITE)


@pytest.mark.django_db
def test_a_percent_sign_stays_one():
    parameters = Parameters("SELECT '100 %%', %s", 1, connection)
    with connection.cursor() as cursor:
        cursor.execute(parameters.sql, parameters.bind(["x"]))
        assert cursor.fetchone() == ("100 %", "x")
