"""One process for several tenants: issuer, audience and keys are those of the request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import RequestFactory, override_settings

from django_sessions_plus.exceptions import ConfigurationError, TokenError
from django_sessions_plus.jwt import access, keys
from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD, ApiClient, code
from tests.jwt.conftest import NOW

A, B = "a.example", "b.example"
SECRETS = {A: "0123456789abcdef" * 2, B: "fedcba9876543210" * 2}


def issuer(request: HttpRequest | None) -> str:
    return "https://nobody.example" if request is None else f"https://{request.get_host()}"


def audience(request: HttpRequest | None) -> list[str]:
    return [issuer(request), "everybody"] if request is None else [issuer(request)]


def entries(request: HttpRequest | None) -> list[dict[str, str]]:
    return [{"secret": SECRETS[A if request is None else request.get_host()]}]


TOLD_APART: dict[str, dict[str, Any]] = {
    "issuer": {"SESSIONS_PLUS_JWT_ISSUER": issuer},
    "audience": {"SESSIONS_PLUS_JWT_AUDIENCE": audience},
    "keys": {"SESSIONS_PLUS_JWT_KEYS": entries},
    "path of keys": {"SESSIONS_PLUS_JWT_KEYS": f"{__name__}.entries"},
}


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture(params=TOLD_APART)
def _told_apart(request: pytest.FixtureRequest) -> Iterator[None]:
    with override_settings(ALLOWED_HOSTS=[A, B], **TOLD_APART[request.param]):
        yield


def at(host: str) -> HttpRequest:
    return RequestFactory().get("/", HTTP_HOST=host)


@pytest.mark.usefixtures("_told_apart")
def test_a_token_of_one_tenant_is_refused_at_another(session: Session):
    token = access.issue(session, request=at(A), now=NOW).token
    assert access.verify(token, request=at(A), now=NOW).session_id == session.pk
    with pytest.raises(TokenError):
        access.verify(token, request=at(B), now=NOW)


@pytest.mark.usefixtures("_told_apart")
def test_without_a_request_there_is_none_to_ask(session: Session):
    token = access.issue(session, now=NOW).token
    assert access.verify(token, now=NOW).session_id == session.pk


@pytest.mark.django_db
@pytest.mark.urls("tests.api.urls")
@pytest.mark.usefixtures("_told_apart")
def test_the_api_asks_the_request_everywhere(ada: Any):
    here, there = ApiClient(HTTP_HOST=A), ApiClient(HTTP_HOST=B)
    here.take(here.sign_in(transport="jwt"))
    here.take(here.refresh())
    there.token = here.token
    for address in ("/stateless", "/mine"):
        assert here.send("get", address).status_code == 200
        answer = there.send("get", address)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert code(there.send("get", "session")) == "invalid_token"


def test_keys_are_made_ready_once_for_each_answer(settings: Any):
    settings.ALLOWED_HOSTS = [A, B]
    settings.SESSIONS_PLUS_JWT_KEYS = entries
    assert keys.ring(at(A)) is keys.ring(at(A))
    assert keys.ring(at(A)) is not keys.ring(at(B))


@pytest.mark.parametrize(
    ("name", "given"),
    [("ISSUER", ""), ("ISSUER", None), ("AUDIENCE", []), ("KEYS", [3]), ("KEYS", [])],
)
def test_what_a_callable_gives_is_checked_and_not_shown(session: Session, name: str, given: Any):
    with (
        override_settings(**{f"SESSIONS_PLUS_JWT_{name}": lambda request: given}),
        pytest.raises(ConfigurationError, match=f"JWT_{name} gives a"),
    ):
        access.issue(session, now=NOW)
