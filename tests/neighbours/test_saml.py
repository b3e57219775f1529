"""The middleware of djangosaml2 as it is, whose session has a cookie of its own.

Run with the package installed::

    python -m pytest -m neighbours --ds tests.neighbours.saml_settings tests/neighbours/test_saml.py
"""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core import checks
from django.test import Client

from django_sessions_plus import sessions
from django_sessions_plus.models import Session

pytest.importorskip("djangosaml2")
SAML = "djangosaml2.middleware.SamlSessionMiddleware"
if SAML not in settings.MIDDLEWARE:
    pytest.skip("needs tests.neighbours.saml_settings", allow_module_level=True)

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db(transaction=True)]


@pytest.fixture(params=["after ours", "last", "before ours"])
def _order(request: pytest.FixtureRequest, settings: Any) -> None:
    others = [name for name in settings.MIDDLEWARE if name != SAML]
    place = {"after ours": 1, "last": len(others), "before ours": 0}[request.param]
    settings.MIDDLEWARE = [*others[:place], SAML, *others[place:]]


@pytest.fixture
def browser(_order: None) -> Client:
    User.objects.create_user("ada")
    # Its cookie has to be sent to other sites' forms, and so is for HTTPS alone.
    browser = Client()
    assert browser.get("/assertion").status_code == 200
    return browser


@pytest.mark.usefixtures("_order")
def test_the_checks_have_nothing_against_it() -> None:
    ours = checks.run_checks(tags=["django_sessions_plus"])
    assert [message.id for message in ours if message.level >= checks.WARNING] == []


def test_each_session_has_its_cookie_and_its_row(browser: Client) -> None:
    assert {"sessionid", "saml_session"} <= set(browser.cookies)
    assert browser.cookies["sessionid"].value != browser.cookies["saml_session"].value
    assert browser.get("/who").content == b"ada ada@idp"
    assert list(
        Session.objects.active().filter(user__isnull=False).values_list("user__username")
    ) == [("ada",)]
    assert Session.objects.count() == 2


def test_ending_the_sign_in_leaves_what_the_provider_said(browser: Client) -> None:
    user = User.objects.get()
    (listed,) = sessions.list_for(user)
    assert sessions.revoke(listed.pk)
    assert browser.get("/who").content == b" ada@idp"


def test_so_does_signing_out(browser: Client) -> None:
    assert browser.get("/sign-out").cookies["sessionid"].value == ""
    assert browser.get("/who").content == b" ada@idp"
