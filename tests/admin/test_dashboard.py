"""The admin's counts, filters, dates and networks: each shows just what it says, for a bounded price."""

import re
import uuid
from datetime import UTC, date, datetime, timedelta
from html import unescape
from ipaddress import ip_address
from urllib.parse import parse_qsl

import pytest
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from django_sessions_plus import tokens
from django_sessions_plus.admin import cells, dashboard, listing, networks, periods
from django_sessions_plus.devices import Device
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason, Status
from example_project import demo_data
from tests.admin.site import LIST, act, make_ended, make_session, make_staff, page, shown

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.admin.site")]

NOON = datetime(2030, 3, 20, 12, tzinfo=UTC)


@pytest.fixture
def noon(clock, settings):
    """Stop the clock, before anybody signs in, where people and computers agree on the day."""
    clock.moment = NOON
    settings.TIME_ZONE = "UTC"
    return clock


@pytest.fixture
def noon_somewhere(settings):
    """Be where it is about noon: no midnight passes, for rows whose ids are made by the real clock."""
    hours = datetime.now(UTC).hour - 12
    # These are named by what is missing to UTC.
    settings.TIME_ZONE = f"Etc/GMT{hours:+}"


def begun(moment, user=None, **columns):
    """A session that began then, by its id too."""
    key = uuid.UUID(int=tokens.first_id(moment).int | tokens.make_id().int & (1 << 62) - 1)
    return make_session(user, id=key, created_at=moment, **columns)


def cards(response):
    return {card.label: (card, link) for card, link in response.context["cl"].cards()}


# The counts


@pytest.mark.usefixtures("noon_somewhere")
def test_the_counts_are_those_of_the_lists_they_lead_to(client, alice, own):
    now = timezone.now()
    begun(now - timedelta(days=2), alice)
    make_session()
    for reason in (EndReason.REVOKED, EndReason.REVOKED, EndReason.REFRESH_REUSED):
        make_ended(alice, end_reason=reason)
    long_ago = now - timedelta(days=8)
    make_ended(alice, end_reason=EndReason.REVOKED, ended_at=long_ago, expires_at=long_ago)
    begun(now - timedelta(days=2), alice, expires_at=now - timedelta(days=1))

    found = cards(page(client))
    assert {label: card.number for label, (card, _) in found.items()} == {
        "Active now": "2",
        "Signed in today": "5",
        "Revoked in 7 days": "2",
        "Refresh tokens reused in 7 days": "1",
    }
    for label, (card, link) in found.items():
        listed = page(client, **dict(parse_qsl(link[1:])))
        assert len(shown(listed)) == int(card.number), label
        # They are of everybody, whatever the list shows.
        assert cards(listed)[label][0] == card


def test_reuse_is_an_alarm_and_none_is_not(client, alice):
    assert "dsp-alarm" not in page(client).content.decode()
    make_ended(alice, end_reason=EndReason.REFRESH_REUSED)
    assert page(client).content.decode().count("dsp-alarm") == 1


def test_the_counts_read_no_more_rows_than_they_may(client, alice, monkeypatch):
    monkeypatch.setattr(dashboard, "MAX_COUNT", 2)
    monkeypatch.setattr(listing, "MAX_COUNT", 2)
    for _ in range(3):
        make_session()
        make_ended(alice, end_reason=EndReason.REVOKED)
    with CaptureQueriesContext(connection) as queries:
        found = cards(page(client))
    assert found["Signed in today"][0].number.endswith("+")
    assert found["Revoked in 7 days"][0].number == "2+"
    assert found["Refresh tokens reused in 7 days"][0].number == "0+"
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert len(counts) >= 2
    assert all("LIMIT 3)" in sql for sql in counts), counts


def test_what_somebody_searches_for_stands_without_the_counts_of_everybody(client, alice):
    make_session(alice)
    assert "dsp-cards" in page(client, state="all").content.decode()
    assert "dsp-cards" not in page(client, q="alice").content.decode()
    assert "dsp-cards" not in page(client, user=alice.pk).content.decode()


