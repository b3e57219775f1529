"""The story of the README, told by Django's test client; tests/browser tells it by real browsers."""

import pytest
from django.test import Client

from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from tests.flows.conftest import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("example_site")]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)


def device(user_agent: str, address: str) -> Client:
    """Return a browser with cookies of its own, signed in as grace."""
    client = Client(headers={"user-agent": user_agent}, REMOTE_ADDR=address)
    response = client.post("/sign-in/", {"username": "grace", "password": PASSWORD})
    assert response.status_code == 302
    return client


def session_of(client: Client) -> Session:
    session: Session = client.get("/").context["session"]
    return session


def is_signed_in(client: Client) -> bool:
    response = client.get("/")
    if response.status_code == 302:
        assert response["Location"] == "/sign-in/?next=/"
    return response.status_code == 200


@pytest.mark.usefixtures("grace")
def test_a_device_that_is_ended_is_out_at_its_next_request():
    laptop, phone = device(FIREFOX, "192.0.2.1"), device(IPHONE, "2001:db8::1")

    page = laptop.get("/devices/").content.decode()
    assert "Firefox on Linux" in page
    assert "192.0.2.1" in page
    assert "Safari on iOS" in page
    assert "2001:db8::1" in page

    lost = session_of(phone)
    answer = laptop.post(f"/devices/{lost.pk}/end/", follow=True)
    assert "Safari on iOS is signed out." in answer.content.decode()
    assert f"/devices/{lost.pk}/" not in answer.content.decode()

    assert not is_signed_in(phone)
    assert is_signed_in(laptop)
    lost.refresh_from_db()
    assert lost.end_reason == EndReason.REVOKED
    assert lost.ended_by == lost.user


@pytest.mark.usefixtures("grace")
def test_the_api_of_one_device_ends_the_browser_of_another():
    browser, app = device(FIREFOX, "192.0.2.1"), Client()
    credentials = {"username": "grace", "password": PASSWORD, "transport": "bearer"}
    answer = app.post("/auth/sign-in", credentials, content_type="application/json")
    bearer = {"authorization": f"Bearer {answer.json()['token']}"}

    listed = app.get("/auth/sessions", headers=bearer).json()["results"]
    other = next(entry for entry in listed if not entry["is_current"])
    assert app.delete(f"/auth/sessions/{other['id']}", headers=bearer).status_code == 204

    assert not is_signed_in(browser)
    assert app.get("/auth/sessions", headers=bearer).status_code == 200


@pytest.mark.usefixtures("grace")
def test_ending_all_others_leaves_the_one_that_asked():
    here, second, third = (device(FIREFOX, f"192.0.2.{number}") for number in (1, 2, 3))

    answer = here.post("/devices/end-others/", follow=True)

    assert "2 other sessions are ended." in answer.content.decode()
    assert "You are signed in nowhere else." in answer.content.decode()
    assert [is_signed_in(client) for client in (here, second, third)] == [True, False, False]


# The others are ended at the commit, which must happen within the request as it does in real life.
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("grace")
def test_a_changed_password_ends_the_other_devices_and_keeps_this_one_under_a_new_token():
    here, other = device(FIREFOX, "192.0.2.1"), device(IPHONE, "192.0.2.2")
    before, token = session_of(here), here.cookies["sessionid"].value

    answer = here.post(
        "/password/",
        {
            "old_password": PASSWORD,
            "new_password1": "compiler-debugger-1947",
            "new_password2": "compiler-debugger-1947",
        },
    )

    assert answer["Location"] == "/devices/"
    assert is_signed_in(here)
    assert session_of(here) == before
    assert here.cookies["sessionid"].value != token
    assert not is_signed_in(other)


@pytest.mark.usefixtures("grace")
def test_signing_out_ends_one_device_alone_and_takes_its_cookie():
    here, other = device(FIREFOX, "192.0.2.1"), device(IPHONE, "192.0.2.2")

    answer = here.post("/sign-out/")

    assert answer["Location"] == "/sign-in/"
    assert here.cookies["sessionid"].value == ""
    assert not is_signed_in(here)
    assert is_signed_in(other)
