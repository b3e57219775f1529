"""The admin, driven as a person with a browser drives it."""

import re
import uuid
from datetime import datetime, timedelta
from html import unescape

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_sessions_plus.admin import (
    cells,
    ending,
    listing,
    user_search,
)
from django_sessions_plus.devices import Device
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason, Status
from django_sessions_plus.presentation import wording
from django_sessions_plus.signals import session_ended
from tests.admin.site import (
    CHROME,
    IPHONE,
    LIST,
    SECRET,
    PeopleAdmin,
    act,
    make_ended,
    make_session,
    make_sessions,
    make_staff,
    page,
    shown,
)

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.admin.site")]

# The list


def test_the_list_tells_who_is_signed_in_where(client, alice):
    make_session(alice, agent=IPHONE, ip="2001:db8::5")
    html = page(client).content.decode()
    for text in ("alice", "Safari on iOS", "dsp-phone", "2001:db8::5", "Active", "in 14 days"):
        assert text in html.replace("\xa0", " "), text


def test_the_page_of_a_session_tells_by_which_transport_it_started(client, alice):
    row = make_session(alice)
    Session.objects.filter(pk=row.pk).update(transport="bearer")
    html = client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert re.search(r"field-transport.*?<div class=\"readonly\">bearer</div>", html, re.S)


def test_a_device_that_does_not_say_what_it_is_is_called_unknown(client, alice):
    row = make_session(alice, agent=None)
    assert "Unknown device" in page(client).content.decode()
    assert "Unknown device" in client.get(f"{LIST}{row.pk}/change/").content.decode()


def test_the_number_found_is_told_for_a_search_alone(client, alice):
    make_session(alice)
    assert "1 result " in page(client, q="alice").content.decode()
    assert " results " not in page(client).content.decode()


def test_the_list_shows_active_sign_ins_unless_asked_for_others(client, alice, own):
    active = make_session(alice)
    ended = make_ended(alice)
    expired = make_session(alice, expires_at=timezone.now() - timedelta(days=1))
    anonymous = make_session()
    states = {
        "active": {active.pk, own.pk},
        "ended": {ended.pk},
        "expired": {expired.pk},
        "anonymous": {anonymous.pk},
        "all": {active.pk, own.pk, ended.pk, expired.pk, anonymous.pk},
    }
    assert shown(page(client)) == states["active"]
    assert {name: shown(page(client, state=name)) for name in states} == states


def test_a_session_past_its_absolute_limit_is_not_shown_as_active(client, alice, own):
    make_session(alice, authenticated_at=timezone.now() - timedelta(days=31))
    assert shown(page(client)) == {own.pk}


def test_the_state_filter_names_the_state_that_is_chosen(client):
    spec = page(client).context["cl"].filter_specs[0]
    choices = list(spec.choices(page(client).context["cl"]))
    assert [str(choice["display"]) for choice in choices if choice["selected"]] == ["Active"]
    response = page(client, state="ended")
    choices = list(response.context["cl"].filter_specs[0].choices(response.context["cl"]))
    assert [str(choice["display"]) for choice in choices if choice["selected"]] == ["Ended"]
    assert choices[0]["query_string"] == "?"


def test_staff_are_told_from_other_people(client, alice, own):
    session = make_session(alice)
    make_session()
    assert shown(page(client, staff="yes")) == {own.pk}
    assert shown(page(client, staff="no", state="all")) == {session.pk}


def test_many_staff_are_filtered_by_the_database(client, alice, own, monkeypatch):
    monkeypatch.setattr(user_search, "MAX_KEYS", 1)
    make_staff("second")
    session = make_session(alice)
    assert shown(page(client, staff="yes")) == {own.pk}
    assert shown(page(client, staff="no")) == {session.pk}