def test_today_begins_at_midnight_where_people_are(noon, client, alice, settings):
    noon.advance(hours=14)
    settings.TIME_ZONE = "America/New_York"
    begun(noon.moment - timedelta(hours=1), alice)
    begun(noon.moment - timedelta(hours=20), alice)
    # In New York it is ten in the evening of the 20th; there, this was all of one day.
    card, link = cards(page(client))["Signed in today"]
    assert (card.number, link) == ("2", "?state=users&began=2030-03-20")
    settings.TIME_ZONE = "UTC"
    card, link = cards(page(client))["Signed in today"]
    assert (card.number, link) == ("1", "?state=users&began=2030-03-21")


# Filters


def test_the_filters_keep_what_they_say(client, alice, own):
    now = timezone.now()
    script = make_session(alice, agent="curl/8.14.1")
    api = make_session(alice, refresh_started_at=now)
    token = make_session(alice, agent="export", authenticated_at=None)
    old = make_session(alice, last_seen_at=now - timedelta(days=8))
    assert shown(page(client, access="app")) == {script.pk}
    assert shown(page(client, access="api")) == {api.pk}
    assert shown(page(client, access="token")) == {token.pk}
    assert old.pk in shown(page(client, access="browser"))
    assert shown(page(client, seen="before")) == {old.pk}
    for span in ("hour", "day", "week"):
        assert shown(page(client, seen=span)) == {script.pk, api.pk, token.pk, own.pk}


def test_ends_are_filtered_by_reason_and_time(client, alice):
    now = timezone.now()
    made = {reason: make_ended(alice, end_reason=reason) for reason in (*EndReason.values, "fraud")}
    for reason in EndReason.values:
        assert shown(page(client, state="ended", reason=reason)) == {made[reason].pk}
    assert shown(page(client, state="ended", reason="other")) == {made["fraud"].pk}
    before = [now - timedelta(days=days) for days in (2, 8)]
    some, old = (make_ended(alice, ended_at=at, expires_at=at) for at in before)
    recent = {row.pk for row in made.values()}
    assert shown(page(client, state="ended", ended="day")) == recent
    assert shown(page(client, state="ended", ended="week")) == recent | {some.pk}
    assert old.pk in shown(page(client, state="ended"))


def test_what_asks_about_ends_is_offered_where_ends_are_listed(client, alice):
    def titles(**params):
        return [str(spec.title) for spec in page(client, **params).context["cl"].filter_specs]

    assert titles() == ["state", "kind of access", "last seen", "staff"]
    assert titles(state="ended")[:3] == ["state", "end reason", "ended"]
    change_list = page(client, state="ended", reason="revoked", ended="day").context["cl"]
    choices = {
        c["display"]: c["query_string"] for c in change_list.filter_specs[0].choices(change_list)
    }
    assert choices["Active"] == "?"
    assert choices["Expired"] == "?state=expired"
    assert choices["Ended"] == "?ended=day&reason=revoked&state=ended"


def test_what_ended_last_comes_first(client, alice):
    now = timezone.now()
    times = [now - timedelta(hours=hours) for hours in (2, 1, 3)]
    rows = [make_ended(alice, ended_at=at, expires_at=at) for at in times]
    found = [row.pk for row in page(client, state="ended").context["cl"].result_list]
    assert found == [rows[1].pk, rows[0].pk, rows[2].pk]


@pytest.mark.parametrize(
    "params",
    [
        *({name: "x'\"<script>"} for name in ("reason", "ended", "access", "seen", "began")),
        *({name: ""} for name in ("reason", "access")),
        *(
            {"began": text}
            for text in ("0000", "1969", "9999", "9999-12", "2026-13", "2026-02-30", "2026-1")
        ),
        *({"began": text} for text in ("2026-02-", "٢٠٢٦", "2026\n", "2026-01-01T00:00")),
    ],
)
def test_parameters_that_nobody_offers_lead_back_to_the_list(client, params):
    response = page(client, **params)
    assert (response.status_code, response["Location"]) == (302, f"{LIST}?e=1")


def test_no_filter_joins_the_users_who_may_be_elsewhere(client, alice):
    make_session(alice)
    with CaptureQueriesContext(connection) as queries:
        page(client, q="ali 192.0.2.0/24", staff="no", user=alice.pk, access="app", seen="day")
        page(client, state="ended", reason="other", ended="week", began="2026")
    sql = [query["sql"] for query in queries if "django_sessions_plus_session" in query["sql"]]
    # But for the look-up of the request's own session and its user, by its token.
    joined = [text for text in sql if "JOIN" in text and not re.search(r"token_digest\W? = ", text)]
    assert sql
    assert not joined


# Dates


