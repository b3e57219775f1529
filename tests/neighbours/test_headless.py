"""The headless API of allauth as it is: an app changes its password and keeps its session.

Run with the packages installed::

    python -m pytest -m neighbours --ds tests.neighbours.headless_settings tests/neighbours/test_headless.py
"""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client

if not apps.is_installed("allauth.headless"):
    pytest.skip("needs tests.neighbours.headless_settings", allow_module_level=True)

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db(transaction=True)]

API = "/_allauth/app/v1"


def send(method: str, path: str, token: str | None = None, **body: str) -> Any:
    headers = {"X-Session-Token": token} if token else {}
    call = getattr(Client(), method)
    if method == "get":
        return call(API + path, headers=headers)
    return call(API + path, body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("middleware", ["ours", "Django's"])
def test_a_changed_password_spares_the_session_of_the_app(settings: Any, middleware: str) -> None:
    if middleware == "Django's":
        settings.MIDDLEWARE = [
            name.replace(
                "django_sessions_plus.middleware.Session",
                "django.contrib.sessions.middleware.Session",
            )
            for name in settings.MIDDLEWARE
        ]
    User.objects.create_user("ada", "ada@example.com", "lovelace-1815")

    def sign_in() -> str:
        answer = send("post", "/auth/login", username="ada", password="lovelace-1815")
        return str(answer.json()["meta"]["session_token"])

    mine, other = sign_in(), sign_in()
    answer = send(
        "post",
        "/account/password/change",
        mine,
        current_password="lovelace-1815",
        new_password="byron-1788-x",
    )
    assert answer.status_code == 200
    token = answer.json()["meta"].get("session_token", mine)
    assert send("get", "/auth/session", token).status_code == 200
    assert send("get", "/auth/session", other).status_code in {401, 410}