def test_the_list_of_one_user_is_in_order_of_activity_and_offers_no_other_user(client, alice):
    now = timezone.now()
    old = make_session(alice, last_seen_at=now - timedelta(days=2))
    older = make_session(alice, last_seen_at=now - timedelta(days=3))
    newest = make_session(alice, last_seen_at=now - timedelta(days=1))
    response = page(client, user=alice.pk)
    rows = [row.pk for row in response.context["cl"].result_list]
    assert rows == [newest.pk, old.pk, older.pk]
    user_filter = response.context["cl"].filter_specs[-1]
    assert user_filter.lookup_choices == [(str(alice.pk), "alice")]
    assert all(spec.title != "user" for spec in page(client).context["cl"].filter_specs)


def test_a_user_that_is_gone_has_no_sessions(client):
    assert shown(page(client, user="987654321")) == set()


@pytest.mark.parametrize(
    "params",
    [
        {"state": "sleeping"},
        {"staff": "maybe"},
        {"user": "nobody"},
        {"p": "99"},
        {"p": "0"},
    ],
)
def test_filters_and_pages_that_do_not_exist_lead_back_to_the_list(client, alice, params):
    for _ in range(51):
        make_session(alice)
    response = page(client, **params)
    assert (response.status_code, response["Location"]) == (302, f"{LIST}?e=1")


def test_a_page_that_is_no_number_is_the_first(client, alice):
    assert page(client, p="last").status_code == 200


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("ALI", True),
        ("alice@example.com", True),
        ("ali example.com", True),
        ('"alice"', True),
        ("ali bob", False),
        ("192.0.2.7", True),
        ("192.0.", True),
        ("alice 192.0.2.7", True),
        ("alice 192.0.2.8", False),
        ("192.0.2.70", False),
        ("7", False),
        ('"', False),
        (SECRET, False),
    ],
)
def test_the_search_finds_people_and_addresses(client, alice, term, found):
    session = make_session(alice)
    assert (shown(page(client, q=term)) == {session.pk}) is found


def test_the_search_knows_every_way_to_write_an_address(client, alice):
    session = make_session(alice, ip="2001:db8::5")
    for term in ("2001:DB8:0:0::5", "[2001:db8::5]:443", "2001:db8:", "2001:DB8:"):
        assert shown(page(client, q=term)) == {session.pk}, term


def test_the_search_finds_the_sessions_of_very_many_people(client, monkeypatch):
    monkeypatch.setattr(user_search, "MAX_KEYS", 1)
    rows = {make_session(User.objects.create_user(f"crowd{number}")).pk for number in range(3)}
    assert shown(page(client, q="crowd")) == rows


def test_the_search_does_not_find_a_digest_or_an_id(client, own):
    assert shown(page(client, q=own.token_digest)) == set()
    assert shown(page(client, q=str(own.pk))) == set()


@pytest.mark.parametrize(
    "lookup",
    ["token_digest__startswith", "session_data__contains", "version", "ended_by__password__gt"],
)
def test_a_url_cannot_ask_for_what_the_filters_do_not_offer(client, lookup):
    assert page(client, **{lookup: "0"}).status_code == 400


def test_only_columns_with_an_index_sort_a_list_of_everybody(client, alice):
    columns = page(client).context["cl"].list_display
    by_last_seen, by_expiry = columns.index("seen"), columns.index("expiry")

    def order(**params):
        return page(client, **params).context["cl"].queryset.query.order_by

    assert order() == ("-pk",)
    assert order(o=by_last_seen) == ("-pk",)
    assert order(o=by_expiry) == ("expires_at", "pk")
    assert order(o=f"-{by_expiry}") == ("-expires_at", "-pk")
    assert order(user=alice.pk) == ("-last_seen_at", "-pk")
    assert order(user=alice.pk, o=by_last_seen) == ("last_seen_at", "pk")


def test_the_session_that_is_looking_is_marked(client, alice):
    make_session(alice)
    assert page(client).content.decode().count("this session") == 1


def test_a_session_of_a_user_who_is_gone_is_still_shown(client, alice):
    row = make_session(alice)
    key = alice.pk
    User.objects.filter(pk=key)._raw_delete(using="default")
    response = page(client)
    assert row.pk in shown(response)
    assert f"?user={key}" in response.content.decode()
    assert client.get(f"{LIST}{row.pk}/change/").status_code == 200