def test_a_period_shows_what_began_in_it(noon, client, alice):
    moments = {
        "new year": NOON.replace(month=1, day=1, hour=0),
        "last year": NOON.replace(year=2029, month=12, day=31, hour=23),
        "february": NOON.replace(month=2, day=28, hour=23, minute=59),
        "today": NOON,
        "midnight": NOON.replace(hour=0),
        "yesterday": NOON.replace(day=19, hour=23, minute=59),
    }
    rows = {name: begun(moment, alice) for name, moment in moments.items()}

    def names(text):
        found = shown(page(client, state="users", began=text))
        return {name for name, row in rows.items() if row.pk in found}

    assert names("2029") == names("2029-12") == names("2029-12-31") == {"last year"}
    assert names("2030") == {*rows} - {"last year"}
    assert names("2030-01-01") == {"new year"}
    assert names("2030-02") == {"february"}
    assert names("2030-03-20") == {"today", "midnight"}
    assert names("2030-03-19") == {"yesterday"}
    assert names("2031") == set()


@pytest.mark.parametrize(
    ("text", "oldest", "back", "titles"),
    [
        ("", "2030-03-18", None, ["March 2030", "18", "19", "20"]),
        ("", "2030-02-18", None, ["February 2030", "March 2030"]),
        ("", "2028-02-18", None, ["2028", "2029", "2030"]),
        ("", "2030-03-20", None, []),
        ("2029", "2029-11-30", "All dates", ["November 2029", "December 2029"]),
        ("2030", "2028-11-30", "All dates", ["January 2030", "February 2030", "March 2030"]),
        ("2030-03", "2030-03-19", "2030", ["March 2030", "19", "20"]),
        ("2030-02", "2030-02-27", "2030", ["February 2030", "27", "28"]),
        ("2030-03-19", "2030-03-01", "March 2030", ["March 19"]),
        ("2027", "2030-03-01", "All dates", []),
        ("2031-05", "2030-03-01", "2031", []),
    ],
)
def test_the_dates_offered_are_those_since_the_oldest_session(noon, text, oldest, back, titles):
    began = datetime.fromisoformat(oldest).replace(tzinfo=UTC)
    found = periods.hierarchy(periods.parse(text), began, lambda text: f"?{text}")
    assert (found["back"] and found["back"]["title"]) == back
    if found["show"]:
        assert [choice["title"] for choice in found["choices"]] == titles
    else:
        assert titles == []


def test_the_dates_lead_down_and_back_and_keep_the_filters(noon, client, alice):
    begun(NOON - timedelta(days=400), alice)
    html = unescape(page(client, state="all").content.decode())
    assert 'href="?began=2029&state=all"' in html
    html = unescape(page(client, state="all", began="2029-02-13").content.decode())
    assert 'href="?began=2029-02&state=all" class="date-back"' in html


def test_without_sessions_there_are_no_dates(client, monkeypatch):
    assert periods.hierarchy(periods.parse(None), None, str)["show"] is False
    change_list = page(client).context["cl"]
    change_list.root_queryset = Session.objects.none()
    assert change_list.hierarchy()["show"] is False


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Santiago"])
def test_each_moment_is_in_one_day(zone):
    with timezone.override(zone):
        day = date(2026, 9, 5)
        for _ in range(3):
            following = day + timedelta(days=1)
            assert periods.Period(day.isoformat()).end == following
            assert periods.local_date(periods.start_of(day)) == day
            day = following


def test_periods_without_time_zones(settings):
    settings.USE_TZ = False
    assert periods.start_of(date(2026, 1, 1)) == datetime(2026, 1, 1)
    assert periods.local_date(datetime(2026, 1, 1, 23)) == date(2026, 1, 1)
    with pytest.raises(IncorrectLookupParameters):
        periods.parse("1900")


# Networks

ADDRESSES = [
    *("192.0.2.0", "192.0.2.7", "192.0.2.9", "192.0.2.10", "192.0.2.127", "192.0.2.128"),
    *("192.0.2.255", "192.0.20.1", "192.0.3.1", "192.168.0.1", "10.0.0.1", "19.2.0.2"),
    *("::1", "::", "2001:db8::", "2001:db8::5", "2001:db8:4f2:1::9c", "2001:db8:4f2:1000::1"),
    *("2001:db8:4f2:10::1", "2001:0:0:1::5", "2001:0:0:1:2:3:4:5", "2001::1:0:0:0:5"),
    *("2001:db8:0:1:1:1:1:1", "2001:db9::1", "fe80::1", "2001:db80::1"),
]


