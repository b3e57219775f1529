"""One session, three transports: what one of them ends is over for the others, at the next request."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from django_sessions_plus import sessions
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from tests.flows.conftest import PASSWORD
from tests.flows.test_two_devices import FIREFOX, device, is_signed_in, session_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("example_site")]

APP = "Atlas/4.1 (com.example.atlas; iOS 18.5)"


class App:
    """An app that keeps a pair of tokens, and no cookies."""

    def __init__(self) -> None:
        self.client = Client(headers={"user-agent": APP}, REMOTE_ADDR="192.0.2.200")
        self.pair: dict[str, Any] = {}

    def ask(self, method: str, name: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self.pair['access']}"} if self.pair else {}
        arguments = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(f"/auth/{name}", headers=headers, **arguments)

    def sign_in(self) -> App:
        body = {"username": "grace", "password": PASSWORD, "transport": "jwt"}
        answer = self.ask("post", "sign-in", body)
        assert answer.status_code == 200
        assert not answer.cookies
        return self.with_pair(answer.json())

    def with_pair(self, pair: dict[str, Any]) -> App:
        self.pair = pair
        return self

    def refresh(self) -> Any:
        return self.ask("post", "token/refresh", {"refresh": self.pair["refresh"]})

    def assert_is_out(self) -> None:
        answer, refreshed = self.ask("get", "sessions"), self.refresh()
        assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")
        assert (refreshed.status_code, refreshed.json()["code"]) == (401, "session_ended")


@pytest.mark.usefixtures("grace")
def test_a_browser_sees_the_app_among_its_devices_and_ends_it():
    browser, app = device(FIREFOX, "192.0.2.1"), App().sign_in()
    page = browser.get("/devices/").content.decode()
    assert "192.0.2.200" in page
    row = Session.objects.get(ip_address="192.0.2.200")
    assert str(row.pk) == app.pair["session"]["id"]

    assert app.ask("get", "session").status_code == 200
    assert browser.post(f"/devices/{row.pk}/end/").status_code == 302

    app.assert_is_out()
    assert is_signed_in(browser)


@pytest.mark.usefixtures("grace")
def test_the_app_sees_the_browser_and_ends_it():
    browser, app = device(FIREFOX, "192.0.2.1"), App().sign_in()
    listed = app.ask("get", "sessions").json()["results"]
    other = next(entry for entry in listed if not entry["is_current"])
    assert (other["ip_address"], other["device"]["browser"]) == ("192.0.2.1", "Firefox")
    assert app.ask("delete", f"sessions/{other['id']}").status_code == 204
    assert not is_signed_in(browser)
    assert app.ask("get", "sessions").status_code == 200


# The others are ended at the commit, which must happen within the request as it does in real life.
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("grace")
def test_a_changed_password_ends_the_app():
    browser, app = device(FIREFOX, "192.0.2.1"), App().sign_in()
    new = {"new_password1": "compiler-debugger-1947", "new_password2": "compiler-debugger-1947"}
    browser.post("/password/", {"old_password": PASSWORD, **new})
    app.assert_is_out()
    assert is_signed_in(browser)
    row = Session.objects.get(ip_address="192.0.2.200")
    assert row.end_reason == EndReason.PASSWORD_CHANGED


@pytest.mark.django_db(transaction=True)
def test_a_user_who_is_deactivated_is_out_everywhere(grace: Any):
    app = App().sign_in()
    grace.is_active = False
    grace.save()
    app.assert_is_out()


@pytest.mark.usefixtures("grace")
def test_what_a_session_has_issued_dies_with_it():
    browser = device(FIREFOX, "192.0.2.1")
    issued = sessions.issue_tokens(session_of(browser))
    service = App().with_pair({"access": issued.access, "refresh": issued.refresh})
    assert service.ask("get", "session").json()["session"]["is_current"] is True
    answer = service.refresh()
    assert answer.status_code == 200
    service.with_pair(answer.json())
    assert service.ask("get", "session").status_code == 200
    # The service is no device of its own.
    assert Session.objects.count() == 1

    browser.post("/sign-out/")
    service.assert_is_out()


@pytest.mark.usefixtures("grace")
def test_a_service_that_signs_out_takes_the_browser_along():
    browser = device(FIREFOX, "192.0.2.1")
    issued = sessions.issue_tokens(session_of(browser))
    service = App().with_pair({"access": issued.access, "refresh": issued.refresh})
    assert service.ask("post", "sign-out").status_code == 204
    service.assert_is_out()
    assert not is_signed_in(browser)
    assert Session.objects.get().end_reason == EndReason.SIGNED_OUT


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("grace")
def test_the_limit_reaches_the_app(settings: Any):
    settings.SESSIONS_PLUS_MAX_PER_USER = 1
    app = App().sign_in()
    device(FIREFOX, "192.0.2.1")
    app.assert_is_out()
    assert Session.objects.ended().get().end_reason == EndReason.LIMIT
