"""What nearly every request runs, and what ends many sessions, goes by an index to what it needs.

No index serves an order by last activity, on purpose: each touch would have to write it. One
person's sessions are found by theirs, and put in order.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.accounts.new_devices import report_new_device
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.bulk import purging
from django_sessions_plus.models import Session
from django_sessions_plus.signals import new_device_signed_in
from tests.scale.plans import SEEK, Plan, plans_of
from tests.scale.rows import token

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.db_engine,
    pytest.mark.thorough,
    pytest.mark.usefixtures("people"),
]

DIGEST = (SEEK, ("token_digest",))
KEY = (SEEK, ("id",))
LIVE = (SEEK, ("user_id", "expires_at"))
PURGE = (SEEK, ("expires_at",))
EXPIRED = (SEEK, ("end_reason", "expires_at"))
ENDED_BY = (SEEK, ("ended_by_id",))
# Who waits for a turn to write, where rows cannot be locked, writes to none.
TURN = {DIGEST} if connection.vendor == "sqlite" else set()

NUMBER = 7


@pytest.fixture(params=[True, False], ids=["compiled", "ORM"])
def fast_path(request, settings):
    settings.SESSIONS_PLUS_FAST_PATH = request.param


@pytest.fixture
def row(people: list[User]) -> Session:
    """A session in use, with data that can be read, and a touch that is due."""
    before = timezone.now() - timedelta(days=2)
    rows = Session.objects.filter(token_digest=tokens.digest(token(NUMBER)))
    after = before + timedelta(days=14)
    rows.update(session_data='{"a": 1}', last_seen_at=before, expires_at=after)
    return rows.get()


def ways(plans: list[Plan]) -> set[tuple[str, tuple[str, ...]]]:
    return {way for plan in plans for way in plan.of(Session)}


def loaded(number: int = NUMBER) -> SessionStore:
    store = SessionStore(token(number))
    store.get("a")
    return store


@pytest.mark.parametrize("wants_user", [False, True])
def test_a_token_is_looked_up_by_its_digest_and_the_user_by_its_key(row, fast_path, wants_user):
    store = SessionStore(token(NUMBER))
    store.wants_user = wants_user
    (plan,) = plans_of(store.load)
    assert plan.of(Session) == [DIGEST]
    assert plan.of(User) == ([KEY] if wants_user else [])
    assert not plan.sorts


def test_a_token_that_opens_nothing_is_looked_up_by_its_digest(row):
    assert ways(plans_of(lambda: SessionStore().exists(token(NUMBER)))) == {DIGEST}


@pytest.mark.parametrize("write", ["save", "cycle_key", "touch", "flush", "merge"])
def test_a_session_is_written_where_it_is(row, fast_path, write):
    store = loaded()
    if write in {"save", "merge"}:
        store["b"] = 1
    if write == "merge":
        other = loaded()
        other["c"] = 1
        other.save()
    plans = plans_of(store.save if write == "merge" else getattr(store, write))
    assert "UPDATE" in {plan.verb for plan in plans}
    for plan in plans:
        # The primary key or the unique digest, and with a row that may be locked each of them.
        assert set(plan.of(Session)) <= {KEY, DIGEST}
        assert plan.of(Session)
        assert not plan.sorts


def test_one_session_is_revoked_by_its_key(row):
    assert ways(plans_of(lambda: sessions.revoke(row.pk))) == {KEY}


def test_a_person_s_sessions_are_found_by_the_person(people):
    (plan,) = plans_of(lambda: list(sessions.list_for(people[0])))
    assert plan.of(Session) == [LIVE]


def test_so_are_the_devices_the_person_has_used_before(people, row):
    new_device_signed_in.connect(lambda **kwargs: None, weak=False, dispatch_uid="plans")
    try:
        plans = plans_of(lambda: report_new_device(session=row, user=people[0]))
    finally:
        new_device_signed_in.disconnect(dispatch_uid="plans")
    assert ways(plans) == {LIVE}


@pytest.mark.urls("tests.custom.urls")
def test_the_api_s_pages_begin_after_a_row_and_count_nothing(people, settings, statements):
    settings.SESSIONS_PLUS_PAGE_SIZE = 10
    client = Client()
    client.force_login(people[0])
    address = "/auth/sessions"
    seen: list[Any] = []

    def read(address: str) -> None:
        seen.append(client.get(address).json())

    for direction in ("next", "next", "next", "previous"):
        with statements() as executed:
            plans = plans_of(partial(read, address))
        assert {DIGEST, LIVE} == ways(plans)
        (listing,) = [plan for plan in plans if plan.of(Session) == [LIVE]]
        assert listing.sql.endswith("LIMIT 11")
        assert "OFFSET" not in listing.sql
        assert not any("COUNT(" in sql for sql in executed)
        address = seen[-1][direction]
    ids = [row["id"] for page in seen for row in page["results"]]
    assert len(set(ids)) == len(ids) == 40


@pytest.mark.parametrize("number", [0, 30], ids=["many", "some"])
def test_a_person_s_sessions_are_ended_by_their_keys(people, number):
    plans = plans_of(lambda: sessions.revoke_all(people[number]))
    found, *ended = [plan.of(Session) for plan in plans]
    assert found == [LIVE]
    assert {*map(tuple, ended)} == {(KEY,)}


def test_the_limit_looks_at_one_person_s_sessions_alone(people, settings):
    settings.SESSIONS_PLUS_MAX_PER_USER = 2
    keep = sessions.list_for(people[31])[0]
    plans = plans_of(lambda: sessions.enforce_limit(people[31], keep=keep))
    assert ways(plans) - TURN == {LIVE, KEY}


def test_the_purge_goes_by_the_expiry(monkeypatch):
    monkeypatch.setattr(purging, "BATCH_SIZE", 100)
    if connection.vendor == "postgresql":
        # What other tests have changed and taken back is in nobody's statistics then.
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    before = Session.objects.count()
    plans = plans_of(SessionStore.clear_expired)
    assert Session.objects.count() < before
    assert {LIVE, PURGE, EXPIRED} <= ways(plans) - TURN <= {LIVE, PURGE, EXPIRED, KEY}
    plans = [plan for plan in plans if plan.of(Session) != [DIGEST]]
    # What has but one moment, or less than a batch has to offer, may be put in order otherwise.
    first = next(
        plan for plan in plans if plan.of(Session) == [PURGE] and "end_reason" not in plan.sql
    )
    assert not plans[0].sorts
    assert not first.sorts
    for plan in plans:
        if re.search(r"user_id. IS NULL.* ORDER BY", plan.sql):
            # Or what has expired at one moment, which is named.
            assert plan.of(Session) in ([LIVE], [KEY])
            assert plan.of(Session) == [LIVE] or "IN (" in plan.sql
        # What is between two moments may be found by the expiry alone.
        if re.search(r"end_reason. = .* LIMIT (1|2 OFFSET \d+)$", plan.sql):
            assert plan.of(Session) == [EXPIRED]


def test_a_user_takes_sessions_along_without_a_search(people):
    """Also what the user has ended for others, which the database has to forget."""
    user = User.objects.get(pk=people[32].pk)
    Session.objects.filter(user=people[33]).update(ended_by=user)
    plans = plans_of(user.delete)
    assert ways(plans) == {LIVE, KEY, ENDED_BY}