NETWORKS = [
    *("192.0.2.0/24", "192.0.2.77/24", "192.0.2.8/29", "192.0.2.128/25", "192.0.2.7/32"),
    *("192.0.0.0/16", "192.0.2.0/23", "192.0.16.0/20", "192.0.0.0/9", "0.0.0.0/0", "8.0.0.0/5"),
    *("2001:db8::/32", "2001:db8:4f2:1::/64", "2001:db8:4f2:1000::/52", "2001:db8::/48"),
    *("2001::/16", "2001:0:0:1::/64", "::/0", "::/64", "fe80::/10", "2001:db8::5/128", "::1/128"),
]


def test_a_network_is_searched_as_it_is_meant(client, alice):
    rows = {make_session(alice, ip=address).pk: ip_address(address) for address in ADDRESSES}
    make_session(alice, ip=None)
    for text in NETWORKS:
        network = networks.parse(text)
        assert network is not None
        found = {rows[key] for key in shown(page(client, q=f"alice {text}"))}
        assert found == {each for each in rows.values() if each in network}, text


@pytest.mark.parametrize(
    "text", ["192.0.2.0/33", "192.0.2/24", "alice/8", "/8", "1.2.3.4/x", "::/129"]
)
def test_what_is_no_network_is_looked_for_among_names(client, alice, text):
    make_session(alice)
    assert networks.parse(text) is None
    assert shown(page(client, q=text)) == set()


# Cells


def test_cells_are_kept_for_each_language_apart(noon):
    device = Device("", "", "", "phone")
    now = timezone.now()
    with translation.override("de"):
        assert "Unbekanntes Gerät" in cells.device(device)
        assert "Beendet" in cells.state(Status.ENDED)
        assert "März" in cells.time(NOON, now)
        assert "Stunden" in cells.time(now - timedelta(hours=3), now)
    with translation.override("en"):
        assert "Unknown device" in cells.device(device)
        assert "Ended" in cells.state(Status.ENDED)
        assert "hours" in cells.time(now - timedelta(hours=3), now)
        assert "March 20, 2030, 12:00:00" in cells.time(NOON, now)


def test_each_device_leads_to_its_session(client, alice):
    rows = [make_session(alice) for _ in range(3)]
    for address in (LIST, "/own/django_sessions_plus/session/"):
        html = client.get(address).content.decode()
        for row in rows:
            assert f'href="{address}{row.pk}/change/"' in html


# Whose sessions end


def test_all_sessions_of_the_users_of_chosen_ones_are_ended(client, alice, bob, own):
    first, second, his = make_session(alice), make_session(alice), make_session(bob)
    anonymous = make_session()
    response = act(client, first, anonymous, action="end_all_of_users", url=f"{LIST}?state=all")
    assert "2 sessions were ended." in response.content.decode()
    for row in (first, second, his, anonymous):
        row.refresh_from_db()
    assert [row.status() for row in (first, second)] == [Status.ENDED] * 2
    assert [row.status() for row in (his, anonymous)] == [Status.ACTIVE] * 2


def test_the_users_of_more_sessions_than_one_request_can_serve_are_refused(
    client, alice, monkeypatch
):
    monkeypatch.setattr("django_sessions_plus.admin.ending.END_AT_ONCE", 1)
    rows = [make_session(alice) for _ in range(2)]
    response = act(client, rows[0], action="end_all_of_users", select_across="1")
    assert "at most 1 sessions" in response.content.decode()
    assert Session.objects.active().for_user(alice).count() == 2


@pytest.mark.parametrize(
    "action", ["end_selected", "end_all_of_users", "delete_selected", "nonsense"]
)
@pytest.mark.parametrize("may", [("view_session",), ("change_session", "delete_session")])
def test_who_may_not_end_cannot_by_any_action(alice, action, may):
    row = make_session(alice)
    client = Client()
    client.force_login(make_staff("clerk", *may))
    act(client, row, action=action, select_across="1", post="yes")
    for url in (f"{LIST}{row.pk}/end/", f"{LIST}end-all/{alice.pk}/"):
        assert client.post(url).status_code == 403
    row.refresh_from_db()
    assert row.is_active()