def test_the_list_is_readable_in_local_time_and_without_time_zones(client, alice, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    row = make_session(alice, authenticated_at=timezone.now() - timedelta(hours=3))
    assert "+09:00" in page(client).content.decode()
    html = client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "In the time zone Asia/Tokyo." in html
    moment = datetime(2026, 1, 1, 12)
    settings.USE_TZ = False
    assert "4 minutes ago" in cells.time(moment, moment + timedelta(minutes=4)).replace("\xa0", " ")


def test_times_are_told_in_the_unit_people_think_in():
    now = timezone.now()

    def words(**distance):
        span = timedelta(**distance)
        return [
            wording.in_words(moment, now).replace("\xa0", " ")
            for moment in (now - span, now + span)
        ]

    assert words(seconds=59) == ["just now", "just now"]
    assert words(minutes=1) == ["1 minute ago", "in 1 minute"]
    assert words(hours=47) == ["1 day ago", "in 1 day"]
    assert words(days=2) == ["2 days ago", "in 2 days"]
    assert words(days=13, hours=23) == ["14 days ago", "in 14 days"]


# Cost


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"q": "person"},
        {"q": "person 192.0.2.0/24 2001:db8:0::/48", "staff": "no", "user": "1", "state": "users"},
        {"staff": "no", "access": "browser", "seen": "day", "began": "2026"},
        {"state": "ended", "reason": "other", "ended": "week", "staff": "no"},
    ],
)
def test_the_list_costs_the_same_for_any_number_of_rows(client, params):
    costs = []
    made = 0
    for size in (1, 10, 150):
        people = [User(username=f"person{number}") for number in range(made, size)]
        make_sessions(User.objects.bulk_create(people))
        made = size
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page(client, **params)
        costs.append(len(queries))
    # What is more than a page is counted.
    assert costs[0] == costs[1]
    assert costs[2] - costs[1] in (0, 1)
    # Without what tells PostgreSQL how long a statement may take.
    ours = [q for q in queries if re.match(r"SELECT (?!.*set_config)", q["sql"])]
    assert len(ours) <= 11


def test_the_list_never_counts_without_a_bound(client, alice):
    for _ in range(51):
        make_session(alice)
    with CaptureQueriesContext(connection) as queries:
        page(client)
        page(client, q="alice", staff="no", state="all", _facets="True")
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert len(counts) == 4
    assert all(f"LIMIT {listing.MAX_COUNT + 1}" in sql for sql in counts), counts
    # Whatever the order of the list, the count walks the primary key.
    with CaptureQueriesContext(connection) as queries:
        page(client, o=page(client).context["cl"].list_display.index("expiry"))
    counts = [query["sql"] for query in queries if "COUNT(*) FROM" in query["sql"]]
    assert all(sql.rpartition("ORDER BY")[2].count("expires_at") == 0 for sql in counts), counts


def test_session_data_is_not_read_from_the_database(client, alice):
    row = make_session(alice)
    with CaptureQueriesContext(connection) as queries:
        page(client)
        client.get(f"{LIST}{row.pk}/change/")
        client.get(reverse("admin:django_sessions_plus_session_end_all", args=[alice.pk]))
    # The request's own session is read with its data, by its digest.
    read = [query["sql"] for query in queries if "session_data" in query["sql"]]
    assert all("WHERE" in sql and "token_digest" in sql.split("WHERE")[1] for sql in read), read


def test_more_rows_than_are_counted_are_called_so(client, alice, monkeypatch):
    monkeypatch.setattr(listing, "MAX_COUNT", 100)
    for _ in range(100):
        make_session(alice)
    html = page(client).content.decode()
    assert "100+ sessions" in html
    assert shown(page(client, p=2))
    assert page(client, p=3).status_code == 302
    searched = page(client, q="alice").content.decode()
    assert "100 sessions" in searched
    assert "100+" not in searched


def test_a_list_cut_short_links_to_its_other_pages(client, alice, monkeypatch):
    monkeypatch.setattr(listing, "MAX_COUNT", 120)
    for _ in range(121):
        make_session(alice)
    html = page(client, p=2).content.decode()
    assert 'href="?p=1"' in html
    assert 'href="?p=3"' in html
    # It would have to say an exact number.
    assert "120 results" not in page(client, q="alice").content.decode()


