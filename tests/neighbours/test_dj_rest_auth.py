"""dj-rest-auth as it is: its sign-in, sign-out and change of password, on sessions of ours.

Run with the package installed::

    python -m pytest -m neighbours --ds tests.neighbours.dj_rest_auth_settings tests/neighbours/test_dj_rest_auth.py
"""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client

from django_sessions_plus.models import Session

if not apps.is_installed("dj_rest_auth"):
    pytest.skip("needs tests.neighbours.dj_rest_auth_settings", allow_module_level=True)

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db(transaction=True)]

PASSWORD = "lovelace-1815"


@pytest.fixture(autouse=True)
def ada(transactional_db: None) -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(path, body, content_type="application/json")


def signed_in() -> tuple[Client, str]:
    """Return a browser that signed in by their endpoint, and the token that it was told."""
    browser = Client()
    answer = post(browser, "/rest/login/", username="ada", password=PASSWORD)
    assert answer.status_code == 200
    return browser, answer.json()["key"]


def test_who_signed_in_there_is_known_and_listed_here() -> None:
    browser, _ = signed_in()
    assert browser.get("/rest/user/").json()["username"] == "ada"
    (listed,) = browser.get("/auth/sessions").json()["results"]
    assert listed["is_current"] is True


def test_a_session_that_is_ended_here_is_over_there() -> None:
    browser, _ = signed_in()
    other, _ = signed_in()
    (found,) = [s for s in browser.get("/auth/sessions").json()["results"] if not s["is_current"]]
    assert browser.delete(f"/auth/sessions/{found['id']}").status_code == 204
    assert other.get("/rest/user/").status_code in {401, 403}
    assert browser.get("/rest/user/").status_code == 200


def test_signing_out_there_ends_the_session() -> None:
    browser, _ = signed_in()
    assert post(browser, "/rest/logout/").status_code == 200
    assert [row.end_reason for row in Session.objects.all()] == ["signed_out"]


def test_a_password_changed_there_spares_the_session_it_is_changed_in() -> None:
    browser, _ = signed_in()
    other, _ = signed_in()
    new = {"new_password1": "byron-1788-x", "new_password2": "byron-1788-x"}
    answer = post(browser, "/rest/password/change/", old_password=PASSWORD, **new)
    assert answer.status_code == 200, answer.content
    assert browser.get("/rest/user/").status_code == 200
    assert other.get("/rest/user/").status_code in {401, 403}
    assert Session.objects.active().count() == 1


@pytest.mark.parametrize("view", ["/theirs-first", "/ours-first"])
def test_one_view_takes_the_tokens_of_both(view: str) -> None:
    _, theirs = signed_in()
    answer = post(Client(), "/auth/sign-in", username="ada", password=PASSWORD, transport="bearer")
    ours = answer.json()["token"]
    for header in (f"Token {theirs}", f"Bearer {ours}"):
        assert Client().get(view, headers={"authorization": header}).json() == "ada"
    for header in (f"Token {ours}", f"Bearer {theirs}", "Token x", "Bearer x"):
        answer = Client().get(view, headers={"authorization": header})
        assert answer.status_code == 401, header
