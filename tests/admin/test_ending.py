"""Ending many sessions from the admin: what it costs, when it asks first, and whose sessions stay."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.admin import ending
from django_sessions_plus.bulk.purging import purge
from django_sessions_plus.models import Session
from tests.admin.site import LIST, act, make_ended, make_session, make_staff, page

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.admin.site")]

USERS = "/own/auth/user/"


@pytest.fixture
def clerk():
    client = Client()
    permitted = ("view_session", "revoke_session", "view_user", "change_user")
    client.force_login(make_staff("clerk", *permitted))
    return client


def active(user):
    return Session.objects.active().for_user(user).count()


def confirmed(client, asked, url=LIST):
    """Send the form of the page that asks first, as a browser does."""
    sent: dict[str, list[str]] = {}
    for name, value in asked.context["hidden"]:
        sent.setdefault(name, []).append(value)
        assert f'name="{name}" value="{value}"' in unescape(asked.content.decode())
    return client.post(url, sent, follow=True)


# What it costs


@pytest.mark.parametrize("action", ["end_selected", "end_all_of_users"])
def test_ending_many_takes_as_many_statements_as_ending_one(client, action):
    costs = []
    for count in (1, 1, 10, 100):
        users = [User.objects.create_user(f"user{len(costs)}-{n}") for n in range(count)]
        rows = [make_session(user) for user in users]
        with CaptureQueriesContext(connection) as captured:
            act(client, *rows, action=action, confirmed="yes")
        assert not any(active(user) for user in users)
        costs.append(len(captured))
    # The first finds out the content types. One row needs no lock in order before it is ended.
    # The list counts what is more than a page.
    assert costs[3] - costs[2] in (0, 1)
    assert costs[2] - costs[1] in (0, 1)
    assert LogEntry.objects.count() == 112


def test_of_what_somebody_else_ends_meanwhile_nothing_is_logged(client, alice, bob, monkeypatch):
    mine, theirs = make_session(alice), make_session(alice)
    revoke_many = sessions.revoke_many

    def late(*args, **kwargs):
        sessions.revoke(theirs, actor=bob)
        return revoke_many(*args, **kwargs)

    monkeypatch.setattr(sessions, "revoke_many", late)
    response = act(client, mine, theirs)
    assert "1 session was ended." in response.content.decode()
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(mine.pk)]


def test_an_anonymous_session_that_is_gone_is_logged(client):
    row = make_session()
    act(client, row, url=f"{LIST}?state=all")
    assert not Session.objects.filter(pk=row.pk).exists()
    assert LogEntry.objects.get().object_id == str(row.pk)


# Asking first


@pytest.mark.parametrize(
    ("count", "asks"), [(ending.ASK_ABOVE, False), (ending.ASK_ABOVE + 1, True)]
)
def test_more_than_ten_sessions_are_asked_for_first(client, alice, count, asks):
    rows = [make_session(alice) for _ in range(count)]
    response = act(client, *rows)
    assert active(alice) == (count if asks else 0)
    if asks:
        assert "End 11 sessions?" in response.content.decode()
        response = confirmed(client, response)
        assert "11 sessions were ended." in response.content.decode()
        assert active(alice) == 0


def test_all_of_a_filtered_list_are_asked_for_first(client, alice, bob):
    for _ in range(12):
        make_session(alice)
    kept = make_session(bob)
    url = f"{LIST}?user={alice.pk}"
    row = Session.objects.for_user(alice).first()
    asked = act(client, row, url=url, select_across="1")
    assert "End 12 sessions?" in asked.content.decode()
    confirmed(client, asked, url)
    assert (active(alice), active(kept.user)) == (0, 1)


def test_what_has_ended_is_not_counted(client, alice):
    rows = [make_ended(alice) for _ in range(20)]
    response = act(client, *rows, url=f"{LIST}?state=all")
    assert "0 sessions were ended." in response.content.decode()


@pytest.mark.parametrize(
    ("action", "url"), [("end_all_of_users", LIST), ("end_all_sessions", USERS)]
)
def test_few_users_with_many_sessions_are_asked_for_first(client, alice, action, url):
    rows = [make_session(alice) for _ in range(12)]
    chosen = rows[0] if url == LIST else alice
    asked = act(client, chosen, action=action, url=url)
    assert "End 12 sessions?" in asked.content.decode()
    assert active(alice) == 12
    assert "12 sessions were ended." in confirmed(client, asked, url).content.decode()
    assert active(alice) == 0


def test_who_asks_for_the_own_session_is_warned(client, own, alice):
    rows = [make_session(alice) for _ in range(11)]
    assert "signs you out" not in act(client, *rows).content.decode()
    assert "signs you out" in act(client, own, *rows).content.decode()


@pytest.fixture
def own(client, boss):
    page(client)
    return Session.objects.get(user=boss)


# Superusers


def test_staff_do_not_end_the_sessions_of_superusers(clerk, boss, alice):
    row, other = make_session(boss), make_session(alice)
    html = act(clerk, row, other).content.decode()
    assert "1 session was ended." in html
    assert "1 session of a superuser was left" in html
    assert (active(boss), active(alice)) == (1, 0)
    other = make_session(alice)
    html = act(clerk, row, other, action="end_all_of_users").content.decode()
    assert "1 session of a superuser was left" in html
    assert (active(boss), active(alice)) == (1, 0)
    act(clerk, boss, action="end_all_sessions", url=USERS)
    for url in (f"{LIST}{row.pk}/end/", f"{LIST}end-all/{boss.pk}/"):
        assert clerk.get(url).status_code == 403
        assert clerk.post(url).status_code == 403
    assert active(boss) == 1
    for url in (f"{LIST}{row.pk}/change/", f"{USERS}{boss.pk}/change/"):
        html = clerk.get(url).content.decode()
        assert "End this session" not in html
        assert "/end" not in html
    assert (
        f"{LIST}{make_session(alice).pk}/end/"
        in clerk.get(
            f"{LIST}{Session.objects.active().for_user(alice).get().pk}/change/"
        ).content.decode()
    )


def test_a_project_may_let_staff_end_them(clerk, boss, settings):
    settings.SESSIONS_PLUS_ADMIN_PROTECTS_SUPERUSERS = False
    row = make_session(boss)
    assert f"{LIST}{row.pk}/end/" in clerk.get(f"{LIST}{row.pk}/change/").content.decode()
    act(clerk, row)
    assert active(boss) == 0


def test_a_project_that_lets_staff_sign_everyone_out_keeps_superusers_signed_in(
    clerk, boss, alice, monkeypatch
):
    monkeypatch.setattr(
        "django_sessions_plus.admin.SessionAdmin.has_everyone_permission", lambda *args: True
    )
    make_session(boss), make_session(alice)
    clerk.post(f"{LIST}everyone/", {"consent": "everyone"})
    assert (active(boss), active(alice)) == (1, 0)


def test_a_superuser_ends_the_sessions_of_another(client, boss):
    other = User.objects.create_superuser("other")
    act(client, make_session(other))
    assert active(other) == 0


# What is shown


@pytest.mark.parametrize(("age", "timeout"), [(1, "idle timeout"), (30, "absolute timeout")])
def test_an_expired_session_shows_its_timeout_whether_it_was_purged_yet_or_not(
    client, alice, age, timeout
):
    then = timezone.now() - timedelta(days=1)
    begun = then - timedelta(days=age)
    row = make_session(alice, expires_at=then, created_at=begun, authenticated_at=begun)

    def shown():
        html = client.get(f"{LIST}{row.pk}/change/").content.decode()
        listed = page(client, state="expired")
        assert [each.pk for each in listed.context["cl"].result_list] == [row.pk]
        assert not page(client, state="ended").context["cl"].result_list
        cells = re.search(r"<tbody>.*</tbody>", listed.content.decode(), re.DOTALL)[0]
        return cells, *re.findall(r'<div class="[^"]*field-(?:state|reason|expires_at)\b.*', html)

    def fields():
        html = client.get(f"{LIST}{row.pk}/change/").content.decode()
        return set(re.findall(r"field-(\w+)", html))

    before, names = shown(), fields()
    assert timeout in before[0]
    assert "Expired" in before[0]
    assert "expires_at" in names
    assert "ended_at" not in names
    assert purge(Session.objects.all()).deleted == 0
    row.refresh_from_db()
    assert row.ended_at == row.expires_at
    assert shown() == before
    assert fields() == names


def test_an_ended_session_shows_its_end_and_no_expiry(client, alice):
    ended, living = make_ended(alice), make_session(alice)
    html = client.get(f"{LIST}{ended.pk}/change/").content.decode()
    assert "field-ended_at" in html
    assert "field-expires_at" not in html
    assert "field-expires_at" in client.get(f"{LIST}{living.pk}/change/").content.decode()
    (row,) = page(client, state="ended").context["cl"].result_list
    assert row.pk == ended.pk
    html = page(client, state="ended").content.decode()
    assert '<td class="field-expiry">-</td>' in html


def test_breadcrumbs_lead_through_sessions(client, alice):
    row = make_session(alice)
    above = '<a href="/admin/">Home</a>', f'<a href="{LIST}">Sessions</a>'
    for path, more in (
        ("everyone/", ()),
        (f"end-all/{alice.pk}/", ()),
        (f"issue-token/{alice.pk}/", ()),
        (f"{row.pk}/end/", (f'<a href="{LIST}{row.pk}/change/">Chrome on Windows</a>',)),
    ):
        html = client.get(LIST + path).content.decode()
        crumbs = html.split('class="breadcrumbs"')[1].split("</div>")[0]
        places = [crumbs.index(link) for link in (*above, *more)]
        assert places == sorted(places), path


def test_who_may_not_see_the_list_is_not_led_there(alice):
    client = Client()
    client.force_login(make_staff("clerk", "revoke_session"))
    html = client.get(f"{LIST}end-all/{alice.pk}/").content.decode()
    assert f'href="{LIST}"' not in html.split('class="breadcrumbs"')[1].split("</div>")[0]
