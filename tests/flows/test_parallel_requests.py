"""Requests of one browser that run at the same time, one of which rotates the session's token.

In most tests the order is forced: when the outer request has loaded the session, an inner one is
served from beginning to end. In the others the requests are threads that wait for each other until
all have loaded the session.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import include, path

from django_sessions_plus.models import Session
from tests import pages_urls
from tests.api.urls import Mine
from tests.backends.drivers import SessionStore
from tests.backends.racing import PATIENCE, ROUNDS, racers, shared_database

urlpatterns = [
    path("auth/", include("django_sessions_plus.api.urls")),
    path("mine", Mine.as_view()),
    *pages_urls.urlpatterns,
]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

PASSWORD = "flow-matic-1955"
CONFIRM = "/account/devices/confirm-password/"
JSON = "application/json"

Request = Callable[[], Any]


@pytest.fixture(autouse=True)
def _no_attempts() -> None:
    cache.clear()


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password=PASSWORD)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Serve requests inside of each other, each when the one around it has loaded; return the answers."""

    def serve(*requests: Request, by: str = "load") -> list[Any]:
        waiting, answers = list(requests), []

        def serve_next() -> None:
            if waiting:
                answers.append(waiting.pop(0)())

        with monkeypatch.context() as patch:
            _call_after(patch, by, serve_next)
            serve_next()
        assert not waiting, "the request has not loaded the session"
        return answers

    return serve


def _call_after(patch: pytest.MonkeyPatch, name: str, act: Callable[[], Any]) -> None:
    """Have ``act`` called after each call of a method of the store, or of its twin."""
    method, twin = getattr(SessionStore, name), getattr(SessionStore, f"a{name}")

    def sibling(store: Any, *args: Any) -> Any:
        result = method(store, *args)
        act()
        return result

    async def asibling(store: Any, *args: Any) -> Any:
        result = await twin(store, *args)
        await sync_to_async(act)()
        return result

    patch.setattr(SessionStore, name, sibling)
    patch.setattr(SessionStore, f"a{name}", asibling)


def cookie_of(answer: Any) -> str | None:
    cookie = answer.cookies.get(django_settings.SESSION_COOKIE_NAME)
    return None if cookie is None else cookie.value


def with_cookie(token: str | None) -> Client:
    client = Client()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = token or ""
    return client


def by_token(token: str) -> Client:
    return Client(headers={"authorization": f"Bearer {token}"})


@pytest.fixture
def visitor() -> str:
    """The token of a visitor with something in the basket."""
    return str(cookie_of(Client().get("/count")))


@pytest.fixture
def signed_in(visitor: str, ada: User) -> str:
    """The token of ada, with the basket of her visit."""
    return str(cookie_of(with_cookie(visitor).post("/sign-in", {"user": "ada"})))


def change_secret_key(settings: Any) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another one"


def is_ada_with_basket(token: str | None) -> bool:
    client = with_cookie(token)
    return client.get("/who").content == b"ada" and int(client.get("/count").content) > 1


@pytest.mark.parametrize("view", ["who", "awho", "count", "acount"])
def test_a_page_s_requests_after_a_change_of_the_secret_key_are_all_served(
    signed_in: str, settings: Any, meanwhile: Any, view: str
):
    change_secret_key(settings)
    answers = meanwhile(*[lambda: with_cookie(signed_in).get(f"/{view}")] * 3)
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    if view.endswith("who"):
        assert {answer.content for answer in answers} == {b"ada"}
        (token,) = {cookie for answer in answers if (cookie := cookie_of(answer)) is not None}
        assert is_ada_with_basket(token)
    assert Session.objects.count() == 1


@pytest.mark.parametrize("way", ["view", "API"])
def test_a_sign_in_that_was_pressed_twice_keeps_the_basket_and_both_cookies_work(
    visitor: str, ada: User, meanwhile: Any, way: str
):
    def press() -> Any:
        client = with_cookie(visitor)
        if way == "view":
            return client.post("/sign-in", {"user": "ada"})
        body = {"username": "ada", "password": PASSWORD}
        return client.post("/auth/sign-in", body, content_type=JSON)

    answers = meanwhile(press, press)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert all(is_ada_with_basket(cookie_of(answer)) for answer in answers)
    assert with_cookie(visitor).get("/who").content == b""


def test_so_does_who_signs_in_again(signed_in: str, meanwhile: Any):
    answers = meanwhile(*[lambda: with_cookie(signed_in).post("/sign-in", {"user": "ada"})] * 2)
    assert all(is_ada_with_basket(cookie_of(answer)) for answer in answers)


def test_a_password_that_is_confirmed_twice_is_confirmed(signed_in: str, meanwhile: Any):
    def press() -> Any:
        return with_cookie(signed_in).post(CONFIRM, {"password": PASSWORD, "next": "/who"})

    answers = meanwhile(press, press)
    assert [(answer.status_code, answer["Location"]) for answer in answers] == [(302, "/who")] * 2
    assert all(is_ada_with_basket(cookie_of(answer)) for answer in answers)