def test_the_bound_is_written_as_people_write_numbers(settings):
    settings.USE_THOUSAND_SEPARATOR = False
    change_list = object.__new__(listing.SessionChangeList)
    change_list.result_count = 10_000
    assert change_list.at_least == "10,000+"


# One session


def test_a_session_is_shown_and_cannot_be_edited(client, alice):
    row = make_session(alice)
    url = f"{LIST}{row.pk}/change/"
    html = client.get(url).content.decode()
    for text in ("Chrome on Windows", CHROME, "192.0.2.7", "alice"):
        assert text in unescape(html), text
    assert 'name="_save"' not in html
    assert client.post(url, {"user_agent": "other"}).status_code == 403
    row.refresh_from_db()
    assert row.user_agent == CHROME


def test_sessions_are_neither_added_nor_deleted(client, alice):
    row = make_session(alice)
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "/delete/" not in client.get(f"{LIST}{row.pk}/change/").content.decode()
    act(client, row, action="delete_selected", post="yes")
    row.refresh_from_db()
    assert row.is_active()


def test_an_ended_session_says_why_and_by_whom(client, alice, boss):
    row = make_ended(alice, end_reason=EndReason.REVOKED, ended_by=boss)
    html = client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "revoked" in html
    assert reverse("admin:auth_user_change", args=[boss.pk]) in html
    assert "End this session" not in html
    assert "End all sessions of this user" in html


def test_an_anonymous_session_has_no_user_to_end_sessions_of(client):
    html = client.get(f"{LIST}{make_session().pk}/change/").content.decode()
    assert "End this session" in html
    assert "of this user" not in html


@pytest.mark.parametrize("name", [uuid.uuid4(), "nonsense", "%00"])
def test_an_unknown_session_is_not_found(client, name):
    assert client.get(f"{LIST}{name}/end/").status_code == 404


