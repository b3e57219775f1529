"""What each engine asks of the database and of the cache for each kind of request, exactly, in both modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import AsyncClient, Client

from django_sessions_plus import tokens
from django_sessions_plus.backends.caching import copies
from tests.backends.cached import ENGINE, ReplacingClient, TestedCache
from tests.conftest import Statements

pytestmark = pytest.mark.django_db(transaction=True)

DB = "django_sessions_plus.backends.db"
KNOWN, UNKNOWN, JUNK, NOBODY = "known", "unknown", "junk", "nobody"


class Cost(NamedTuple):
    """Statements read and written, and round trips to the cache."""

    reads: int
    writes: int
    trips: int = 0


class Budget(NamedTuple):
    """One kind of request, and what it may cost on each engine."""

    view: str
    visitor: str
    db: Cost
    cached: Cost
    """The cache knows the session, and can replace a generation as Redis can."""


BUDGETS = {
    "read the user": Budget("who", KNOWN, Cost(1, 0), Cost(1, 0, 1)),
    "read the session": Budget("read", KNOWN, Cost(1, 0), Cost(0, 0, 1)),
    "write one key": Budget("write?value=1", KNOWN, Cost(1, 1), Cost(0, 1, 2)),
    # To look, to add a generation, to write that there is no such session.
    "unknown cookie": Budget("who", UNKNOWN, Cost(1, 0), Cost(1, 0, 3)),
    "junk cookie": Budget("who", JUNK, Cost(0, 0), Cost(0, 0, 0)),
    "untouched": Budget("untouched", KNOWN, Cost(0, 0), Cost(0, 0, 0)),
    "anonymous": Budget("who", NOBODY, Cost(0, 0), Cost(0, 0, 0)),
}

Get = Callable[[str], Any]


@pytest.fixture(autouse=True)
def _cache(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    class CountedClient(ReplacingClient):
        def replace(self, change: Any) -> bool:
            answer = super().replace(change)
            # On Redis that is a script: one trip, whatever it took here.
            TestedCache.asked[-3 if answer else -2 :] = ["replace"]
            return answer

    settings.CACHES = {
        "default": {"BACKEND": "tests.backends.cached.TestedCache", "LOCATION": "budgets"}
    }
    monkeypatch.setattr(copies, "client_of", lambda alias, cache: CountedClient(cache))
    yield
    caches["default"].clear()


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def client(mode: str) -> Any:
    return Client() if mode == "sync" else AsyncClient()


def measure(
    get: Callable[[], Any], statements: Callable[[], AbstractContextManager[Statements]]
) -> Cost:
    """Return what a request costs whose like was served before."""
    get()
    TestedCache.asked.clear()
    with statements() as cost:
        assert get().status_code == 200
    return Cost(len(cost.reads), len(cost.writes), len(TestedCache.asked))


def set_visitor(client: Any, visitor: str) -> None:
    name = django_settings.SESSION_COOKIE_NAME
    if visitor == NOBODY:
        client.cookies.clear()
    elif visitor != KNOWN:
        client.cookies[name] = "J-" + "x" * 60 if visitor == JUNK else tokens.make_token()


@pytest.mark.urls("tests.backends.urls")
@pytest.mark.parametrize("engine", [DB, ENGINE], ids=["db", "cached_db"])
@pytest.mark.parametrize("kind", BUDGETS)
def test_a_request_costs_what_is_promised(
    kind: str, engine: str, mode: str, client: Any, alice: User, settings: Any, statements: Any
):
    settings.SESSION_ENGINE = engine
    budget = BUDGETS[kind]
    get = client.get if mode == "sync" else async_to_sync(client.get)
    get(f"/{mode}/sign-in")
    get(f"/{mode}/write?value=0")

    def ask() -> Any:
        set_visitor(client, budget.visitor)
        return get(f"/{mode}/{budget.view}")

    assert measure(ask, statements) == (budget.db if engine == DB else budget.cached)


@pytest.mark.urls("tests.api.urls")
@pytest.mark.parametrize("by", ["cookie", "session token"])
@pytest.mark.parametrize(
    ("engine", "budget"),
    [(DB, Cost(1, 0)), (ENGINE, Cost(1, 0, 1))],
    ids=["db", "cached_db"],
)
def test_an_api_view_costs_what_a_plain_view_does(
    engine: str, budget: Cost, by: str, alice: User, settings: Any, statements: Any
):
    settings.SESSION_ENGINE = engine
    client = Client()
    client.force_login(alice)
    headers = {}
    if by != "cookie":
        token = client.cookies[settings.SESSION_COOKIE_NAME].value
        client, headers = Client(), {"Authorization": f"Bearer {token}"}
    assert measure(lambda: client.get("/mine", headers=headers), statements) == budget
