"""A network between the browser and the site that loses and delays answers, but no requests."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.error import HTTPError

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Request, Route

REFRESH = "**/auth/token/refresh"


def forward(request: Request) -> tuple[int, dict[str, str], bytes]:
    """Send a request as the browser would, whose cookies learn nothing of the answer."""
    headers = {
        name: value
        for name, value in request.all_headers().items()
        if not name.startswith(":") and name not in {"host", "accept-encoding", "content-length"}
    }
    body = request.post_data_buffer
    sent = urllib.request.Request(request.url, body, headers, method=request.method)
    try:
        with urllib.request.urlopen(sent, timeout=30) as answer:
            return answer.status, dict(answer.headers.items()), answer.read()
    except HTTPError as error:
        return error.code, dict(error.headers.items()), error.read()


def lose(context: BrowserContext, times: int) -> list[str]:
    """Let the next answers to a refresh be lost; return the list of what was sent for them."""
    bodies: list[str] = []

    def handle(route: Route) -> None:
        bodies.append(route.request.post_data or "")
        if len(bodies) > times:
            route.continue_()
            return
        status, _, _ = forward(route.request)
        assert status == 200
        route.abort("connectionreset")

    context.route(REFRESH, handle)
    return bodies


def delay(context: BrowserContext, seconds: float) -> list[str]:
    """Let every answer to a refresh take a while, which the site gives at once."""
    bodies: list[str] = []

    def handle(route: Route) -> None:
        bodies.append(route.request.post_data or "")
        status, headers, body = forward(route.request)
        time.sleep(seconds)
        route.fulfill(status=status, headers=headers, body=body)

    context.route(REFRESH, handle)
    return bodies


def hold(context: BrowserContext, then: Callable[[], object]) -> None:
    """Let the answer to the next refresh be lost, after something that happens once the site has given it."""
    # Only where there is a browser there is Playwright.
    from playwright.sync_api import Error  # noqa: PLC0415

    def handle(route: Route) -> None:
        status, _, _ = forward(route.request)
        assert status == 200
        then()
        # Where that was to leave the page there is nobody to answer.
        with suppress(Error):
            route.abort()

    context.route(REFRESH, handle, times=1)
