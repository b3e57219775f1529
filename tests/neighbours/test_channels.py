"""Channels as it is: a socket knows the session and the user of its cookie, and can sign in and out.

Run with the package installed::

    python -m pytest -m neighbours --ds tests.neighbours.channels_settings tests/neighbours/test_channels.py
"""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client

from django_sessions_plus import sessions
from django_sessions_plus.models import Session

if not apps.is_installed("channels"):
    pytest.skip("needs tests.neighbours.channels_settings", allow_module_level=True)

from channels.auth import AuthMiddlewareStack, login, logout
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.testing import WebsocketCommunicator

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db(transaction=True)]

Consumer: Any = AsyncJsonWebsocketConsumer


class Desk(Consumer):  # type: ignore[misc]
    """Does with its session what it is told."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        session = self.scope["session"]
        if "store" in content:
            session["note"] = content["store"]
            await sync_to_async(session.save)()
        if "sign_in" in content:
            user = await User.objects.aget(username=content["sign_in"])
            await login(self.scope, user, "django.contrib.auth.backends.ModelBackend")
            await sync_to_async(session.save)()
        if "sign_out" in content:
            await logout(self.scope)
        await self.send_json(
            {"user": self.scope["user"].get_username(), "note": session.get("note")}
        )


@pytest.fixture
def ada(transactional_db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def browser(ada: User) -> Client:
    browser = Client()
    browser.force_login(ada)
    return browser


def ask(token: str, *messages: dict[str, str]) -> Any:
    """Connect with this cookie, send the messages, and return the last answer."""

    async def talk() -> Any:
        headers = [(b"cookie", f"sessionid={token}".encode())]
        socket = WebsocketCommunicator(AuthMiddlewareStack(Desk.as_asgi()), "/", headers)
        connected, _ = await socket.connect()
        assert connected
        answer = None
        for message in messages:
            await socket.send_json_to(message)
            answer = await socket.receive_json_from(timeout=60)
        await socket.disconnect()
        return answer

    return async_to_sync(talk)()


def token_of(browser: Client) -> str:
    return browser.cookies["sessionid"].value


def test_a_socket_knows_the_user_of_its_cookie(browser: Client) -> None:
    assert ask(token_of(browser), {})["user"] == "ada"
    assert ask("a" * 32, {})["user"] == ""


def test_what_a_socket_stores_is_read_by_the_next_request(browser: Client) -> None:
    ask(token_of(browser), {"store": "blue"})
    assert browser.session["note"] == "blue"
    assert browser.get("/who").content == b"ada"
    assert Session.objects.get().user == User.objects.get()


def test_a_session_that_was_ended_opens_no_socket_more(browser: Client, ada: User) -> None:
    (listed,) = sessions.list_for(ada)
    assert sessions.revoke(listed.pk)
    assert ask(token_of(browser), {})["user"] == ""


def test_a_socket_signs_in_and_the_row_has_the_user(ada: User) -> None:
    assert ask("", {"sign_in": "ada"})["user"] == "ada"
    assert [row.user for row in sessions.list_for(ada)] == [ada]


def test_signing_out_on_a_socket_ends_the_session(browser: Client) -> None:
    assert ask(token_of(browser), {"sign_out": ""})["user"] == ""
    assert Session.objects.get().end_reason == "signed_out"
    assert browser.get("/who").content == b""
