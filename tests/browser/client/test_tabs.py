"""What the tabs of one browser have in common, and what may go wrong between them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.browser.client.pages import TRANSPORTS, Browsers, Someone, Tab
from tests.browser.conftest import PASSWORD

pytestmark = pytest.mark.browser

# The access tokens of the site live for six seconds.
EXPIRED = 6.2

NO_CHANNEL = "delete window.BroadcastChannel;"
NO_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined });"

PAIRS = [name for name in TRANSPORTS if name.startswith("jwt")]
SHARED = ["cookie", "bearer in local storage", "jwt by refresh cookie", "jwt in local storage"]


def open_tabs(here: Someone, number: int, name: str, **options: Any) -> list[Tab]:
    """Open tabs, then sign in in the first: the others have to hear of it."""
    tabs = [here.tab(**TRANSPORTS[name], **options) for _ in range(number)]
    assert [tab.settled() for tab in tabs] == [None] * number
    assert here.sign_in(tabs[0])["error"] is None
    for tab in tabs:
        tab.wait("client.session.data")
    return tabs


def wake(tabs: list[Tab]) -> None:
    """Give every tab the focus, none waiting for another."""
    for tab in tabs:
        tab.value("void window.dispatchEvent(new Event('focus'))")


def wait_for_quiet(tabs: list[Tab]) -> None:
    for tab in tabs:
        tab.wait("!client.session.isRefetching")


@pytest.mark.parametrize("name", PAIRS)
def test_ten_tabs_that_wake_up_with_an_expired_token_refresh_once(someone: Browsers, name: str):
    here = someone()
    tabs = open_tabs(here, 10, name, refetchOnWindowFocus=True)
    time.sleep(EXPIRED)
    here.requests.clear()

    wake(tabs)
    wait_for_quiet(tabs)

    assert here.count("POST token/refresh") == 1
    assert here.count("GET session") >= 10
    assert [tab.settled() for tab in tabs] == [here.username] * 10
    assert [tab.value("client.session.error") for tab in tabs] == [None] * 10


@pytest.mark.parametrize(
    ("name", "script"),
    [
        (name, script)
        for name in PAIRS
        for script in (NO_LOCKS, NO_CHANNEL, NO_LOCKS + NO_CHANNEL)
        # Without channels tabs that share no storage have sessions of their own.
        if NO_CHANNEL not in script or name in SHARED
    ],
)
def test_without_locks_or_messages_all_tabs_stay_signed_in(
    someone: Browsers, name: str, script: str
):
    here = someone(script)
    tabs = [here.tab(**TRANSPORTS[name], refetchOnWindowFocus=True) for _ in range(4)]
    here.sign_in(tabs[0])
    for tab in tabs:
        tab.wait("client.session.data")
    time.sleep(EXPIRED)

    wake(tabs)
    wait_for_quiet(tabs)
    for _ in range(2):
        assert [tab.ask("refresh")["error"] for tab in tabs] == [None] * 4
    assert [tab.settled() for tab in tabs] == [here.username] * 4


@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_sign_out_in_one_tab_reaches_all_within_a_second(someone: Browsers, name: str):
    here = someone()
    tabs = open_tabs(here, 5, name)
    here.requests.clear()

    tabs[2].ask("signOut")
    for tab in tabs:
        tab.wait("told.at(-1).type === 'signed-out'")
    # By their own clock, for to ask five tabs takes a while on a busy machine.
    moments = [tab.value("toldAt") for tab in tabs]
    assert max(moments) - moments[2] < 1000

    assert [tab.value("told.at(-1)") for tab in tabs] == [
        {"type": "signed-out", "reason": "signed_out"}
    ] * 5
    tabs[0].page.wait_for_timeout(300)
    assert here.requests == ["POST sign-out"]
    assert tabs[0].value("Object.keys(localStorage)") == []
    assert [tab.ask("getSession")["data"] for tab in tabs] == [None] * 5


@pytest.mark.parametrize("name", SHARED)
def test_a_sign_out_reaches_all_by_the_storage_where_there_are_no_channels(
    someone: Browsers, name: str
):
    here = someone(NO_CHANNEL)
    tabs = open_tabs(here, 5, name)
    tabs[2].ask("signOut")
    for tab in tabs:
        tab.wait("!client.session.data")
    assert tabs[0].value("Object.keys(localStorage)") == []


@pytest.mark.parametrize("name", ["cookie", "jwt by refresh cookie"])
def test_another_person_in_one_tab_is_another_person_in_all(someone: Browsers, name: str):
    here, other = someone(), "visitor0"
    tabs = open_tabs(here, 3, name)
    tabs[1].ask("signIn", {"username": other, "password": PASSWORD})
    for tab in tabs:
        tab.wait(f"client.session.data?.user.username === '{other}'")
        assert tab.ask("getSession")["data"]["user"]["username"] == other


@pytest.mark.parametrize("name", TRANSPORTS)
@pytest.mark.parametrize("script", ["", NO_LOCKS])
def test_tokens_that_one_tab_rotates_sign_out_no_other_that_is_asking(
    someone: Browsers, name: str, script: str
):
    here = someone(script)
    tabs = open_tabs(here, 3, name)
    for tab in tabs[1:]:
        tab.page.evaluate("""() => {
            window.asking = true;
            window.finished = (async () => {
                while (asking) {
                    await client.getSession();
                    await client.fetch("/auth/sessions");
                }
            })();
        }""")
    for _ in range(2 if script else 8):
        assert tabs[0].ask("reauthenticate", {"password": PASSWORD})["error"] is None
        # Without locks the others wait half a second, in which nobody types a password again.
        tabs[0].page.wait_for_timeout(1200 if script else 0)
    for tab in tabs[1:]:
        tab.page.evaluate("() => { asking = false; return finished; }")

    assert [tab.settled() for tab in tabs] == [here.username] * 3
    assert [tab.value("told.map(({ type }) => type)") for tab in tabs] == [["signed-in"]] * 3


@pytest.mark.parametrize("name", ["jwt in local storage", "jwt by refresh cookie", "cookie"])
def test_an_answer_that_comes_after_the_sign_out_is_dropped(someone: Browsers, name: str):
    here = someone()
    tabs = open_tabs(here, 2, name)
    path = "session" if name == "cookie" else "token/refresh"
    tab = tabs[0]
    # The server answers at once, and the answer takes its time.
    tab.page.evaluate(
        """([path]) => {
        const real = window.fetch;
        window.fetch = async (...sent) => {
            const answer = await real(...sent);
            if (String(sent[0]).endsWith(path)) await new Promise((done) => setTimeout(done, 1500));
            return answer;
        };
        window.late = client.refresh();
    }""",
        [path],
    )
    tab.page.wait_for_timeout(400)
    assert tabs[1].ask("signOut")["error"] is None
    tab.wait("!client.session.data")
    tab.page.evaluate("late")
    tab.page.wait_for_timeout(200)

    assert tab.settled() is None
    assert tabs[1].settled() is None
    assert tab.value("Object.keys(localStorage)") == []
    assert tab.value("told.map(({ type }) => type)") == ["signed-in", "signed-out"]


def test_a_duplicated_tab_and_its_model_use_one_line_of_tokens(someone: Browsers):
    """Browsers copy the session storage with a tab, and a token that two use is a stolen one."""
    here = someone()
    name = "jwt in session storage"
    first = here.tab(**TRANSPORTS[name])
    here.sign_in(first)
    stored = first.value("JSON.stringify(sessionStorage)")
    second = here.context.new_page()
    second.goto(f"{here.site}/sign-in/")
    second.evaluate("(stored) => Object.assign(sessionStorage, JSON.parse(stored))", stored)
    second.close()
    copy = here.context.new_page()
    copy.add_init_script(f"Object.assign(sessionStorage, {stored})")
    copy.goto(f"{here.site}/sign-in/")
    tab = here.tab_on(copy, **TRANSPORTS[name])
    assert tab.settled() == here.username
    for _ in range(3):
        assert first.ask("refresh")["error"] is None
        assert tab.ask("refresh")["error"] is None
    time.sleep(11)
    assert first.ask("refresh")["error"] is None
    assert tab.ask("refresh")["error"] is None


def test_tabs_do_not_answer_each_other_for_ever(someone: Browsers):
    for script in ("", NO_CHANNEL):
        here = someone(script)
        tabs = [here.tab(**TRANSPORTS["cookie"]) for _ in range(6)]
        [tab.settled() for tab in tabs]
        here.requests.clear()
        here.sign_in(tabs[0])
        for tab in tabs:
            tab.wait("client.session.data")
        tabs[0].page.wait_for_timeout(1000)
        assert here.count("GET session") <= (0 if not script else 12)


def test_focus_asks_again_at_most_every_five_seconds(someone: Browsers):
    here = someone()
    tab = here.tab(refetchOnWindowFocus=True)
    here.sign_in(tab)
    time.sleep(5.1)
    here.requests.clear()
    for _ in range(20):
        wake([tab])
    wait_for_quiet([tab])
    assert here.requests == ["GET session"]


def test_a_use_in_one_tab_keeps_the_others_from_being_idle(someone: Browsers):
    here = someone()
    used, watching = (here.tab(idleAfter=4) for _ in range(2))
    here.sign_in(used)
    watching.wait("client.session.data")
    # To sign in may have taken longer than that.
    used.page.keyboard.press("Shift")
    used.page.wait_for_timeout(500)
    for tab in (used, watching):
        tab.value("told.length = 0")
    for _ in range(12):
        used.page.keyboard.press("Shift")
        used.page.wait_for_timeout(500)
    told: list[Any] = [
        tab.value("told.some(({ type }) => type === 'idle')") for tab in (used, watching)
    ]
    assert told == [False, False]
    used.wait("told.some(({ type }) => type === 'idle')")
    watching.wait("told.some(({ type }) => type === 'idle')")


def test_what_a_timer_asks_counts_while_the_person_is_there_and_not_afterwards(someone: Browsers):
    here = someone()
    tab = here.tab(idleAfter=4, refetchInterval=0.25)
    here.sign_in(tab)
    # That may have taken longer than it takes to be idle.
    tab.page.keyboard.press("Shift")
    tab.page.wait_for_timeout(500)
    tab.value("told.length = 0")
    here.requests.clear()
    here.passive = 0
    for _ in range(12):
        tab.page.keyboard.press("Shift")
        tab.page.wait_for_timeout(500)
    assert here.count("GET session") >= 4
    assert here.passive == 0
    tab.wait("told.some(({ type }) => type === 'idle')")
    tab.page.wait_for_timeout(300)
    here.requests.clear()
    here.passive = 0
    tab.page.wait_for_timeout(3000)
    assert here.count("GET session") == here.passive >= 2
