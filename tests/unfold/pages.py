"""Every page of the admin under django-unfold; test_unfold.py has these run in a process of their own."""

import shutil
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.test import Client

from django_sessions_plus.models import Session
from tests.admin.site import make_ended, make_session
from tests.browser.conftest import CHROMIUM
from tests.running import need

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
    monkeypatch.setattr("django_sessions_plus.admin.listing.MAX_COUNT", 60)
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


def looks_of(html_of_pages: dict[str, str], selectors: dict[str, tuple[str, ...]]) -> Any:
    """Return border and padding of what the selectors name in each page, as Chromium shows it."""
    need(find_spec("playwright"), "Playwright")
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    need(path, "Chromium")
    found: dict[tuple[str, str], list[str]] = {}

    def serve(route: Any) -> None:
        address = urlsplit(route.request.url).path
        file = finders.find(address.partition("/static/")[2] or "none")
        if file:
            route.fulfill(path=file)
        else:
            route.fulfill(body=html_of_pages.get(address, ""), content_type="text/html")

    # Only here, for Django lets nobody at the database while Playwright is running.
    with import_module("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.route("**/*", serve)
        for address, wanted in selectors.items():
            page.goto(f"http://admin.test{address}")
            for selector in wanted:
                found[address, selector] = page.locator(selector).first.evaluate(
                    "of => [getComputedStyle(of).borderTopWidth, getComputedStyle(of).paddingLeft]"
                )
        browser.close()
    return found


def test_what_is_pressed_and_filled_in_looks_like_it(client, base, alice):
    """Unfold takes the look from fields and buttons that have none of its classes."""
    row = make_session(alice)
    page, buttons = ".dsp-page", ".dsp-button > a"
    selectors = {
        f"/{base.split('/')[1]}/auth/user/{alice.pk}/change/": (buttons, ".dsp-end"),
        f"{base}{row.pk}/change/": (buttons,),
        f"{base}{row.pk}/end/": (f"{page} [type=submit]", f"{page} a.button"),
        f"{base}everyone/": (f"{page} [type=text]", f"{page} [type=submit]", f"{page} a.button"),
        f"{base}issue-token/{alice.pk}/": (".dsp-issue [type=text]", ".dsp-issue [type=submit]"),
    }
    pages = {address: html_of(client.get(address)) for address in selectors}
    for where, look in looks_of(pages, selectors).items():
        assert look == ["1px", "12px"], where
