"""An imported session wherever sessions are shown: nobody knows when its user has signed in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test.utils import override_settings
from django.utils import timezone

from django_sessions_plus import privacy
from django_sessions_plus.models import Session
from tests.example_site import SETTINGS
from tests.switching.conftest import Browser, after_switch, before_switch, browser

pytestmark = pytest.mark.django_db(transaction=True)

APPS = [*SETTINGS["INSTALLED_APPS"], "django_sessions_plus.switching", "django.contrib.sessions"]


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_superuser("ada", "ada@example.com", "analytical-engine-1843")


@pytest.fixture
def client(ada: User) -> Iterator[Browser]:
    """A browser of hers whose session was imported, and another one of which that is true as well."""
    with before_switch():
        browsers = [browser(ada), browser(ada)]
    with override_settings(**{**SETTINGS, "INSTALLED_APPS": APPS}), after_switch():
        for each in browsers:
            assert each.get("/auth/session").json()["user"] is not None
        yield browsers[0]


@pytest.mark.parametrize(
    "address",
    [
        "/devices/",
        "/devices/end-others/",
        "/devices/{other}/end/",
        "/admin/django_sessions_plus/session/",
        "/admin/django_sessions_plus/session/{other}/change/",
        "/admin/",
        "/auth/session",
        "/auth/sessions",
        "/",
    ],
)
def test_every_page_shows_it(client: Browser, address: str):
    rows = Session.objects.order_by("pk")
    assert [row.authenticated_at for row in rows] == [None, None]
    response: Any = client.get(address.format(other=rows[1].pk), follow=True)
    assert response.status_code == 200


def test_the_devices_page_says_nothing_of_a_sign_in(client: Browser):
    text = client.get("/devices/").content.decode()
    assert text.count("dsp-session") >= 2
    assert "Signed in" not in text
    assert "Issued" not in text


def test_an_ended_one_is_shown_too(client: Browser):
    other = Session.objects.order_by("pk")[1]
    Session.objects.filter(pk=other.pk).end(reason="revoked")
    assert "Ended in the last" in client.get("/devices/").content.decode()
    Session.objects.filter(pk=other.pk).update(expires_at=timezone.now() - timedelta(days=1))
    assert client.get(f"/admin/django_sessions_plus/session/{other.pk}/change/").status_code == 200


def test_exports_and_commands_have_it(client: Browser, ada: User):
    assert len(list(privacy.records(ada))) >= 2
    out = StringIO()
    call_command("revoke_sessions", "--user", "ada", stdout=out)
    assert not Session.objects.active().exists()


# Sessions that no list shows yet


@pytest.fixture
def unlisted(ada: User) -> Iterator[tuple[Browser, Browser]]:
    """A browser in which she has signed in since the switch, and one that has not been back since."""
    with before_switch():
        other = browser(ada)
    with override_settings(**{**SETTINGS, "INSTALLED_APPS": APPS}), after_switch():
        yield browser(ada), other


def test_all_others_can_be_ended_though_none_is_listed(unlisted: tuple[Browser, Browser]):
    client, other = unlisted
    page = client.get("/devices/").content.decode()
    assert "End all others" in page
    assert "may be missing from this list" in page
    assert "You are signed in nowhere else." not in page
    asked = client.get("/devices/end-others/").content.decode()
    assert "Browsers that are not in the list are signed out, too." in asked
    assert "0 sessions" not in asked
    ended = client.post("/devices/end-others/", follow=True).content.decode()
    assert "Browsers that are not in the list are signed out, too." in ended
    assert other.get("/auth/session").json()["user"] is None
    assert client.get("/auth/session").json()["user"] is not None


def test_the_api_ends_those_that_are_not_listed(unlisted: tuple[Browser, Browser]):
    client, other = unlisted
    answer: Any = client.post(
        "/auth/sessions/revoke", {"scope": "others"}, content_type="application/json"
    )
    assert answer.json() == {"revoked": 0}
    assert other.get("/auth/session").json()["user"] is None


def test_without_an_import_nothing_is_said_of_it(unlisted: tuple[Browser, Browser]):
    client, _ = unlisted
    with override_settings(SESSIONS_PLUS_IMPORT_FROM=[]):
        page = client.get("/devices/").content.decode()
        assert client.get("/devices/end-others/").status_code == 302
    assert "You are signed in nowhere else." in page
    assert "End all others" not in page
