"""Vite's development server before Django, and the pages of the documentation in Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.browser.conftest import PASSWORD
from tests.npm.conftest import run, serving
from tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.npm, pytest.mark.slow]

FRAMEWORKS = ("vue", "svelte", "solid")


@pytest.fixture(scope="module")
def pages(project, django) -> Iterator[str]:
    """The pages as they are served during development, with the proxy as it is recommended."""
    port = free_port()
    with serving(
        *("npx", "vite", "--strictPort", "--host", "127.0.0.1", "--port", str(port)),
        port=port,
        cwd=project("vite"),
        path="/vue.html",
        DJANGO_URL=django.address,
    ) as address:
        yield address


def sign_in(address: str) -> httpx.Response:
    with httpx.Client(base_url=address, headers={"Origin": address}, timeout=60) as client:
        client.get("/auth/session")
        token = client.cookies["csrftoken"]
        return client.post(
            "/auth/sign-in",
            json={"username": "visitor0", "password": PASSWORD},
            headers={"X-CSRFToken": token},
        )


def test_with_the_name_of_the_host_kept_nothing_has_to_be_trusted(pages):
    assert sign_in(pages).status_code == 200


def test_with_another_name_the_refusal_says_which_setting_is_missing(project, django):
    port = free_port()
    with serving(
        *(
            "npx",
            "vite",
            "--bypass-lock",
            "--strictPort",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ),
        port=port,
        cwd=project("vite"),
        path="/auth/session",
        DJANGO_URL=django.address,
        CHANGE_ORIGIN="true",
    ) as address:
        answer = sign_in(address)
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    assert f"Add '{address}' to CSRF_TRUSTED_ORIGINS" in answer.json()["detail"]
    assert "changeOrigin: false" in answer.json()["detail"]


@pytest.mark.parametrize(("number", "framework"), list(enumerate(FRAMEWORKS, 1)))
def test_a_page_signs_in_lists_ends_and_signs_out(
    pages: str, chromium: Browser, number: int, framework: str
):
    credentials = {"username": f"visitor{number}", "password": PASSWORD}
    elsewhere = {**credentials, "transport": "bearer"}
    httpx.post(f"{pages}/auth/sign-in", json=elsewhere, timeout=60).raise_for_status()
    context = chromium.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{pages}/{framework}.html")
    page.get_by_label("Name").fill(credentials["username"])
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").get_by_text("credentials").wait_for()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name=credentials["username"]).wait_for()
    page.get_by_text("This session").wait_for()
    page.get_by_role("button", name="End").click()
    page.get_by_role("button", name="End").wait_for(state="detached")
    assert page.get_by_role("listitem").count() == 1
    page.reload()
    page.get_by_text("This session").wait_for()
    assert page.get_by_role("listitem").count() == 1
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()
    assert complaints == []
    context.close()


def test_the_pages_can_be_built(project):
    pages = [f"{name}.html" for name in FRAMEWORKS]
    inputs = ", ".join(f'"{page}"' for page in pages)
    folder = project("vite")
    (folder / "build.config.js").write_text(
        'import base from "./vite.config.js";\n'
        f"export default {{ ...base, build: {{ rolldownOptions: {{ input: [{inputs}] }} }} }};\n"
    )
    said = run("npx", "vite", "build", "--config", "build.config.js", cwd=folder)
    assert "built in" in said
    # The parts are files of their own, to be loaded when they are used.
    assert re.search(r"verbs-[\w-]+\.js", said), said
