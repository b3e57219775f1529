"""Reads that the database itself stops, and what can be done afterwards."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from django_sessions_plus.bulk.time_limit import TimeIsUpError, time_limit

ENDLESS = (
    "SELECT count(*) FROM (WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n)"
    " SELECT i FROM n) numbers"
)
if connection.vendor == "mysql":
    # It ends a recursion after a thousand rounds.
    ENDLESS = "SELECT count(*) FROM seq_1_to_1000000000 WHERE SHA2(seq, 512) = ''"


def read_without_end() -> None:
    with connection.cursor() as cursor:
        cursor.execute(ENDLESS)
        cursor.fetchall()


@pytest.mark.django_db(transaction=True)
def test_a_read_that_takes_too_long_is_stopped():
    with pytest.raises(TimeIsUpError), time_limit("default", 0.01):
        read_without_end()
    User.objects.create(username="ada")
    assert User.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_transaction_around_it_goes_on_and_keeps_what_it_wrote():
    with transaction.atomic():
        User.objects.create(username="ada")
        with pytest.raises(TimeIsUpError), time_limit("default", 0.01):
            read_without_end()
        User.objects.create(username="bob")
    assert User.objects.count() == 2


@pytest.mark.django_db
def test_what_is_read_in_time_is_answered():
    User.objects.create(username="ada")
    with time_limit("default", 60):
        assert User.objects.count() == 1


@pytest.mark.django_db
def test_any_other_error_stays_what_it_is():
    with pytest.raises(DatabaseError), time_limit("default", 60), connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="others bound statement by statement")
@pytest.mark.parametrize(("own", "bounded"), [("0", "2s"), ("1min", "2s"), ("500ms", "500ms")])
def test_the_site_s_own_limit_holds_if_it_is_shorter_and_comes_back(own: str, bounded: str):
    def limit() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            return str(cursor.fetchone()[0])

    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [own])
    with time_limit("default", 2):
        assert limit() == bounded
    assert limit() == own
    with pytest.raises(TimeIsUpError), time_limit("default", 0.01):
        read_without_end()
    assert limit() == own
