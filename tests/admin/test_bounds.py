"""What the list shows where it would take too long to search all sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessions_plus import tokens
from django_sessions_plus.admin import bounds, dashboard, listing
from django_sessions_plus.bulk.time_limit import TimeIsUpError
from django_sessions_plus.models import Session
from tests.admin.site import LIST, act, make_ended, make_session, make_staff, page, shown

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.admin.site")]

NOTE = "Searching all sessions takes too long."
TABLE = Session._meta.db_table


@contextmanager
def too_long(is_too_long: Callable[[str], bool]) -> Iterator[list[str]]:
    """Have the database stop the statements about sessions that this is true of; gives all of them."""
    seen: list[str] = []

    def execute_or_stop(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if f"FROM {connection.ops.quote_name(TABLE)}" in sql and "token_digest" not in sql:
            seen.append(sql)
            if is_too_long(sql):
                raise TimeIsUpError
        return execute(sql, params, many, context)

    with connection.execute_wrapper(execute_or_stop):
        yield seen


def is_whole(sql: str) -> bool:
    """Return whether it may read all rows, not just those after a border; the border itself is a position."""
    return "OFFSET" not in sql and ">=" not in sql


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the latest three sessions searched."""
    monkeypatch.setattr(bounds, "MAX_READ", 3)


def begun_in_turn(user: User, expiries: list[int]) -> list[Session]:
    """Return sessions that began one second after the other, and expire after so many days."""
    now = timezone.now()
    return [
        make_session(
            user,
            id=tokens.first_id(now + timedelta(seconds=number)),
            expires_at=now + timedelta(days=days),
        )
        for number, days in enumerate(expiries, start=1)
    ]


@pytest.mark.usefixtures("few")
def test_only_the_latest_are_searched_and_the_page_says_so(client: Client, alice: User):
    rows = begun_in_turn(alice, [14] * 5)
    with too_long(is_whole):
        answer = page(client)
    html = answer.content.decode()
    assert shown(answer) == {row.pk for row in rows[2:]}
    assert NOTE in html
    assert "These are among the latest 3" in html
    assert f"{len(shown(answer))}+ sessions" in html


@pytest.mark.usefixtures("few")
def test_of_a_period_the_latest_are_searched(client: Client, alice: User):
    for _ in range(5):
        make_session(alice)
    with too_long(lambda sql: "OFFSET" not in sql and sql.count(">=") < 2) as seen:
        html = page(client, began=f"{timezone.now():%Y}", state="all").content.decode()
    assert NOTE in html
    # That of the list; the card of all active sessions has one of its own.
    border = next(sql for sql in seen if "OFFSET" in sql)
    assert ">=" in border


@pytest.mark.usefixtures("few")
def test_of_ended_sessions_the_last_to_end_are_searched(client: Client, alice: User):
    ended = [make_ended(alice) for _ in range(5)]
    for age, row in enumerate(ended):
        # The oldest sessions were the last to end.
        Session.objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(hours=age))
    with too_long(is_whole):
        answer = page(client, state="ended")
    assert shown(answer) == {row.pk for row in ended[:3]}
    assert NOTE in answer.content.decode()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("order", ["7", "-7"])
def test_their_order_is_the_one_that_was_chosen_without_its_index(client, alice, order):
    """By its index PostgreSQL would read on through all older sessions."""
    rows = begun_in_turn(alice, [9, 1, 3, 2])
    with too_long(is_whole) as seen:
        answer = page(client, o=order, state="users")
    found = [row.pk for row in answer.context["cl"].result_list]
    by_expiry = [rows[1].pk, rows[3].pk, rows[2].pk]
    assert found == (by_expiry if order == "7" else by_expiry[::-1])
    assert any("ORDER BY COALESCE" in sql for sql in seen)


def test_if_even_that_takes_too_long_nothing_is_listed_and_the_page_says_so(client, alice):
    make_session(alice)
    with too_long(lambda sql: True):
        answer = page(client)
    assert not shown(answer)
    assert NOTE in answer.content.decode()
    assert "0+ sessions" in answer.content.decode()


@pytest.mark.parametrize(("read", "count"), [(3, 3), (60, 0)])
def test_a_page_beyond_the_latest_is_no_redirect(client, alice, monkeypatch, read, count):
    """One page is shown whatever page is asked for, as Django does; of two there is no third."""
    monkeypatch.setattr(bounds, "MAX_READ", read)
    for _ in range(120):
        make_session(alice)
    with too_long(is_whole):
        answer = page(client, p=3)
    assert answer.status_code == 200
    assert len(shown(answer)) == count


def test_few_matches_are_found_by_one_statement(client, alice):
    """They may take the whole table to find: the count would read it a second time."""
    make_session(alice)
    with too_long(lambda sql: False) as seen:
        assert shown(page(client, q="alice"))
    # The other one finds the oldest session.
    assert len([sql for sql in seen if not sql.endswith("LIMIT 1")]) == 1


def test_a_full_page_is_counted(client, alice):
    for _ in range(51):
        make_session(alice)
    html = page(client, q="alice").content.decode()
    assert "51 sessions" in html


def test_where_all_can_be_searched_there_is_no_note(client, alice):
    make_session(alice)
    assert NOTE not in page(client).content.decode()


