"""Ends from elsewhere, failing servers, wrong clocks, denied storage: what the client makes of them."""

from __future__ import annotations

import logging
import os
import time

import pytest

from tests.browser.client.pages import TRANSPORTS, Browsers, Someone
from tests.browser.conftest import PASSWORD
from tests.running import Site

pytestmark = pytest.mark.browser

logger = logging.getLogger(__name__)

# A minute, most of it waiting. Ten thousand take another.
REFETCHES = int(os.environ.get("SESSIONS_TEST_REFETCHES") or 2000)

SHIFTED = """
    const real = Date;
    const shift = {hours} * 3600 * 1000;
    globalThis.Date = class extends real {{
        constructor(...given) {{
            given.length ? super(...given) : super(real.now() + shift);
        }}
        static now() {{
            return real.now() + shift;
        }}
    }};
"""
DENIED = """
    for (const name of ["localStorage", "sessionStorage"]) {
        Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError"); } });
    }
"""
FULL = (
    "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"
)


@pytest.mark.parametrize("name", TRANSPORTS)
def test_an_end_from_another_browser_signs_out_and_tells_why(someone: Browsers, name: str):
    here, there = someone(), someone()
    tab, other = here.tab(**TRANSPORTS[name], refetchInterval=1), there.tab()
    here.sign_in(tab)
    there.sign_in(other)

    assert other.ask("revokeOtherSessions")["data"] == {"revoked": 1}
    tab.wait("!client.session.data")

    assert tab.value("told.at(-1)") == {"type": "signed-out", "reason": "revoked"}
    assert tab.value("told.filter(({ type }) => type === 'expired').length") == 0
    assert tab.value("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
    here.requests.clear()
    tab.page.wait_for_timeout(2500)
    # By cookie a page of the site may sign somebody in; no token comes by itself.
    assert len(here.requests) <= (3 if name == "cookie" else 0)


def test_one_tab_that_finds_the_end_tells_the_others(someone: Browsers):
    here, there = someone(), someone()
    tabs = [here.tab() for _ in range(5)]
    here.sign_in(tabs[0])
    for tab in tabs:
        tab.wait("client.session.data")
    other = there.tab()
    there.sign_in(other)
    other.ask("revokeOtherSessions")
    here.requests.clear()

    tabs[3].ask("getSession")
    for tab in tabs:
        tab.wait("!client.session.data")

    assert here.requests == ["GET session"] * 2
    assert {tab.value("told.at(-1).reason") for tab in tabs} == {"revoked"}


@pytest.mark.parametrize("name", ["cookie", "bearer in memory", "jwt by refresh cookie"])
def test_a_server_that_stops_for_five_seconds_signs_nobody_out(
    someone: Browsers, client_site: Site, name: str
):
    here = someone()
    tab = here.tab(**TRANSPORTS[name], refetchInterval=1)
    here.sign_in(tab)
    before = tab.value("client.session.data.session.id")

    client_site.stop()
    try:
        tab.wait("client.session.error")
        time.sleep(5)
        assert tab.value("client.session.error.code") == "network_error"
        assert tab.value("client.session.data.session.id") == before
        assert tab.ask("signOut")["error"]["code"] == "network_error"
        assert tab.value("client.session.data.session.id") == before
    finally:
        client_site.start()

    tab.wait("!client.session.error")
    assert tab.value("client.session.data.session.id") == before
    assert tab.value("told.map(({ type }) => type)") == ["signed-in"]


def test_a_server_that_is_down_at_the_start_leaves_the_question_open(
    someone: Browsers, client_site: Site
):
    here = someone()
    tab = here.tab()
    here.sign_in(tab)
    page = tab.page
    page.evaluate("client.close()")
    client_site.stop()
    try:
        page.evaluate("""async () => {
            const { createSessionClient } = await import("/static/django_sessions_plus/client.js");
            window.client = createSessionClient();
            await client.getSession();
        }""")
        assert tab.value("client.session.isPending")
        assert tab.value("client.session.error.code") == "network_error"
    finally:
        client_site.start()
    tab.wait("!client.session.isPending")
    assert tab.settled() == here.username


@pytest.mark.parametrize("name", ["cookie", "bearer in memory", "jwt by refresh cookie"])
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_page_whose_clock_is_an_hour_off_expires_nothing(
    someone: Browsers, name: str, hours: int
):
    here = someone(SHIFTED.format(hours=hours))
    tab = here.tab(**TRANSPORTS[name])
    assert tab.settled() is None
    here.sign_in(tab)
    here.requests.clear()
    for _ in range(3):
        assert tab.ask("getSession")["data"]["user"]["username"] == here.username
    tab.page.wait_for_timeout(1500)
    assert tab.value("told.map(({ type }) => type)") == ["signed-in"]
    assert here.requests == ["GET session"] * 3


def test_a_clock_that_is_set_while_the_page_is_open_expires_nothing(someone: Browsers):
    here = someone()
    tab = here.tab()
    here.sign_in(tab)
    tab.page.evaluate(f"() => {{ {SHIFTED.format(hours=24 * 400)} }}")
    tab.ask("getSession")
    tab.page.wait_for_timeout(1500)
    assert tab.value("told.map(({ type }) => type)") == ["signed-in"]


@pytest.mark.parametrize("script", [DENIED, FULL])
@pytest.mark.parametrize("name", ["jwt in local storage", "bearer in local storage"])
def test_storage_that_is_denied_or_full_costs_no_more_than_the_reload(
    someone: Browsers, name: str, script: str
):
    here = someone(script)
    tab, other = (here.tab(**TRANSPORTS[name]) for _ in range(2))
    assert here.sign_in(tab)["error"] is None
    other.wait("client.session.data")
    assert tab.ask("refresh")["error"] is None
    assert other.ask("getSession")["data"]["user"]["username"] == here.username
    assert tab.ask("signOut")["error"] is None
    other.wait("!client.session.data")


SEARCH = """(token) => {
    const found = [];
    const seen = new Set();
    const look = (thing, path) => {
        if (typeof thing === "string") {
            if (thing.includes(token)) found.push(path);
            return;
        }
        if (Object(thing) !== thing || seen.has(thing) || path.length > 200) return;
        seen.add(thing);
        if (String(thing).includes(token)) found.push(path);
        for (const key of Reflect.ownKeys(thing)) {
            let value;
            try { value = thing[key]; } catch { continue; }
            look(value, `${path}.${String(key)}`);
        }
        if (thing instanceof Map || thing instanceof Set) look([...thing], path);
    };
    look(document.cookie, "cookie");
    look({ ...localStorage }, "localStorage");
    look({ ...sessionStorage }, "sessionStorage");
    look(client, "client");
    look(told, "told");
    look(seen_by_fetch, "fetch");
    return found;
}"""


def test_by_cookie_no_script_ever_gets_to_see_the_token(someone: Browsers):
    here = someone()
    tab = here.tab()
    tab.page.evaluate("""() => {
        window.seen_by_fetch = [];
        const real = window.fetch;
        window.fetch = async (...sent) => {
            const answer = await real(...sent);
            seen_by_fetch.push(JSON.stringify(sent), await answer.clone().text());
            answer.headers.forEach((text) => seen_by_fetch.push(text));
            return answer;
        };
        window.channel = new BroadcastChannel(`sessions-plus/cookie/${location.origin}/auth/`);
        channel.onmessage = ({ data }) => seen_by_fetch.push(JSON.stringify(data));
    }""")
    here.sign_in(tab)
    tokens = [token_of(here)]
    tab.ask("reauthenticate", {"password": PASSWORD})
    tokens.append(token_of(here))
    tab.ask("listSessions")
    tab.ask("refresh")
    assert len(set(tokens)) == 2
    assert tab.value("seen_by_fetch.length") > 8
    for token in tokens:
        assert tab.page.evaluate(SEARCH, token) == []
    # The search finds what is there.
    assert tab.page.evaluate(SEARCH, here.username)


def token_of(here: Someone) -> str:
    cookies = here.context.cookies()
    value: str = next(cookie["value"] for cookie in cookies if cookie["name"] == "sessionid")
    return value


def test_the_refresh_cookie_is_seen_by_no_script(someone: Browsers):
    here = someone()
    tab = here.tab(transport="jwt")
    here.sign_in(tab)
    (cookie,) = (each for each in here.context.cookies() if each["path"] == "/auth")
    assert cookie["httpOnly"]
    assert cookie["value"] not in tab.value("document.cookie")
    tab.ask("signOut")
    assert not [each for each in here.context.cookies() if each["path"] == "/auth"]


@pytest.mark.slow
def test_memory_is_stable_over_many_refetches(someone: Browsers):
    here = someone()
    tab = here.tab()
    here.sign_in(tab)
    session = here.context.new_cdp_session(tab.page)

    def used() -> float:
        # Each request may take twenty seconds, and its limit is there until then.
        tab.page.wait_for_timeout(21_000)
        for _ in range(2):
            session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"])

    def refetch(times: int) -> None:
        # By a person and by a timer: these two go side by side.
        tab.page.evaluate(
            """async (times) => {
                for (let done = 0; done < times; done += 2) {
                    await Promise.all([client.getSession(), client.getSession({ passive: true })]);
                }
            }""",
            times,
        )

    tab.page.set_default_timeout(0)
    refetch(REFETCHES // 10)
    before = used()
    here.requests.clear()
    refetch(REFETCHES)
    after = used()
    logger.info("%d refetches: heap of %.0f kB -> %.0f kB", REFETCHES, before / 1e3, after / 1e3)
    assert here.count("GET session") == REFETCHES
    # What the page has compiled meanwhile is there too.
    assert after - before < 200_000
    assert tab.settled() == here.username