def test_who_may_end_need_not_be_shown_the_list(alice):
    row = make_session(alice)
    client = Client()
    client.force_login(make_staff("clerk", "revoke_session"))
    assert page(client).status_code == 403
    assert client.get(f"{LIST}{row.pk}/change/").status_code == 403
    for address in (f"{LIST}{row.pk}/end/", f"{LIST}end-all/{alice.pk}/"):
        asked = client.get(address).content.decode()
        assert 'type="submit"' in asked
        assert row.device.label not in asked
        assert row.ip_address not in asked
    assert client.post(f"{LIST}{row.pk}/end/").status_code == 302
    row.refresh_from_db()
    assert row.status() is Status.ENDED


# One session, and one user


def events(client, row):
    context = client.get(f"{LIST}{row.pk}/change/").context
    return [(event.what, *map(str, event.details)) for event, _ in context["timeline"]]


def test_the_timeline_tells_what_the_row_knows(noon, client, alice, boss):
    hours = [NOON - timedelta(hours=number) for number in range(10)]
    row = make_session(
        alice,
        created_at=hours[9],
        authenticated_at=hours[8],
        refresh_started_at=hours[7],
        refreshed_at=hours[3],
        last_seen_at=hours[2],
    )
    told = events(client, row)
    assert [what for what, *_ in told] == [
        "Session began",
        "Signed in, or confirmed the password",
        "First refresh token issued",
        "Refresh token last rotated",
        "Last seen",
        "Expires, unless it is used before",
    ]
    assert told[4][2] == "192.0.2.7"
    Session.objects.filter(pk=row.pk).update(
        ended_at=hours[1], expires_at=hours[1], end_reason="revoked", ended_by=boss
    )
    assert events(client, row)[-1] == ("Ended", "revoked", "by boss")


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ({"previous_ip_address": "198.51.100.1"}, ("before: 198.51.100.1",)),
        (
            {"previous_user_agent": demo_data.FIREFOX_LINUX, "previous_ip_address": "198.51.100.1"},
            ("before: Firefox on Linux, 198.51.100.1",),
        ),
        ({"previous_user_agent": "\u202e"}, ("before: Unknown device",)),
        # Recording is off by now.
        ({}, ()),
    ],
    ids=["network", "both", "odd", "off"],
)
def test_the_timeline_tells_when_a_session_was_used_from_elsewhere(
    noon, client, alice, before, said
):
    row = make_session(
        alice,
        created_at=NOON - timedelta(hours=3),
        authenticated_at=NOON - timedelta(hours=3),
        context_changed_at=NOON - timedelta(hours=2),
        last_seen_at=NOON - timedelta(hours=1),
        **before,
    )
    told = events(client, row)
    assert [what for what, *_ in told[:3]] == [
        "Signed in",
        "Used from another network or browser",
        "Last seen",
    ]
    assert told[1][1:] == said


def test_the_timeline_of_other_sessions(noon, client, alice, settings):
    then = {"created_at": NOON, "last_seen_at": NOON + timedelta(seconds=1)}
    before = NOON - timedelta(days=1)
    visit = make_session(**then)
    token = make_session(alice, **then | {"authenticated_at": None})
    plain = make_session(alice, **then)
    expired = make_session(alice, expires_at=before, created_at=before, authenticated_at=before)
    limited = make_session(alice, authenticated_at=NOON - timedelta(days=31))
    capped = make_session(alice, expires_at=NOON + timedelta(days=30), **then)
    assert events(client, visit)[0] == ("Visit began",)
    assert events(client, token)[0] == ("Token issued",)
    assert events(client, plain)[0] == ("Signed in",)
    assert ("Expired", "idle timeout") in events(client, expired)
    assert ("Expired", "absolute timeout") in events(client, limited)
    assert events(client, capped)[-1] == ("Expires",)
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = None
    assert events(client, capped)[-1] == ("Expires, unless it is used before",)


def test_what_one_request_did_is_one_event(noon, client, alice):
    """The row of a visit that signs in at once is a little older than the sign-in."""
    at = {"authenticated_at": NOON, "last_seen_at": NOON}
    at_once = make_session(alice, created_at=NOON - timedelta(seconds=2), **at)
    later = make_session(alice, created_at=NOON - timedelta(seconds=3), **at)
    assert events(client, at_once)[0] == ("Signed in",)
    assert events(client, later)[0] == ("Session began",)


