"""GET sessions, and its pages."""

from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus.models import Session
from tests.api.conftest import code, grow_stale

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]


def ids(answer):
    assert answer.status_code == 200, answer.content
    assert answer.json().keys() == {"next", "previous", "results"}
    return [session["id"] for session in answer.json()["results"]]


def joined(pages):
    return [entry for page in pages for entry in ids(page)]


def follow(client, answer, direction="next"):
    """Return the pages from this one on."""
    pages = [answer]
    while address := pages[-1].json()[direction]:
        pages.append(client.send("get", address.removeprefix("http://testserver")))
    return pages


def test_it_lists_the_active_sessions_of_the_user_newest_activity_first(
    signed_in, ada, eve, make_session
):
    now = timezone.now()
    current = Session.objects.get()
    second = make_session(ada, last_seen_at=now - timedelta(hours=2))
    first = make_session(ada, last_seen_at=now - timedelta(hours=1))
    make_session(eve)
    make_session(ada, ended_at=now, end_reason="revoked")
    make_session(ada, expires_at=now - timedelta(seconds=1))
    make_session(ada, authenticated_at=now - timedelta(days=31))
    assert ids(signed_in.send("get", "sessions")) == [
        str(session.pk) for session in (current, first, second)
    ]


def test_the_current_one_is_flagged_by_its_row(clock, signed_in, ada, make_session):
    make_session(ada, ip_address="127.0.0.1")
    results = signed_in.send("get", "sessions").json()["results"]
    current = signed_in.send("get", "session").json()["session"]
    assert [session for session in results if session["is_current"]] == [current]


def test_it_needs_no_fresh_session(signed_in):
    grow_stale()
    assert signed_in.send("get", "sessions").status_code == 200


def test_it_is_not_for_anonymous_visitors(client):
    answer = client.send("get", "sessions")
    assert (answer.status_code, code(answer)) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("others", [0, 1, 40])
def test_it_costs_two_queries_however_many_there_are(
    signed_in, ada, make_session, others, django_assert_num_queries
):
    for _ in range(others):
        make_session(ada, user_agent="Firefox/130.0")
    with django_assert_num_queries(2):
        assert len(ids(signed_in.send("get", "sessions"))) == others + 1


@pytest.mark.parametrize("ties", [False, True])
def test_pages_together_are_the_list_in_both_directions(
    by_cookie, ada, make_session, settings, ties
):
    now = timezone.now()
    for number in range(10):
        make_session(ada, last_seen_at=now - timedelta(seconds=0 if ties else number + 1))
    whole = ids(by_cookie.send("get", "sessions"))
    assert len(whole) == 11
    settings.SESSIONS_PLUS_PAGE_SIZE = 4
    forth = follow(by_cookie, by_cookie.send("get", "sessions"))
    assert [len(ids(page)) for page in forth] == [4, 4, 3]
    assert joined(forth) == whole
    back = follow(by_cookie, forth[-1], "previous")
    assert [ids(page) for page in back] == [ids(page) for page in forth[::-1]]
    assert forth[0].json()["previous"] is None
    again = follow(by_cookie, back[-1])
    assert [ids(page) for page in again] == [ids(page) for page in forth]


def test_a_session_that_moves_to_the_front_hides_no_other(by_cookie, ada, make_session, settings):
    now = timezone.now()
    rows = [make_session(ada, last_seen_at=now - timedelta(hours=n + 1)) for n in range(5)]
    settings.SESSIONS_PLUS_PAGE_SIZE = 3
    first = by_cookie.send("get", "sessions")
    Session.objects.filter(pk=rows[4].pk).update(last_seen_at=now + timedelta(seconds=1))
    Session.objects.filter(pk=rows[0].pk).end(reason="revoked")
    rest = follow(by_cookie, first)[1:]
    assert joined(rest) == [str(rows[2].pk), str(rows[3].pk)]


def test_a_page_of_which_nothing_is_left_leads_back_to_the_front(
    by_cookie, ada, make_session, settings
):
    now = timezone.now()
    old = [make_session(ada, last_seen_at=now - timedelta(hours=n + 1)) for n in range(2)]
    settings.SESSIONS_PLUS_PAGE_SIZE = 1
    pages = follow(by_cookie, by_cookie.send("get", "sessions"))
    Session.objects.filter(pk__in=[row.pk for row in old]).end(reason="revoked")
    address = pages[0].json()["next"].removeprefix("http://testserver")
    answer = by_cookie.send("get", address)
    assert (ids(answer), answer.json()["next"]) == ([], None)
    assert answer.json()["previous"] == "http://testserver/auth/sessions"


def test_addresses_repeat_nothing_of_the_requests_own_query(by_cookie, ada, make_session, settings):
    make_session(ada)
    settings.SESSIONS_PLUS_PAGE_SIZE = 1
    assert "evil" not in by_cookie.send("get", "/auth/sessions?evil=1").json()["next"]


def test_one_persons_cursor_shows_another_nothing(by_cookie, ada, eve, make_session, settings):
    make_session(ada, last_seen_at=timezone.now() - timedelta(hours=1))
    settings.SESSIONS_PLUS_PAGE_SIZE = 1
    address = by_cookie.send("get", "sessions").json()["next"]
    by_cookie.sign_in("eve")
    assert ids(by_cookie.send("get", address.removeprefix("http://testserver"))) == []


def encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "%00",
        "a" * 100_000,
        "\u00e9",
        encoded("n1.xyz"),
        encoded("z1." + "a" * 32),
        encoded("n" + "9" * 18 + "." + "a" * 32),
        encoded("n-1." + "a" * 32),
        encoded("n\u0661." + "a" * 32),
    ],
)
def test_a_cursor_that_was_not_given_out_is_refused(by_cookie, cursor):
    answer = by_cookie.get("/auth/sessions", {"cursor": cursor})
    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert answer.json()["fields"].keys() == {"cursor"}
    assert not cursor or len(cursor) < 3 or cursor not in answer.content.decode()


@pytest.mark.parametrize("direction", ["n", "p"])
@pytest.mark.parametrize("moment", ["0", "9" * 17])
def test_a_cursor_at_the_ends_of_time_is_harmless(by_cookie, direction, moment):
    cursor = encoded(f"{direction}{moment}.{'f' * 32}")
    assert by_cookie.get("/auth/sessions", {"cursor": cursor}).status_code == 200


@given(cursor=st.text(max_size=60))
def test_no_cursor_breaks_the_list(by_cookie, cursor):
    assert by_cookie.get("/auth/sessions", {"cursor": cursor}).status_code == 400
