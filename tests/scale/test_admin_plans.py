"""The admin's list of many sessions: pages in the order of an index, and no count of them all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.admin import bounds, dashboard, listing
from django_sessions_plus.bulk.time_limit import TimeIsUpError
from django_sessions_plus.models import Session
from tests.scale.plans import SCAN, SEEK, WALK, Plan, plans_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.db_engine,
    pytest.mark.thorough,
    pytest.mark.usefixtures("people"),
]

DIGEST = (SEEK, ("token_digest",))
KEY = (SEEK, ("id",))
LIVE = (SEEK, ("user_id", "expires_at"))
EXPIRY = (SEEK, ("expires_at",))
REASON = (SEEK, ("end_reason", "expires_at"))
NEWEST = (WALK, ("id",))
BY_EXPIRY = (WALK, ("expires_at",))

# The rows of the tests are to this what a million are to the ten thousand of the package.
MAX_COUNT = 200


@pytest.fixture
def client(people: list[User], monkeypatch: pytest.MonkeyPatch) -> Client:
    for module in (listing, dashboard):
        monkeypatch.setattr(module, "MAX_COUNT", MAX_COUNT)
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def found(client: Client, **query: Any) -> list[Plan]:
    """Return the plans of what the list asks about sessions, but for the one that asks."""
    plans = plans_of(
        lambda: client.get(reverse("admin:django_sessions_plus_session_changelist"), query)
    )
    return [plan for plan in plans if plan.of(Session) != [DIGEST]]


def listed(client: Client, **query: Any) -> tuple[Plan, Plan]:
    """Return the plans of the list's count, which goes no further than it may, and of the page.

    Where all fit on a page nothing else is counted, and the page stands for the count.
    """
    plans = found(client, **query)
    # The first is read to see whether there are more.
    *_, page = [
        plan for plan in plans if "COUNT(" not in plan.sql and not plan.sql.endswith(" LIMIT 1")
    ]
    counts = [plan for plan in plans if plan.sql.startswith("SELECT COUNT(*) FROM")]
    if not counts:
        return page, page
    count = counts[0]
    assert re.search(rf"FROM \(SELECT .* LIMIT {MAX_COUNT + 1}\) ", count.sql)
    return count, page


def test_the_first_page_is_the_end_of_the_primary_key(client):
    for plan in listed(client):
        assert plan.of(Session) == [NEWEST]
        assert not plan.sorts


@pytest.mark.parametrize(
    "query",
    [
        {"p": "3"},
        {"state": "all"},
        {"state": "users"},
        {"state": "expired"},
        {"access": "browser"},
        {"seen": "week"},
        {"seen": "before"},
    ],
)
def test_so_are_other_pages_and_states(client, query):
    for plan in listed(client, **query):
        assert plan.of(Session) == [NEWEST]
        assert not plan.sorts


@pytest.mark.parametrize(
    "query", [{}, {"ended": "day"}, {"reason": "revoked"}, {"reason": "revoked", "ended": "week"}]
)
def test_what_has_ended_is_in_the_order_of_its_end(client, query):
    count, page = listed(client, state="ended", **query)
    for plan in (count, page):
        assert plan.of(Session) == [REASON if "reason" in query else EXPIRY]
    # The few that another filter leaves may be put in order.
    assert query or not page.sorts


def test_a_period_is_a_part_of_the_primary_key(client):
    for plan in listed(client, began=f"{timezone.now():%Y-%m-%d}", state="all"):
        assert plan.of(Session) == [KEY]
        assert not plan.sorts


def test_the_counts_above_the_list_read_the_ends_of_indexes(client):
    plans = found(client)
    (begun,) = [plan for plan in plans if plan.sql.count("COUNT(") == 2]
    (ends,) = [plan for plan in plans if plan.sql.count("COUNT(") == 3]
    (oldest,) = [plan for plan in plans if plan.sql.endswith(" LIMIT 1")]
    assert [plan.of(Session) for plan in (begun, ends, oldest)] == [[KEY], [EXPIRY], [NEWEST]]
    for plan in (begun, ends, oldest):
        assert not plan.sorts
    for plan in (begun, ends):
        assert f" LIMIT {MAX_COUNT + 1})" in plan.sql
    # The list has counted who is active already.
    assert len(plans) == 5


@pytest.mark.parametrize(
    "query", [{}, {"o": "7"}, {"access": "token"}, {"o": "-7", "state": "all"}]
)
def test_the_latest_sessions_are_the_end_of_the_primary_key(client, monkeypatch, query):
    """What is searched if a search of all takes too long: to the planner, a few of many."""
    monkeypatch.setattr(bounds, "MAX_READ", MAX_COUNT)
    calls = []

    @contextmanager
    def stopped_once(alias: str, seconds: float) -> Iterator[None]:
        calls.append(alias)
        if len(calls) == 1:
            raise TimeIsUpError
        yield

    monkeypatch.setattr(listing, "time_limit", stopped_once)
    plans = found(client, **query)
    assert plans[0].of(Session) == [NEWEST]
    assert f"OFFSET {MAX_COUNT - 1}" in plans[0].sql
    # SQLite holds no statistics of how many keys lie behind one of them.
    by_expiry = [EXPIRY] if connection.vendor == "sqlite" and "o" in query else [KEY]
    assert plans[1].of(Session) in ([KEY], by_expiry)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="others tell no costs of that kind")
@pytest.mark.parametrize(
    "query",
    [
        *({}, {"p": "3"}, {"user": "1"}, {"q": "person77"}, {"q": "person"}, {"o": "-7"}),
        *({"staff": choice} for choice in ("yes", "no")),
        *({"state": choice} for choice in ("ended", "expired", "users", "anonymous", "all")),
        *({"seen": choice} for choice in ("day", "week", "before")),
        *({"state": "ended", "ended": choice} for choice in ("day", "week")),
        {"state": "ended", "reason": "revoked"},
        {"access": "browser"},
        {"began": f"{timezone.now():%Y}"},
    ],
    ids=str,
)
def test_no_statement_costs_as_much_as_to_read_the_table(client, query):
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) SELECT * FROM {Session._meta.db_table}")
        scan = cursor.fetchone()[0][0]["Plan"]["Total Cost"]
    for plan in found(client, **query):
        assert json.loads(plan.text)[0]["Plan"]["Total Cost"] < scan, plan.text


@pytest.mark.parametrize("order", ["7", "-7"])
@pytest.mark.parametrize("state", ["active", "all"])
def test_the_order_by_expiry_is_that_of_its_index(client, order, state):
    _, page = listed(client, o=order, state=state)
    assert page.of(Session) in ([EXPIRY], [BY_EXPIRY])
    assert not page.sorts


@pytest.mark.parametrize("query", [{"staff": "yes"}, {"q": "person77"}, {"state": "anonymous"}])
def test_the_sessions_of_a_few_people_are_found_by_the_people(client, query):
    for plan in listed(client, **query):
        # Or met on the way, where so many are theirs that this is shorter.
        assert plan.of(Session) == [LIVE] or (plan.of(Session) == [NEWEST] and not plan.sorts)


def test_the_sessions_of_one_user_are_found_by_the_user(client, people):
    for plan in listed(client, user=people[30].pk):
        assert plan.of(Session) == [LIVE]


@pytest.mark.parametrize("query", [{"staff": "no"}, {"q": "person"}])
def test_the_sessions_of_many_people_are_met_on_the_way(client, query):
    for plan in listed(client, **query):
        assert NEWEST in plan.of(Session)
        assert not plan.sorts


def test_pages_that_show_or_end_sessions_count_one_person_s_at_most(client, people):
    row = sessions.list_for(people[30])[0]
    for name, key in [("change", row.pk), ("end", row.pk), ("end_all", people[30].pk)]:
        address = reverse(f"admin:django_sessions_plus_session_{name}", args=[key])
        for plan in plans_of(partial(client.get, address)):
            assert {*plan.of(Session)} <= {DIGEST, KEY, LIVE}


@pytest.mark.parametrize("query", ["192.0.2.1", "192.0.", "192.0.2.0/24", "2001:db8::/32"])
def test_a_search_by_address_reads_the_table(client, query):
    """An index on the address would cost each sign-in something for what is rarely asked."""
    for plan in listed(client, q=query):
        assert plan.of(Session)[0][0] in (WALK, SCAN)