def test_the_first_session_is_not_looked_for_longer_than_that(client, alice):
    make_session(alice)
    with too_long(lambda sql: sql.endswith("LIMIT 1")):
        answer = page(client)
    assert shown(answer)
    # The year before is offered instead.
    assert f"began={timezone.now().year - 1}" in answer.content.decode()


def test_a_count_that_takes_too_long_is_shown_as_at_least_none(client, alice):
    make_session(alice)
    with too_long(lambda sql: "COUNT(" in sql):
        html = page(client, state="all").content.decode()
    assert html.count(">0+<") >= 3


def test_the_page_that_signs_everyone_out_counts_in_time(client, alice):
    make_session(alice)
    with too_long(lambda sql: True):
        html = client.get(f"{LIST}everyone/").content.decode()
    assert "0+" in html


def is_count(sql: str) -> bool:
    return sql.startswith("SELECT COUNT(")


def active(user: User) -> int:
    return len(Session.objects.active().for_user(user))


def test_the_page_that_ends_all_of_a_user_counts_in_time_and_ends_them_all(client, alice):
    for _ in range(15):
        make_session(alice)
    url = f"{LIST}end-all/{alice.pk}/"
    with too_long(is_count) as seen:
        html = client.get(url).content.decode()
    assert "and 1+ more" in html
    assert 'type="submit"' in html
    assert any(map(is_count, seen))
    with too_long(is_count):
        client.post(url)
    assert active(alice) == 0


@pytest.mark.skipif(connection.vendor != "postgresql", reason="others cannot sleep in a count")
def test_the_database_itself_stops_the_count(client, alice, monkeypatch):
    for name in ("SECONDS", "LAST_SECONDS"):
        monkeypatch.setattr(bounds, name, 0.01)

    def sleep(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if is_count(sql):
            sql, params = "SELECT pg_sleep(600)", None
        return execute(sql, params, many, context)

    for _ in range(15):
        make_session(alice)
    with connection.execute_wrapper(sleep):
        html = client.get(f"{LIST}end-all/{alice.pk}/").content.decode()
        assert "and 1+ more" in html
        client.post(f"{LIST}end-all/{alice.pk}/")
    assert active(alice) == 0


def test_a_page_that_counts_none_in_time_offers_to_end_them(client, alice):
    with too_long(is_count):
        html = client.get(f"{LIST}end-all/{alice.pk}/").content.decode()
    assert 'type="submit"' in html
    html = client.get(f"{LIST}end-all/{alice.pk}/").content.decode()
    assert "There is nothing to end" in html


@pytest.mark.parametrize("is_slow", [False, True])
def test_an_action_asks_first_with_the_number_that_was_counted_and_ends_them_all(
    client, alice, monkeypatch, is_slow
):
    rows = [make_session(alice) for _ in range(15)]
    for module in (listing, dashboard):
        monkeypatch.setattr(module, "MAX_COUNT", 12)
    with too_long(lambda sql: is_slow and is_count(sql)):
        html = act(client, rows[0], action="end_all_of_users").content.decode()
    assert ("End 10+ sessions?" if is_slow else "End 12+ sessions?") in html
    assert ("and 1+ more" if is_slow else "and 2+ more") in html
    with too_long(lambda sql: is_slow and is_count(sql)):
        act(client, rows[0], action="end_all_of_users", confirmed="yes")
    assert active(alice) == 0


def test_a_number_that_was_counted_is_shown_without_a_plus(client, alice):
    rows = [make_session(alice) for _ in range(15)]
    html = act(client, *rows).content.decode()
    assert "End 15 sessions?" in html
    assert "and 5 more" in html


@pytest.mark.parametrize("is_slow", [False, True])
def test_how_many_of_superusers_were_left_is_counted_in_time(alice, boss, is_slow):
    make_session(boss)
    clerk = Client()
    clerk.force_login(make_staff("clerk", "view_session", "revoke_session"))
    with too_long(lambda sql: is_slow and is_count(sql)):
        rows = make_session(boss), make_session(alice)
        answer = act(clerk, *rows, action="end_all_of_users", confirmed="yes")
    text = "0+ sessions of superusers" if is_slow else "2 sessions of superusers"
    assert text in answer.content.decode()
    assert (active(alice), active(boss)) == (0, 2)


def test_users_who_cannot_be_found_in_time_are_searched_with_the_sessions(client, alice):
    row = make_session(alice)
    users = connection.ops.quote_name(User._meta.db_table)

    def stop(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if f"FROM {users}" in sql and "LIMIT 1001" in sql:
            raise TimeIsUpError
        return execute(sql, params, many, context)

    with connection.execute_wrapper(stop):
        assert shown(page(client, q="ali")) == {row.pk}


@pytest.mark.skipif(connection.vendor == "sqlite", reason="its limit is not part of a statement")
def test_the_database_is_told_the_limits(client, alice):
    make_session(alice)
    with CaptureQueriesContext(connection) as queries:
        page(client)
    mark = {"postgresql": "statement_timeout", "mysql": "max_statement_time"}[connection.vendor]
    # The list, its counts and the first session.
    assert sum(mark in query["sql"] for query in queries) >= 4


def test_the_limits_are_for_the_list_alone(client, alice):
    """A write that were stopped would be undone."""
    make_session(alice)
    page(client)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone()[0] == "0"
        assert not connection.execute_wrappers
