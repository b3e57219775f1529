"""Next.js: built, served, and asked by several people at once."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from html import unescape

import httpx
import pytest

from tests.browser.conftest import PASSWORD
from tests.npm.conftest import run, serving

pytestmark = [pytest.mark.npm, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(project, django, trusted_port) -> Iterator[str]:
    folder = project("next")
    environment = {"DJANGO_URL": django.address, "NEXT_TELEMETRY_DISABLED": "1"}
    # Relative addresses throw neither at import nor while pages are built.
    run("npx", "next", "build", cwd=folder, **environment)
    with serving(
        *("npx", "next", "start", "--hostname", "127.0.0.1", "--port", str(trusted_port)),
        port=trusted_port,
        cwd=folder,
        **environment,
    ) as address:
        yield address


@pytest.fixture
def signed_in(site: str) -> Iterator[Callable[[int], httpx.Client]]:
    """Make browsers of people who are signed in."""
    with ExitStack() as stack:
        yield lambda number: sign_in(stack.enter_context(browser(site)), number)


def browser(site: str) -> httpx.Client:
    return httpx.Client(base_url=site, headers={"Origin": site}, timeout=60)


def sign_in(client: httpx.Client, number: int) -> httpx.Client:
    client.get("/auth/session")
    answer = client.post(
        "/auth/sign-in",
        json={"username": f"visitor{number}", "password": PASSWORD},
        headers={"X-CSRFToken": client.cookies["csrftoken"]},
    )
    assert answer.status_code == 200, answer.text
    return client


def text_of(answer: httpx.Response) -> str:
    body = re.sub(r"<script.*?</script>", "", answer.text, flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]*>", "", body))


def test_a_page_is_rendered_for_whoever_asks(site, signed_in):
    assert "Nobody" in text_of(httpx.get(site, timeout=60))
    assert "Sign out visitor20" in text_of(signed_in(20).get("/"))


def test_people_who_are_rendered_in_one_process_stay_themselves(signed_in):
    clients = [signed_in(number) for number in range(30, 34)]

    def names(client: httpx.Client) -> set[str]:
        answers = [client.get("/") for _ in range(10)]
        return {name for answer in answers for name in re.findall(r"visitor\d+", answer.text)}

    with ThreadPoolExecutor(len(clients)) as pool:
        found = list(pool.map(names, clients))
    assert found == [{f"visitor{number}"} for number in range(30, 34)]


def test_a_route_reads_the_session(site, signed_in):
    assert httpx.get(f"{site}/api/me", timeout=60).status_code == 401
    assert signed_in(21).get("/api/me").json()["user"]["username"] == "visitor21"


def test_a_page_that_is_built_beforehand_knows_nobody_yet(signed_in):
    assert "One moment" in text_of(signed_in(22).get("/built"))