def test_the_timeline_ends_where_the_absolute_limit_is(noon, client, alice):
    row = make_session(alice, authenticated_at=NOON, expires_at=NOON + timedelta(days=300))
    context = client.get(f"{LIST}{row.pk}/change/").context
    (*_, (last, _)) = context["timeline"]
    assert (last.what, last.at) == ("Expires", NOON + timedelta(days=30))


def test_what_was_not_recorded_is_not_in_the_timeline(noon, client, alice):
    row = make_session(alice, ip=None, created_at=NOON, last_seen_at=NOON)
    (seen,) = (details for what, *details in events(client, row) if what == "Last seen")
    assert len(seen) == 1


def test_who_ended_a_session_and_is_gone_is_passed_over(client, alice):
    row = make_ended(alice, end_reason="revoked", ended_by_id=987654321)
    assert events(client, row)[-1] == ("Ended", "revoked")


def test_a_users_page_shows_what_the_user_is_signed_in_on(client, alice, boss, own):
    for number in range(22):
        make_session(alice, ip=f"192.0.2.{number}")
    ended = make_ended(alice, ip="198.51.100.1")
    html = client.get(f"/own/auth/user/{alice.pk}/change/").content.decode()
    assert html.count('<th scope="row">') == 20
    assert "198.51.100.1" not in html
    assert f"{ended.pk}" not in html
    assert "All sessions of this user" in html
    assert html.count(">End</a>") == 20
    assert (
        f'class="button dsp-end" href="/own/django_sessions_plus/session/end-all/{alice.pk}/"'
        in html
    )
    html = client.get(f"/own/auth/user/{boss.pk}/change/").content.decode()
    assert html.count("this session") == 1


def test_a_users_page_costs_the_same_for_any_number_of_sessions(client, alice):
    # Content types are looked up once.
    client.get(f"/own/auth/user/{alice.pk}/change/")
    costs = []
    for size in (1, 9, 20):
        for _ in range(size):
            make_session(alice)
        with CaptureQueriesContext(connection) as queries:
            client.get(f"/own/auth/user/{alice.pk}/change/")
        costs.append(len(queries))
    assert costs[0] == costs[1] == costs[2] <= 10


def test_a_users_page_shows_and_ends_for_whom_it_may(alice):
    row = make_session(alice)
    address = f"/own/auth/user/{alice.pk}/change/"

    def seen_by(name, *may):
        client = Client()
        client.force_login(make_staff(name, "view_user", *may))
        html = client.get(address).content.decode()
        return f"{row.pk}/change/" in html, f"{row.pk}/end/" in html, "end-all" in html

    assert seen_by("nobody") == (False, False, False)
    assert seen_by("viewer", "view_session") == (True, False, False)
    assert seen_by("ender", "revoke_session") == (False, False, True)
    assert seen_by("both", "view_session", "revoke_session") == (True, True, True)


def test_what_people_call_themselves_is_escaped(client, boss):
    evil = "<img src=x onerror=alert(1)>"
    mallory = User.objects.create(username=evil)
    row = make_session(
        mallory,
        agent=f"{evil} (desktop)",
        context_changed_at=timezone.now(),
        previous_user_agent=f"{evil} (desktop)",
    )
    ended = make_ended(mallory, end_reason="<b>fraud</b>", ended_by=mallory, agent=evil)
    for address in (
        f"{LIST}?state=all",
        f"{LIST}?user={mallory.pk}",
        f"{LIST}?q=%3Cimg+src=x+onerror=alert(1)%3E",
        f"{LIST}{row.pk}/change/",
        f"{LIST}{ended.pk}/change/",
        f"{LIST}{row.pk}/end/",
        f"{LIST}end-all/{mallory.pk}/",
        f"/own/auth/user/{mallory.pk}/change/",
    ):
        html = client.get(address).content.decode()
        assert "<img src=x" not in html, address
        assert "<b>fraud" not in html, address


def test_the_pages_of_sessions_have_no_script_and_no_style_of_their_own(client, alice):
    row = make_session(alice)
    addresses = [
        LIST,
        f"{LIST}{row.pk}/change/",
        reverse("admin:django_sessions_plus_session_everyone"),
    ]
    for address in addresses:
        html = client.get(address).content.decode()
        assert " style=" not in html
        assert " onclick=" not in html
        assert "<style" not in html
        assert html.count("<script") == html.count("<script src=") + html.count('<script id="')
