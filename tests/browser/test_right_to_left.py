"""The admin from right to left: what is not in words still reads from left to right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Visitor, sign_in_with
from tests.running import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

LIST = "/admin/django_sessions_plus/session/"
# Its parts would change places in a line of Arabic.
ADDRESS = "2001:db8:5::1234"
ADD_SESSION = f"""
from django.contrib.auth.models import User
from django_sessions_plus import sessions
user = User.objects.create_user("from-right-to-left")
print(user.pk, sessions.start(user, ip_address="{ADDRESS}").row.pk)
"""
# Where each character of each such text on the page stands, from the left.
PLACES = """text => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const node = walker.currentNode, start = node.data.indexOf(text);
        if (start < 0 || !node.parentElement.checkVisibility()) continue;
        found.push([...text].map((_, number) => {
            const range = document.createRange();
            range.setStart(node, start + number);
            range.setEnd(node, start + number + 1);
            return Math.round(range.getBoundingClientRect().left);
        }));
    }
    return found;
}"""


@pytest.fixture
def page(chromium: Browser, site: str) -> Iterator[Page]:
    """The admin's pages as a reader of Arabic has them."""
    context = chromium.new_context(locale="ar")
    context.set_default_timeout(30_000)
    page = Visitor(context, site, "ada").open("/sign-in/")
    sign_in_with(page, "ada", "analytical-engine-1843")
    page.goto(site + LIST)
    assert page.locator("html").get_attribute("dir") == "rtl"
    yield page
    context.close()


def places(page: Page) -> list[list[int]]:
    """Return where the characters of the address stand, for each place on the page that shows it."""
    found: list[list[int]] = page.evaluate(PLACES, ADDRESS)
    return found


def test_an_address_keeps_its_order_on_every_page_of_the_admin(page: Page, running_site: Site):
    key, session = running_site.manage("shell", "-c", ADD_SESSION).split()[-2:]
    pages = {
        f"{LIST}?q=from-right-to-left": 1,
        f"{LIST}{session}/change/": 2,
        f"{LIST}{session}/end/": 1,
        f"{LIST}end-all/{key}/": 1,
        f"/admin/auth/user/{key}/change/": 1,
    }
    for path, times in pages.items():
        page.goto(running_site.address + path)
        found = places(page)
        assert len(found) == times, path
        assert all(line == sorted(line) for line in found), path


def test_the_dots_of_the_timeline_stand_beside_its_text(page: Page):
    page.locator("#result_list .field-device a").first.click()
    event, what = page.locator(".dsp-event").first, page.locator(".dsp-what").first
    edge, text = event.bounding_box(), what.bounding_box()
    assert edge is not None
    assert text is not None
    assert edge["x"] + edge["width"] - text["x"] - text["width"] >= 20
