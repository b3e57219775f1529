"""The example's pages of the client: a plain module, and React, under the policy of the site."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import PASSWORD, Visitor
from tests.browser.test_two_browsers import look_at
from tests.running import ROOT, need

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Person = Callable[..., Visitor]
VENDOR = ROOT / "example_project/static/example_project/vendor"


@pytest.fixture(scope="session")
def react() -> Path:
    """React from the npm registry, as "make demo-react" installs it."""
    need(shutil.which("npm"), "npm")
    if not VENDOR.exists():
        subprocess.run(["make", "--no-print-directory", "react"], cwd=ROOT, check=True)
    return VENDOR


def fill_in(page: Page, visitor: Visitor) -> None:
    page.get_by_label("Username").fill(visitor.username)
    page.get_by_label("Password", exact=True).fill(visitor.password)
    page.get_by_role("button", name="Sign in").click()


def warnings(complaints: list[str]) -> list[str]:
    """Return what is wrong with the page; browsers also note every 4xx."""
    return [text for text in complaints if "Failed to load resource" not in text]


@pytest.mark.parametrize("transport", ["cookie", "bearer", "jwt"])
def test_the_plain_page_signs_in_lists_and_signs_out_in_all_tabs(
    person: Person, complaints: list[str], transport: str
):
    visitor = person()
    pages = [visitor.open(f"/client/?transport={transport}") for _ in range(2)]
    page, other = pages
    page.get_by_role("button", name="Sign in").wait_for()
    if transport == "cookie":
        look_at(page, "client-sign-in")
    fill_in(page, visitor)
    for each in pages:
        each.get_by_role("heading", name=visitor.username).wait_for()
    page.get_by_text("This session").wait_for()
    page.get_by_text(f"{visitor.username} signed in").wait_for()
    if transport == "cookie":
        look_at(page, "client")
    other.get_by_role("button", name="Sign out").click()
    page.get_by_text(f"{visitor.username} signed out: signed_out").wait_for()
    page.get_by_role("button", name="Sign in").wait_for()
    assert warnings(complaints) == []


def test_a_page_that_was_rendered_for_somebody_asks_nothing(person: Person):
    visitor = person()
    visitor.sign_in().close()
    page = visitor.context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{visitor.site}/client/")
    page.get_by_role("heading", name=visitor.username).wait_for()
    assert not [url for url in requests if url.endswith("/auth/session")]
    assert page.evaluate("client.session.isPending") is False


def test_the_page_with_react_follows_the_client(person: Person, complaints: list[str], react: Path):
    assert (react / "react.js").exists()
    visitor = person()
    page, plain = visitor.open("/client/react/"), visitor.open("/client/")
    page.get_by_role("button", name="Sign in").wait_for()
    page.get_by_label("Username").fill(visitor.username)
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()
    fill_in(page, visitor)
    page.get_by_role("heading", name=visitor.username).wait_for()
    page.get_by_text("This session").wait_for()
    look_at(page, "client-react")
    page.get_by_role("button", name="Refresh").click()

    plain.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()
    assert warnings(complaints) == []


COUNT = """async () => {
    const React = await import("react");
    const { createRoot } = await import("react-dom/client");
    const { createSessionClient } = await import("django-sessions-plus");
    const { SessionProvider, useAuth, useSession } = await import("django-sessions-plus/react");
    const h = React.createElement;
    const client = createSessionClient();
    const times = { auth: 0, session: 0 };
    const Auth = () => { times.auth += 1; return h("i", null, useAuth().user?.username); };
    const Session = () => { times.session += 1; return h("b", null, String(useSession().isRefetching)); };
    const place = document.body.appendChild(document.createElement("div"));
    const root = createRoot(place);
    const pause = () => new Promise((done) => setTimeout(done, 50));
    root.render(h(React.StrictMode, null, h(SessionProvider, { client }, h(Auth), h(Session))));
    await client.getSession();
    await pause();
    const before = times.auth;
    for (let round = 0; round < 10; round += 1) await client.getSession();
    await pause();
    const during = times.auth - before;
    const shown = place.querySelector("i").textContent;
    await client.signOut();
    await pause();
    const after = place.querySelector("i").textContent;
    root.unmount();
    client.close();
    return { during, shown, after };
}"""


def test_react_renders_again_only_when_something_has_changed(person: Person, react: Path):
    visitor = person()
    visitor.sign_in().close()
    page = visitor.open("/client/react/")
    assert page.evaluate(COUNT) == {"during": 0, "shown": visitor.username, "after": ""}


def test_people_with_the_password_can_end_others_from_the_page(person: Person):
    visitor, elsewhere = person(), person()
    elsewhere.sign_in().close()
    page = visitor.open("/client/")
    fill_in(page, visitor)
    page.locator("[data-sessions] li").nth(1).wait_for()
    page.get_by_role("button", name="End all others").click()
    page.locator("[data-sessions] li").nth(1).wait_for(state="detached")
    page.locator("[data-sessions] li").first.wait_for()
    assert page.locator("[data-sessions] li").count() == 1
    assert PASSWORD not in page.content()