@pytest.mark.parametrize("transport", ["cookie", "bearer", "jwt"])
def test_re_authentications_at_once_all_succeed(
    ada: User, meanwhile: Any, transport: str, signed_in: str
):
    if transport == "cookie":
        client: Any = with_cookie(signed_in)
    else:
        body = {"username": "ada", "password": PASSWORD, "transport": transport}
        answer = Client().post("/auth/sign-in", body, content_type=JSON).json()
        client = by_token(answer.get("token") or answer["access"])

    def press() -> Any:
        one = with_cookie(signed_in) if transport == "cookie" else client
        return one.post("/auth/reauthenticate", {"password": PASSWORD}, content_type=JSON)

    answers = meanwhile(press, press, by="open_by_id" if transport == "jwt" else "load")
    assert [answer.status_code for answer in answers] == [200, 200]
    for answer in answers:
        if transport == "cookie":
            assert is_ada_with_basket(cookie_of(answer))
        else:
            token = answer.json().get("token") or answer.json()["access"]
            assert by_token(token).get("/mine").json()["user"] == "ada"


@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_what_a_request_changes_beside_a_re_authentication_is_kept(
    ada: User, meanwhile: Any, transport: str
):
    body = {"username": "ada", "password": PASSWORD, "transport": transport}
    answer = Client().post("/auth/sign-in", body, content_type=JSON)
    token = cookie_of(answer) or answer.json()["token"]
    make = with_cookie if transport == "cookie" else by_token
    answers = meanwhile(
        lambda: make(token).post("/mine"),
        lambda: make(token).post("/auth/reauthenticate", {"password": PASSWORD}, content_type=JSON),
    )
    assert [each.status_code for each in answers] == [200, 200]
    assert cookie_of(answers[-1]) is None
    assert Session.objects.get().get_decoded()["visits"] == 1


def test_a_bearer_token_outlives_a_change_of_the_secret_key(
    ada: User, settings: Any, meanwhile: Any
):
    """Nobody would tell its client of another one."""
    body = {"username": "ada", "password": PASSWORD, "transport": "bearer"}
    token = Client().post("/auth/sign-in", body, content_type=JSON).json()["token"]
    change_secret_key(settings)
    answers = meanwhile(*[lambda: by_token(token).get("/mine")] * 3)
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    settings.SECRET_KEY_FALLBACKS = []
    assert by_token(token).get("/mine").status_code == 200


class TestThreads:
    """Each with a connection of its own, on whatever database the suite runs on."""

    @pytest.fixture(autouse=True)
    def _shared_database(self, transactional_db: None, tmp_path: Path) -> Iterator[None]:
        with shared_database(tmp_path):
            yield

    @pytest.fixture
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Any]]]:
        """Serve three requests of which none goes on before all have loaded the session."""
        barrier = threading.Barrier(3)

        def wait() -> None:
            if threading.current_thread() in threads and threading.current_thread() not in passed:
                passed.add(threading.current_thread())
                barrier.wait(PATIENCE)

        threads: set[Any] = set()
        passed: set[Any] = set()

        def serve(request: Request) -> list[Any]:
            def act() -> Any:
                threads.add(threading.current_thread())
                return request()

            passed.clear()
            with monkeypatch.context() as patch:
                _call_after(patch, "load", wait)
                return racing.run(act, act, act)

        with racers(3) as racing:
            yield serve

    def test_three_requests_after_a_change_of_the_secret_key(
        self, signed_in: str, settings: Any, at_once: Any
    ):
        change_secret_key(settings)
        token = signed_in
        for number in range(ROUNDS // 2):
            answers = at_once(partial(with_cookie(token).get, "/who"))
            assert [answer.content for answer in answers] == [b"ada"] * 3
            (token,) = {cookie for answer in answers if (cookie := cookie_of(answer)) is not None}
            assert is_ada_with_basket(token)
            change_secret_key(settings)
            settings.SECRET_KEY = f"key {number}"

    def test_three_sign_ins_of_one_visitor(self, ada: User, at_once: Any):
        for _ in range(ROUNDS // 4):
            visitor = cookie_of(Client().get("/count"))
            answers = at_once(partial(with_cookie(visitor).post, "/sign-in", {"user": "ada"}))
            assert [answer.status_code for answer in answers] == [200] * 3
            tokens = {cookie_of(answer) for answer in answers}
            assert len(tokens) == 3
            assert all(map(is_ada_with_basket, tokens))

    def test_three_re_authentications(self, signed_in: str, at_once: Any):
        token: Any = signed_in
        for _ in range(ROUNDS // 4):
            cache.clear()
            body = {"password": PASSWORD, "next": "/who"}
            answers = at_once(partial(with_cookie(token).post, CONFIRM, body))
            assert [answer.status_code for answer in answers] == [302] * 3
            tokens = [cookie_of(answer) for answer in answers]
            assert all(map(is_ada_with_basket, tokens))
            token = tokens[0]

    def test_requests_that_change_data_beside_a_rotation(self, signed_in: str, at_once: Any):
        token: Any = signed_in
        for _ in range(ROUNDS // 4):
            requests = [
                partial(with_cookie(token).get, "/count"),
                partial(with_cookie(token).post, "/sign-in", {"user": "ada"}),
                partial(with_cookie(token).get, "/acount"),
            ]
            answers = at_once(lambda waiting=requests: waiting.pop()())
            assert [answer.status_code for answer in answers] == [200] * 3
            token = next(cookie for each in answers if (cookie := cookie_of(each)) is not None)
            assert is_ada_with_basket(token)
