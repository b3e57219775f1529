"""django-hijack as it is: the row always names whom request.user names.

Run with the package installed::

    python -m pytest -m neighbours --ds tests.neighbours.hijack_settings tests/neighbours/test_hijack.py
"""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client

from django_sessions_plus import sessions
from django_sessions_plus.models import Session

if not apps.is_installed("hijack"):
    pytest.skip("needs tests.neighbours.hijack_settings", allow_module_level=True)

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def root(transactional_db: None) -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def bob(transactional_db: None) -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def browser(root: User, bob: User) -> Client:
    """A browser of root, who acts for bob."""
    browser = Client()
    browser.force_login(root)
    answer = browser.post("/hijack/acquire/", {"user_pk": bob.pk, "next": "/who"})
    assert answer.status_code == 302
    return browser


def active_users() -> list[str]:
    rows = Session.objects.active().filter(user__isnull=False)
    return sorted(rows.values_list("user__username", flat=True))


def test_whoever_acts_for_somebody_is_him_in_the_request_and_in_the_row(browser: Client) -> None:
    assert browser.get("/who").content == b"bob"
    assert active_users() == ["bob"]


def test_after_it_the_session_is_the_first_persons_again(browser: Client) -> None:
    assert browser.post("/hijack/release/", {"next": "/who"}).status_code == 302
    assert browser.get("/who").content == b"root"
    assert active_users() == ["root"]


def test_ending_everything_of_the_other_ends_it(browser: Client, bob: User) -> None:
    assert sessions.revoke_all(bob) == 1
    assert browser.get("/who").content == b""


def test_the_others_own_sessions_are_left_alone(browser: Client, bob: User) -> None:
    own = Client()
    own.force_login(bob)
    browser.post("/hijack/release/", {"next": "/who"})
    assert own.get("/who").content == b"bob"
    assert active_users() == ["bob", "root"]
