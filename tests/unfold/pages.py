"""Every page of the admin under django-unfold; test_unfold.py has these run in a process of their own."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_sessions_plus.models import Session
from tests.test_admin import make_ended, make_session

pytestmark = [
    pytest.mark.django_db,
    # It may be behind the newest Django.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


@pytest.fixture
def client(db):
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture(params=["plain", "dressed"])
def base(request):
    return f"/{request.param}/django_sessions_plus/session/"


def html_of(response):
    assert response.status_code == 200
    html = response.content.decode()
    assert "unfold" in html
    return html


def test_the_list_has_its_counts_filters_and_dates(client, base, alice):
    row = make_session(alice)
    html = html_of(client.get(base))
    assert html.count('class="dsp-number"') == 4
    assert "dsp-state dsp-active" in html
    assert f"{row.pk}/change/" in html
    assert f"{base}everyone/" in html
    for query in (
        "?state=ended",
        "?q=alice",
        "?access=app&began=2026",
        f"?user={alice.pk}",
        "?o=7",
    ):
        html_of(client.get(base + query))


def test_a_list_cut_short_has_its_pages(client, base, alice, monkeypatch):
    monkeypatch.setattr("django_sessions_plus.admin.listing.COUNT_AT_MOST", 60)
    for _ in range(61):
        make_session(alice)
    assert "60+" in html_of(client.get(base)) or "60" in html_of(client.get(base))


def test_a_session_has_its_timeline_and_its_buttons(client, base, alice):
    html = html_of(client.get(f"{base}{make_session(alice).pk}/change/"))
    assert "dsp-timeline" in html
    assert "End this session" in html
    assert "dsp-timeline" in html_of(client.get(f"{base}{make_ended(alice).pk}/change/"))


def test_a_session_is_ended(client, base, alice):
    row = make_session(alice)
    html_of(client.get(f"{base}{row.pk}/end/"))
    assert client.post(f"{base}{row.pk}/end/").status_code == 302
    row.refresh_from_db()
    assert not row.is_active()
    html_of(client.get(f"{base}end-all/{alice.pk}/"))


def test_everyone_is_signed_out(client, base, alice):
    make_session(alice)
    html_of(client.get(f"{base}everyone/"))
    assert client.post(f"{base}everyone/", {"consent": "everyone"}).status_code == 302
    assert not Session.objects.active().for_user(alice).exists()


def test_a_token_is_issued(client, base, alice):
    html_of(client.get(f"{base}issue-token/{alice.pk}/"))


def test_a_users_page_has_the_sessions(client, base, alice):
    make_session(alice)
    html = html_of(client.get(f"/{base.split('/')[1]}/auth/user/{alice.pk}/change/"))
    assert "Active sessions" in html
    assert "Sessions of this user" in html