def test_a_user_with_sessions_can_be_deleted_by_who_may_delete_users(alice):
    make_session(alice)
    staff = make_staff("clerk", "view_user", "delete_user")
    client = Client()
    client.force_login(staff)
    url = reverse("admin:auth_user_delete", args=[alice.pk])
    assert client.post(url, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()


# Who may


def test_people_who_are_not_staff_see_nothing(alice):
    row = make_session(alice)
    client = Client()
    client.force_login(alice)
    urls = [LIST, f"{LIST}{row.pk}/change/", f"{LIST}{row.pk}/end/", f"{LIST}end-all/{alice.pk}/"]
    for url in urls:
        for response in (client.get(url), client.post(url)):
            assert response.status_code == 302
            assert response["Location"].startswith("/admin/login/")
    row.refresh_from_db()
    assert row.is_active()


def test_staff_without_permission_see_nothing(alice):
    row = make_session(alice)
    client = Client()
    client.force_login(make_staff("clerk"))
    assert page(client).status_code == 403
    assert client.get(f"{LIST}{row.pk}/change/").status_code == 403


def test_who_may_only_view_cannot_end(alice):
    row = make_session(alice)
    client = Client()
    client.force_login(make_staff("clerk", "view_session"))
    assert row.pk in shown(page(client))
    assert "end_selected" not in page(client).content.decode()
    html = client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "End this session" not in html
    assert "End all sessions" not in html
    act(client, row)
    for url in (f"{LIST}{row.pk}/end/", f"{LIST}end-all/{alice.pk}/"):
        assert client.get(url).status_code == 403
        assert client.post(url).status_code == 403
    row.refresh_from_db()
    assert row.is_active()


def test_who_may_revoke_can_end(alice):
    row = make_session(alice)
    client = Client()
    client.force_login(make_staff("clerk", "view_session", "revoke_session"))
    act(client, row)
    row.refresh_from_db()
    assert row.status() == Status.ENDED


# Ending


def test_selected_sessions_are_ended_told_and_logged(
    client, alice, boss, django_capture_on_commit_callbacks
):
    first, second, third = (make_session(alice) for _ in range(3))
    told = []

    def listen(session, reason, actor, **kwargs):
        told.append((session.pk, reason, actor.pk))

    session_ended.connect(listen)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            response = act(client, first, second)
    finally:
        session_ended.disconnect(listen)
    assert "2 sessions were ended." in response.content.decode()
    for row in (first, second, third):
        row.refresh_from_db()
    assert (first.end_reason, first.ended_by, first.session_data) == ("revoked", boss, "")
    assert (second.status(), third.status()) == (Status.ENDED, Status.ACTIVE)
    expected = {(row.pk, "revoked", boss.pk) for row in (first, second)}
    assert set(told) == expected
    entries = LogEntry.objects.all()
    assert {entry.object_id for entry in entries} == {str(first.pk), str(second.pk)}
    for entry in entries:
        assert entry.user == boss
        assert entry.get_edited_object().pk == uuid.UUID(entry.object_id)
        assert entry.object_repr == f"session {entry.object_id}"
        assert entry.get_change_message() == "Ended."


def test_what_has_ended_meanwhile_is_neither_counted_nor_logged(client, alice):
    row = make_ended(alice)
    response = act(client, row, url=f"{LIST}?state=all")
    assert "0 sessions were ended." in response.content.decode()
    assert not LogEntry.objects.exists()


def test_more_sessions_than_one_request_can_end_are_refused(client, alice, monkeypatch):
    monkeypatch.setattr(ending, "END_AT_ONCE", 2)
    rows = [make_session(alice) for _ in range(3)]
    response = act(client, rows[0], select_across="1")
    assert "At most 2 sessions" in response.content.decode()
    assert Session.objects.active().for_user(alice).count() == 3


def test_ending_ones_own_session_signs_out(client, alice, own, boss):
    other = make_session(alice)
    response = act(client, other, own)
    assert response.redirect_chain[-1][0].startswith("/admin/login/")
    assert "2 sessions were ended." in response.content.decode()
    assert settings.SESSION_COOKIE_NAME not in {
        name for name, morsel in client.cookies.items() if morsel.value
    }
    own.refresh_from_db()
    assert (own.status(), own.ended_by) == (Status.ENDED, boss)
    assert {entry.user_id for entry in LogEntry.objects.all()} == {boss.pk}
    assert LogEntry.objects.count() == 2


def test_one_session_is_ended_after_asking(client, alice):
    row, other = make_session(alice), make_session(alice)
    html = client.get(f"{LIST}{row.pk}/change/").content.decode()
    url = f"{LIST}{row.pk}/end/"
    assert f'href="{url}"' in html
    asked = client.get(url).content.decode()
    assert "Chrome on Windows" in asked
    assert "signs you out" not in asked
    row.refresh_from_db()
    assert row.is_active()
    response = client.post(url, follow=True)
    assert "1 session was ended." in response.content.decode()
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.status(), other.status()) == (Status.ENDED, Status.ACTIVE)
    assert "nothing to end" in client.get(url).content.decode()


def test_who_is_about_to_end_the_own_session_is_warned(client, own, boss):
    for url in (f"{LIST}{own.pk}/end/", f"{LIST}end-all/{boss.pk}/"):
        assert "This signs you out as well" in client.get(url).content.decode()


def test_all_sessions_of_a_user_are_ended_after_asking(client, alice, boss, own):
    row = make_session(alice)
    for _ in range(11):
        make_session(alice)
    url = f"{LIST}end-all/{alice.pk}/"
    assert f'href="{url}"' in client.get(f"{LIST}{row.pk}/change/").content.decode()
    asked = client.get(url)
    html = asked.content.decode()
    assert "End all sessions of alice?" in html
    assert "and 2 more" in html
    assert html.count('<li><span class="dsp-device') == 10
    assert Session.objects.active().for_user(alice).count() == 12
    response = client.post(url, follow=True)
    assert response.redirect_chain == [(f"{LIST}?user={alice.pk}", 302)]
    assert "12 sessions were ended." in response.content.decode()
    assert not Session.objects.active().for_user(alice).exists()
    assert Session.objects.for_user(alice).filter(ended_by=boss).count() == 12
    own.refresh_from_db()
    assert own.is_active()
    entry = LogEntry.objects.get()
    assert entry.get_edited_object() == alice
    assert entry.object_repr == f"user {alice.pk}"
    assert entry.get_change_message() == "Ended all sessions: 12."


