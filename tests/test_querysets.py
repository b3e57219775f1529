"""Sets of sessions, held against the pure rules they say once more in SQL."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from django_sessions_plus import policy, tokens
from django_sessions_plus.bulk import purging
from django_sessions_plus.models import Session

pytestmark = pytest.mark.django_db

User = get_user_model()
NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
ABSOLUTE_AGES = [None, TICK, DAY, 30 * DAY]


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def ada():
    return User.objects.create_user("ada")


@pytest.fixture
def bob():
    return User.objects.create_user("bob")


def row(now: datetime, **columns):
    return Session(
        **{
            "token_digest": tokens.digest(tokens.make_token()),
            "session_data": '{"cart": 1}',
            "created_at": now,
            "updated_at": now,
            "last_seen_at": now,
            "expires_at": now + DAY,
        }
        | columns
    )


def stored(now: datetime, **columns):
    made = row(now, **columns)
    made.save()
    return made


def grid(now: datetime, ada):
    """Store a row for each combination of what the rule looks at, boundaries included."""
    around = [-31 * DAY, -DAY, -TICK, timedelta(0), TICK, DAY]
    combinations = itertools.product(
        [
            (None, ""),
            (-DAY, "revoked"),
            (timedelta(0), ""),
            (DAY, "revoked"),
            # What the purge has found expired.
            (-DAY, "idle_timeout"),
            (timedelta(0), "absolute_timeout"),
        ],
        around,
        [None, -30 * DAY, -30 * DAY + TICK, -DAY + TICK, *around],
        [
            (None, -31 * DAY, None),
            *((ada.pk, age, None) for age in (-30 * DAY, -30 * DAY + TICK, -DAY + TICK)),
            # Imported from another engine, where it began long ago.
            *((ada.pk, -31 * DAY, age) for age in (-30 * DAY, -30 * DAY + TICK)),
        ],
    )
    Session.objects.bulk_create(
        row(
            now,
            ended_at=None if ended is None else now + ended,
            end_reason=reason,
            expires_at=now + expires,
            authenticated_at=None if authenticated is None else now + authenticated,
            user_id=user,
            created_at=now + created,
            imported_at=None if imported is None else now + imported,
        )
        for (ended, reason), expires, authenticated, (user, created, imported) in combinations
    )
    return list(Session.objects.all())


def ids(rows):
    return {session.pk for session in rows}


def test_the_sets_say_what_the_rule_says_at_every_boundary(now, ada, settings):
    rows = grid(now, ada)
    for absolute_age in ABSOLUTE_AGES:
        settings.SESSIONS_PLUS_ABSOLUTE_AGE = absolute_age
        by_status = {
            status: {session.pk for session in rows if session.status(now) is status}
            for status in policy.Status
        }
        assert by_status[policy.Status.ACTIVE]
        assert by_status[policy.Status.EXPIRED]
        assert ids(Session.objects.active(now)) == by_status[policy.Status.ACTIVE]
        assert ids(Session.objects.expired(now)) == by_status[policy.Status.EXPIRED]
        assert ids(Session.objects.ended()) == by_status[policy.Status.ENDED]
        assert by_status[policy.Status.ACTIVE] == {s.pk for s in rows if s.is_active(now)}


LIFETIMES = [
    {"bearer": {"absolute": DAY}},
    {"bearer": {"absolute": None}, "jwt": {"absolute": TICK}, "cookie": {"idle": DAY}},
    {"cookie": {"absolute": DAY}, "bearer": {"absolute": DAY}, "jwt": {"absolute": 30 * DAY}},
]


@pytest.mark.parametrize("lifetimes", LIFETIMES)
@pytest.mark.parametrize("absolute_age", [None, 30 * DAY])
def test_the_sets_say_what_the_rule_says_of_each_transport(
    now, ada, settings, absolute_age, lifetimes
):
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = absolute_age
    settings.SESSIONS_PLUS_LIFETIMES = lifetimes
    ages = [TICK, DAY - TICK, DAY, 30 * DAY - TICK, 30 * DAY, 31 * DAY]
    Session.objects.bulk_create(
        row(now, transport=transport, **columns)
        # The last is a transport of a project's own.
        for transport in ("cookie", "bearer", "jwt", "socket")
        for age in ages
        for columns in (
            {"user_id": ada.pk, "authenticated_at": now - age},
            {"user_id": ada.pk, "created_at": now - age},
            {"created_at": now - age},
        )
    )
    rows = list(Session.objects.all())
    active = {session.pk for session in rows if session.is_active(now)}
    assert len(rows) > len(active) > 0
    assert ids(Session.objects.active(now)) == active
    assert ids(Session.objects.expired(now)) == ids(rows) - active


def test_each_session_is_in_exactly_one_of_the_sets(now, ada, settings):
    rows = grid(now, ada)
    for absolute_age in ABSOLUTE_AGES:
        settings.SESSIONS_PLUS_ABSOLUTE_AGE = absolute_age
        sets = (Session.objects.active(now), Session.objects.expired(now), Session.objects.ended())
        found = [session.pk for each in sets for session in each]
        assert len(found) == len(rows)
        assert set(found) == ids(rows)


def test_the_sets_combine_with_other_conditions(now, ada, bob):
    mine = stored(now, user=ada)
    stored(now, user=bob)
    stored(now, user=ada, expires_at=now)
    stored(now, user=ada, ended_at=now)
    assert list(Session.objects.filter(remember=True).for_user(ada).active(now)) == [mine]
    assert Session.objects.for_user(ada).exclude(pk=mine.pk).active(now).count() == 0
    # Also where the set is turned inside out by an outer query.
    assert Session.objects.exclude(pk__in=Session.objects.active(now)).count() == 2


def test_without_a_moment_the_sets_mean_this_one(ada):
    now = timezone.now()
    alive, dead = stored(now), stored(now, expires_at=now - TICK)
    assert list(Session.objects.active()) == [alive]
    assert list(Session.objects.expired()) == [dead]


def test_moments_without_a_time_zone_say_the_same(ada, settings):
    settings.USE_TZ = False
    now = datetime(2026, 3, 29, 2, 30)
    rows = grid(now, ada)
    assert ids(Session.objects.active(now)) == {s.pk for s in rows if s.is_active(now)}
    assert ids(Session.objects.expired(now)) == {s.pk for s in rows if s.status(now) == "expired"}
    assert Session.objects.active().count() == Session.objects.active(timezone.now()).count()


def test_the_sessions_of_a_user_are_found_by_instance_key_and_lazy_object(now, ada, bob):
    mine = stored(now, user=ada)
    stored(now, user=bob)
    stored(now)
    for user in (ada, ada.pk, str(ada.pk), SimpleLazyObject(lambda: ada)):
        assert list(Session.objects.for_user(user)) == [mine]


@pytest.mark.parametrize("nobody", [None, AnonymousUser(), User(username="unsaved")])
@pytest.mark.db_engine
def test_nobody_has_no_sessions_and_costs_no_query(now, nobody):
    stored(now)
    with CaptureQueriesContext(connection) as queries:
        assert list(Session.objects.for_user(nobody)) == []
        assert Session.objects.for_user(nobody).count() == 0
        assert Session.objects.for_user(nobody).end(reason="revoked") == 0
    assert len(queries) == 0


def test_the_last_seen_comes_first_and_the_id_decides_between_equals(now):
    old = stored(now, last_seen_at=now - DAY)
    twins = [stored(now) for _ in range(5)]
    twins.sort(key=lambda session: session.pk, reverse=True)
    assert list(Session.objects.newest_activity_first()) == [*twins, old]


@pytest.fixture(params=["end", "aend"])
def end(request):
    def call(rows, **arguments):
        method = getattr(rows, request.param)
        return (async_to_sync(method) if request.param == "aend" else method)(**arguments)

    return call


def test_ending_wipes_the_data_and_says_when_who_and_why(now, ada, bob, end):
    session = stored(now - DAY, user=ada, authenticated_at=now - DAY, expires_at=now + DAY)
    other = stored(now, user=bob)
    assert end(Session.objects.for_user(ada), reason="revoked", actor=bob, now=now) == 1
    session.refresh_from_db()
    assert (session.ended_at, session.end_reason, session.ended_by) == (now, "revoked", bob)
    assert session.session_data == ""
    assert session.get_decoded() == {}
    assert session.expires_at == now
    assert session.status(now - 2 * DAY) is policy.Status.ENDED
    other.refresh_from_db()
    assert other.status(now) is policy.Status.ACTIVE


def test_of_several_who_end_a_session_only_the_first_does(now, ada, bob, end):
    session = stored(now, user=ada)
    assert end(Session.objects.all(), reason="signed_out", actor=ada, now=now) == 1
    assert end(Session.objects.all(), reason="revoked", actor=bob, now=now + DAY) == 0
    session.refresh_from_db()
    assert (session.ended_at, session.end_reason, session.ended_by) == (now, "signed_out", ada)


@pytest.mark.parametrize("actor", [None, AnonymousUser()])
def test_a_session_may_end_by_nobody(now, ada, end, actor):
    session = stored(now, user=ada)
    assert end(Session.objects.all(), reason="limit", actor=actor) == 1
    session.refresh_from_db()
    assert session.ended_by is None
    assert session.end_reason == "limit"


def test_who_ended_a_session_may_be_named_by_key(now, ada, bob, end):
    session = stored(now, user=ada)
    end(Session.objects.all(), reason="revoked", actor=bob.pk)
    session.refresh_from_db()
    assert session.ended_by == bob


@pytest.mark.db_engine
def test_ending_is_one_statement(now, ada):
    Session.objects.bulk_create(row(now, user=ada) for _ in range(20))
    with CaptureQueriesContext(connection) as queries:
        assert Session.objects.for_user(ada).end(reason="revoked") == 20
    assert len(queries) == 1


@pytest.fixture(params=["purge", "apurge"])
def purge(request):
    def call(rows, now=None):
        function = getattr(purging, request.param)
        if request.param == "apurge":
            function = async_to_sync(function)
        return function(rows, now=now).deleted

    return call


def test_the_purge_takes_expired_visits_at_once_and_sign_ins_after_their_retention(
    now, ada, settings, purge
):
    settings.SESSIONS_PLUS_RETENTION = 7 * DAY
    kept = [
        stored(now, expires_at=now + TICK),
        stored(now, user=ada),
        stored(now, user=ada, expires_at=now),
        stored(now, user=ada, expires_at=now - 7 * DAY + TICK),
        stored(now, user=ada, expires_at=now - 7 * DAY + TICK, ended_at=now - 7 * DAY + TICK),
    ]
    gone = [
        stored(now, expires_at=now),
        stored(now, expires_at=now - 100 * DAY),
        stored(now, user=ada, expires_at=now - 7 * DAY),
        stored(now, user=ada, expires_at=now - 7 * DAY, ended_at=now - 7 * DAY),
        stored(now, user=ada, expires_at=now - 100 * DAY),
    ]
    assert purge(Session.objects.all(), now) == len(gone)
    assert ids(Session.objects.all()) == ids(kept)
    assert purge(Session.objects.all(), now) == 0


def test_without_retention_nothing_that_is_over_is_kept(now, ada, settings, purge):
    settings.SESSIONS_PLUS_RETENTION = timedelta(0)
    alive = stored(now, user=ada)
    stored(now, user=ada, expires_at=now)
    ended = stored(now, user=ada)
    Session.objects.filter(pk=ended.pk).end(reason="revoked", now=now)
    assert purge(Session.objects.all(), now) == 2
    assert list(Session.objects.all()) == [alive]


def test_the_purge_stays_within_its_set(now, ada, bob, settings):
    settings.SESSIONS_PLUS_RETENTION = timedelta(0)
    stored(now, user=ada, expires_at=now)
    theirs = stored(now, user=bob, expires_at=now)
    assert purging.purge(Session.objects.for_user(ada), now=now).deleted == 1
    assert list(Session.objects.all()) == [theirs]


# What with


AGENTS = [
    *(None, "", "Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0"),
    *("mozilla/5.0", "MOZILLA", "Mozillax", "Opera/9.80 (Android; Opera Mini/7.5)"),
    *("Firefox on Windows (desktop)", "Safari on iOS (phone)", "Safari on iOS (tablet)"),
    *("curl (other)", "Googlebot (bot)", "curl/8.14.1", "nightly export", "100%", "a_(desktop)"),
]


def test_the_sets_by_use_say_what_the_rule_says(now, ada):
    facts = itertools.product((None, ada), (None, now), (None, now), (None, now), AGENTS)
    rows = [
        stored(
            now,
            user=user,
            authenticated_at=at,
            imported_at=imported,
            refresh_started_at=since,
            user_agent=agent,
        )
        for user, at, imported, since, agent in facts
    ]
    found = {
        access: set(Session.objects.used_by(access).values_list("pk", flat=True))
        for access in policy.Access
    }
    assert found == {
        access: {row.pk for row in rows if row.access == access} for access in policy.Access
    }
    assert all(found.values())
    assert sum(map(len, found.values())) == len(rows)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, "token"),
        ({"refresh_started_at": NOW}, "token"),
        ({"authenticated_at": NOW, "refresh_started_at": NOW}, "api"),
        ({"authenticated_at": NOW, "user_agent": AGENTS[2]}, "browser"),
        ({"authenticated_at": NOW, "user_agent": "Firefox on Windows (desktop)"}, "browser"),
        ({"authenticated_at": NOW}, "browser"),
        ({"authenticated_at": NOW, "user_agent": "curl/8.14.1"}, "app"),
        ({"user_id": None}, "browser"),
    ],
)
def test_how_a_session_is_used_is_told_from_what_the_row_has(columns, expected):
    assert row(NOW, **{"user_id": 1} | columns).access == expected
