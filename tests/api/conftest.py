from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.dispatch import Signal
from django.test import Client
from django.utils import timezone

from django_sessions_plus.models import Session
from tests.api import conformance

# Fixtures: keys of every algorithm.
from tests.jwt.conftest import entry, pems  # noqa: F401

_LOCATIONS = count()
PASSWORD = "correct horse"

MakeClient = Callable[..., "ApiClient"]


class ApiClient(Client):
    """A client that speaks JSON to the endpoints, by cookie or with a token."""

    token: str | None = None
    refresh_token: str | None = None

    def take(self, answer: Any) -> Any:
        """Keep the tokens of an answer, whichever the transport has, and return the answer."""
        body = answer.json()
        self.token = body.get("access", body.get("token"))
        self.refresh_token = body.get("refresh")
        return answer

    def refresh(self, token: Any = None, **extra: Any) -> Any:
        """Present a refresh token, or the one that is kept."""
        return self.send("post", "token/refresh", {"refresh": token or self.refresh_token}, **extra)

    def request(self, **request: Any) -> Any:
        """Hold every answer to the schema, whatever the test looks at."""
        answer = super().request(**request)
        conformance.check(answer)
        return answer

    def send(self, method: str, name: str, data: Any = None, **extra: Any) -> Any:
        headers = extra.pop("headers", {})
        if self.token is not None:
            headers = {"Authorization": f"Bearer {self.token}"} | headers
        address = name if name.startswith("/") else f"/auth/{name}"
        if data is None:
            # As browsers send it: without a body, and so without a type.
            return self.generic(method.upper(), address, headers=headers, **extra)
        return getattr(self, method)(
            address, data, content_type="application/json", headers=headers, **extra
        )

    def sign_in(self, username: str = "ada", password: str = PASSWORD, **more: Any) -> Any:
        body = {"username": username, "password": password, **more}
        return self.send("post", "sign-in", body)


@pytest.fixture(autouse=True)
def _no_attempts_counted(settings: Any) -> None:
    # Of its own, for parallel test processes share what REDIS_URL names, and the address.
    location = f"tests.api.{next(_LOCATIONS)}"
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": location}}


@pytest.fixture(scope="session", autouse=True)
def _schema_is_made_before_a_test_changes_settings() -> None:
    conformance.document()


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def eve(db: None) -> User:
    return User.objects.create_user("eve", "eve@example.com", PASSWORD)


@pytest.fixture
def browser(ada: User) -> ApiClient:
    """Nobody yet, by cookie, held to CSRF as browsers are."""
    return ApiClient(enforce_csrf_checks=True)


@pytest.fixture
def client(ada: User) -> ApiClient:
    """Nobody yet, by cookie, without CSRF checks."""
    return ApiClient()


@pytest.fixture
def by_cookie(client: ApiClient) -> ApiClient:
    assert client.sign_in().status_code == 200
    return client


@pytest.fixture
def app(ada: User) -> ApiClient:
    """Signed in as ada with a token; it would be refused everywhere CSRF is asked for."""
    app = ApiClient(enforce_csrf_checks=True)
    assert app.take(app.sign_in(transport="bearer")).status_code == 200
    return app


@pytest.fixture
def service(ada: User) -> ApiClient:
    """Signed in as ada with an access token; it would be refused everywhere CSRF is asked for."""
    service = ApiClient(enforce_csrf_checks=True)
    assert service.take(service.sign_in(transport="jwt")).status_code == 200
    return service


@pytest.fixture(params=["by_cookie", "app", "service"])
def signed_in(request: pytest.FixtureRequest) -> ApiClient:
    """Signed in as ada by each transport in turn."""
    client: ApiClient = request.getfixturevalue(request.param)
    return client


@pytest.fixture
def make_session() -> Callable[..., Session]:
    """Return a function that puts another session of somebody into the table."""
    digests = count()

    def make(user: User, **columns: Any) -> Session:
        now = timezone.now()
        values = {
            "token_digest": f"{next(digests):064x}",
            "authenticated_at": now,
            "expires_at": now + timedelta(days=7),
        }
        return Session.objects.create(user=user, **(values | columns))

    return make


@contextmanager
def connected(signal: Signal, receiver: Callable[..., object]) -> Iterator[None]:
    """Have the signal call the receiver, within the block."""
    signal.connect(receiver, weak=False)
    try:
        yield
    finally:
        signal.disconnect(receiver)


def grow_stale() -> None:
    """Let everybody's last authentication be an hour ago."""
    Session.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))


def code(answer: Any) -> str:
    """Return the code of a refusal, having seen that it is one."""
    body = answer.json()
    assert {"code", "detail"} <= body.keys() <= {"code", "detail", "fields", "reason"}
    assert body["detail"]
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "no-store"
    return str(body["code"])