def test_ending_nothing_is_said_and_not_logged(client, alice):
    url = f"{LIST}end-all/{alice.pk}/"
    assert "nothing to end" in client.get(url).content.decode()
    assert "0 sessions were ended." in client.post(url, follow=True).content.decode()
    assert not LogEntry.objects.exists()


def test_ending_all_of_ones_own_sessions_signs_out(client, boss, own):
    response = client.post(f"{LIST}end-all/{boss.pk}/", follow=True)
    assert response.redirect_chain[-1][0].startswith("/admin/login/")
    assert LogEntry.objects.get().user == boss


@pytest.mark.parametrize("key", ["987654321", "nobody", "9" * 40, "_00"])
def test_an_unknown_user_is_not_found(client, key):
    assert client.get(f"{LIST}end-all/{key}/").status_code == 404
    assert client.post(f"{LIST}end-all/{key}/").status_code == 404


def test_ending_needs_the_csrf_token(boss, alice):
    row = make_session(alice)
    client = Client(enforce_csrf_checks=True)
    client.force_login(boss)
    urls = (LIST, f"{LIST}{row.pk}/end/", f"{LIST}end-all/{alice.pk}/")
    for url in urls:
        assert client.post(url).status_code == 403
    row.refresh_from_db()
    assert row.is_active()
    for url in urls:
        assert client.get(url).content.decode().count('name="csrfmiddlewaretoken"') == 2


# Secrets


def test_neither_token_nor_digest_nor_data_is_in_any_page(client, alice, own):
    row = make_session(alice)
    token = client.cookies[settings.SESSION_COOKIE_NAME].value
    urls = [
        f"{LIST}?state=all",
        f"{LIST}{row.pk}/change/",
        f"{LIST}{own.pk}/change/",
        f"{LIST}{own.pk}/end/",
        f"{LIST}{own.pk}/history/",
        f"{LIST}end-all/{alice.pk}/",
        f"/own/auth/user/{alice.pk}/change/",
    ]
    for url in urls:
        response = client.get(url)
        assert response.status_code == 200, url
        html = response.content.decode()
        for secret in (token, own.token_digest, row.token_digest, SECRET):
            assert secret not in html, url


def test_what_a_client_says_of_itself_is_escaped(client, alice):
    row = make_session(alice, agent="<script>alert(1)</script>")
    for url in (LIST, f"{LIST}{row.pk}/change/", f"{LIST}end-all/{alice.pk}/"):
        assert "<script>alert" not in client.get(url).content.decode()
    label = cells.device(Device("<b>x</b>", "", "", "desktop"))
    assert "<b>" not in label


# On the pages of users


def test_a_user_page_leads_to_the_sessions_of_that_user(client, alice):
    html = client.get(f"/own/auth/user/{alice.pk}/change/").content.decode()
    assert f'href="/own/django_sessions_plus/session/?user={alice.pk}"' in html
    assert f'href="/own/django_sessions_plus/session/end-all/{alice.pk}/"' in html
    assert "History" in html


def test_a_user_page_offers_only_what_is_permitted(alice):
    client = Client()
    client.force_login(make_staff("clerk", "change_user", "view_session"))
    html = client.get(f"/own/auth/user/{alice.pk}/change/").content.decode()
    assert f"?user={alice.pk}" in html
    assert "end-all" not in html
    assert "end_all_sessions" not in client.get("/own/auth/user/").content.decode()


def test_the_pages_to_add_a_user_and_without_sessions_are_untouched(client, alice):
    assert client.get("/own/auth/user/add/").status_code == 200
    html = client.get(f"/bare/auth/user/{alice.pk}/change/").content.decode()
    assert "Sessions of this user" not in html
    assert "end_all_sessions" not in client.get("/bare/auth/user/").content.decode()


