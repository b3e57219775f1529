"""Answers to a refresh that come late, or never, on a site where only the attempt makes it no reuse."""

from __future__ import annotations

import json
import time

import pytest

from tests.browser.client.faults import delay, hold, lose
from tests.browser.client.pages import TRANSPORTS, Browsers
from tests.running import Site

pytestmark = pytest.mark.browser

WAYS = ["jwt by refresh cookie", "jwt in local storage"]


@pytest.mark.parametrize("name", WAYS)
def test_an_answer_that_is_lost_three_times_costs_nothing(anyone: Browsers, name: str):
    here = anyone()
    tab = here.tab(**TRANSPORTS[name])
    here.sign_in(tab)
    sent = lose(here.context, 3)

    assert tab.ask("refresh")["error"]["code"] == "network_error"
    assert tab.ask("refresh")["error"] is None
    assert len({json.loads(body)["attempt"] for body in sent}) == 1
    assert tab.ask("refresh")["error"] is None
    assert tab.settled() == here.username
    assert tab.value("told.map(({ type }) => type)") == ["signed-in"]


@pytest.mark.parametrize("name", WAYS)
def test_a_page_that_is_left_while_it_refreshes_is_signed_in_when_it_is_opened_again(
    anyone: Browsers, name: str
):
    here = anyone()
    tab = here.tab(**TRANSPORTS[name])
    here.sign_in(tab)
    hold(here.context, tab.page.close)
    with tab.page.expect_event("close"):
        tab.value("void client.refresh()")

    again = here.tab(**TRANSPORTS[name])
    assert again.settled() == here.username
    assert again.ask("refresh")["error"] is None
    assert [each for each in again.value("Object.values(localStorage)") if "attempt" in each] == []


def test_an_answer_that_takes_six_seconds_is_waited_for(anyone: Browsers):
    here = anyone()
    tab = here.tab(**TRANSPORTS["jwt in local storage"])
    here.sign_in(tab)
    sent = delay(here.context, 6)
    for _ in range(2):
        assert tab.ask("refresh")["error"] is None
    assert len(sent) == len({json.loads(body)["attempt"] for body in sent}) == 2


@pytest.mark.thorough
@pytest.mark.parametrize("name", WAYS)
def test_thirty_tabs_whose_answer_is_lost_stay_signed_in(anyone: Browsers, name: str):
    here = anyone()
    tabs = [here.tab(**TRANSPORTS[name]) for _ in range(30)]
    here.sign_in(tabs[0])
    for tab in tabs:
        tab.wait("client.session.data")
    sent = lose(here.context, 3)
    for tab in tabs:
        tab.value("void (window.refreshed = client.refresh())")
    for tab in tabs:
        tab.value("refreshed")
    # One tab has asked twice in vain, the next twice more; a tab that comes later begins anew.
    assert len({json.loads(body)["attempt"] for body in sent[:4]}) == 1
    assert [tab.settled() for tab in tabs] == [here.username] * 30


@pytest.mark.thorough
@pytest.mark.parametrize("name", WAYS)
def test_five_seconds_to_the_server_are_no_matter(anyone: Browsers, name: str):
    here = anyone()
    tab = here.tab(**TRANSPORTS[name])
    here.sign_in(tab)
    cdp = here.context.new_cdp_session(tab.page)
    cdp.send("Network.enable")
    slow = {"offline": False, "latency": 5000, "downloadThroughput": -1, "uploadThroughput": -1}
    cdp.send("Network.emulateNetworkConditions", slow)
    for _ in range(3):
        assert tab.ask("refresh")["error"] is None
    assert tab.settled() == here.username


@pytest.mark.thorough
@pytest.mark.parametrize("name", WAYS)
def test_a_server_that_is_away_for_half_a_minute_signs_nobody_out(
    anyone: Browsers, strict_site: Site, name: str
):
    here = anyone()
    tab = here.tab(**TRANSPORTS[name], refetchInterval=1)
    here.sign_in(tab)
    hold(here.context, strict_site.stop)
    tab.value("void client.refresh()")
    try:
        tab.page.wait_for_timeout(30_000)
        tab.wait("client.session.error")
        assert tab.value("client.session.error.code") == "network_error"
    finally:
        strict_site.start()
    tab.wait("!client.session.error", 90)
    assert tab.settled() == here.username
    assert tab.value("told.map(({ type }) => type)") == ["signed-in"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", WAYS)
def test_a_page_that_sleeps_while_it_refreshes_goes_on(anyone: Browsers, name: str):
    here = anyone()
    tab = here.tab(**TRANSPORTS[name])
    here.sign_in(tab)
    cdp = here.context.new_cdp_session(tab.page)
    hold(here.context, lambda: None)
    tab.value("void client.refresh()")
    tab.page.wait_for_timeout(1000)
    cdp.send("Page.setWebLifecycleState", {"state": "frozen"})
    here.context.set_offline(True)
    time.sleep(40)
    here.context.set_offline(False)
    cdp.send("Page.setWebLifecycleState", {"state": "active"})
    tab.wait("!client.session.isRefetching", 90)
    assert tab.ask("getSession")["error"] is None
    assert tab.settled() == here.username