def test_a_template_of_the_project_for_the_user_page_is_kept(client, alice, monkeypatch):
    monkeypatch.setattr(PeopleAdmin, "change_form_template", "admin/auth/user/add_form.html")
    response = client.get(f"/own/auth/user/{alice.pk}/change/")
    assert "Sessions of this user" in response.content.decode()
    assert "admin/auth/user/add_form.html" in [template.name for template in response.templates]


def test_the_sessions_of_selected_users_are_ended(client, alice, own):
    bob = User.objects.create_user("bob")
    carol = User.objects.create_user("carol")
    rows = [make_session(alice), make_session(alice), make_session(bob)]
    kept = make_session(carol)
    response = act(client, alice, bob, carol, action="end_all_sessions", url="/own/auth/user/")
    assert "4 sessions were ended." in response.content.decode()
    assert shown(page(client)) == {own.pk}
    messages = {entry.object_id: entry.change_message for entry in LogEntry.objects.all()}
    assert messages == {
        str(alice.pk): "Ended all sessions: 2.",
        str(bob.pk): "Ended all sessions: 1.",
        str(carol.pk): "Ended all sessions: 1.",
    }
    assert Session.objects.ended().count() == len([*rows, kept])


def test_more_users_than_one_request_can_serve_are_refused(client, alice, monkeypatch):
    monkeypatch.setattr("django_sessions_plus.admin.users.END_AT_ONCE", 0)
    row = make_session(alice)
    response = act(client, alice, action="end_all_sessions", url="/own/auth/user/")
    assert "at most 0 users" in response.content.decode()
    row.refresh_from_db()
    assert row.is_active()


# Other user models


def test_people_are_searched_by_what_their_model_has():
    class Minimal(AbstractBaseUser):
        phone = models.CharField(max_length=20, unique=True)
        USERNAME_FIELD = "phone"

        class Meta:
            app_label = "tests"

    class ByMail(AbstractBaseUser):
        address = models.EmailField(unique=True)
        USERNAME_FIELD = EMAIL_FIELD = "address"

        @property
        def is_staff(self):
            return True

        class Meta:
            app_label = "tests"

    class ByNumber(AbstractBaseUser):
        number = models.IntegerField(unique=True)
        USERNAME_FIELD = "number"

        class Meta:
            app_label = "tests"

    assert user_search.search_fields(User) == ["username", "email"]
    assert user_search.search_fields(Minimal) == ["phone"]
    assert user_search.search_fields(ByMail) == ["address"]
    assert user_search.search_fields(ByNumber) == []
    assert user_search.has_field(User, "is_staff")
    assert not user_search.has_field(ByMail, "is_staff")


# The name of a token


def test_a_token_goes_by_its_name_with_its_device_beside_it(client, alice):
    row = make_session(alice, name="<i>nightly</i>", authenticated_at=None)
    user_page = f"/own/auth/user/{alice.pk}/change/"
    for url in (LIST, f"{LIST}{row.pk}/change/", f"{LIST}end-all/{alice.pk}/", user_page):
        html = client.get(url).content.decode()
        assert "&lt;i&gt;nightly&lt;/i&gt;" in html, url
        assert wording.device_name(row.device) in html, url
        assert "<i>nightly" not in html, url
    assert client.get(f"{LIST}{row.pk}/change/").context["title"] == row.name
    assert client.get(f"{LIST}{row.pk}/end/").context["trail"][-1][0] == row.name


# What happened


def test_a_result_has_the_focus_on_whatever_page_it_is_shown(client, alice):
    row = make_session(alice)
    told = '<div role="status" tabindex="-1" autofocus>'
    for url in (LIST, f"{LIST}{row.pk}/change/", f"/own/auth/user/{alice.pk}/change/"):
        assert client.post(f"{LIST}{make_session(alice).pk}/end/").status_code == 302
        html = client.get(url).content.decode()
        assert told in html, url
        assert "1 session was ended." in html.split(told)[1], url
        assert told not in client.get(url).content.decode(), url
