"""What the API says of an end that the cache could not be told of, and the bound that all documents give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from django.db import connection

from django_sessions_plus.backends.caching import circuit, entries
from django_sessions_plus.backends.configured import invalidation_delay
from tests.api.conftest import ApiClient
from tests.backends.cached import TestedCache, in_use

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.urls")]

ROOT = Path(__file__).parents[2]
# The default setting, and the five seconds by which clocks may differ.
BOUND = 65


@pytest.fixture
def _cache(settings: Any) -> Iterator[None]:
    with in_use(settings, "settled"):
        yield


def ended_one(api: ApiClient, other: str) -> Any:
    return api.send("delete", f"sessions/{other}")


def ended_own(api: ApiClient, other: str) -> Any:
    return api.send("delete", f"sessions/{api.send('get', 'session').json()['session']['id']}")


def ended_others(api: ApiClient, other: str) -> Any:
    return api.send("post", "sessions/revoke", {"scope": "others"})


def ended_all(api: ApiClient, other: str) -> Any:
    return api.send("post", "sessions/revoke", {"scope": "all"})


def signed_out(api: ApiClient, other: str) -> Any:
    return api.send("post", "sign-out")


ENDS = [
    (ended_one, 204, {}),
    (ended_own, 204, {}),
    (ended_others, 200, {"revoked": 1}),
    (ended_all, 200, {"revoked": 2}),
    (signed_out, 204, {}),
]


@pytest.mark.usefixtures("_cache")
@pytest.mark.parametrize("is_atomic", [False, True], ids=["", "atomic"])
@pytest.mark.parametrize(("end", "status", "body"), ENDS)
def test_an_end_is_settled_when_every_process_has_been_told(
    signed_in: ApiClient,
    ada: Any,
    make_session: Any,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[ApiClient, str], Any],
    status: int,
    body: dict[str, Any],
    is_atomic: bool,
):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    answer = end(signed_in, str(make_session(ada).pk))
    assert answer.status_code == status
    assert (answer.json() if answer.content else {}) == body


@pytest.mark.usefixtures("_cache")
@pytest.mark.parametrize("is_atomic", [False, True], ids=["", "atomic"])
@pytest.mark.parametrize(("end", "status", "body"), ENDS)
def test_an_end_that_the_cache_could_not_be_told_of_is_accepted_with_its_bound(
    signed_in: ApiClient,
    ada: Any,
    make_session: Any,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[ApiClient, str], Any],
    status: int,
    body: dict[str, Any],
    is_atomic: bool,
):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    other = str(make_session(ada).pk)
    signed_in.send("get", "session")
    TestedCache.is_down = True
    answer = end(signed_in, other)
    assert answer.status_code == 202
    assert answer.json() == {**body, "settled": False, "within": BOUND}
    assert answer["Cache-Control"] == "no-store"
    if end in (ended_own, ended_all, signed_out) and "sessionid" in signed_in.cookies:
        assert answer.cookies["sessionid"].value == ""


@pytest.mark.usefixtures("_cache")
def test_it_is_settled_once_the_cache_has_been_told(
    signed_in: ApiClient, ada: Any, make_session: Any, monkeypatch: pytest.MonkeyPatch
):
    TestedCache.is_down = True
    assert ended_one(signed_in, str(make_session(ada).pk)).status_code == 202
    TestedCache.is_down = False
    now = monotonic()
    monkeypatch.setattr(circuit, "monotonic", lambda: now + circuit.LONGEST_DELAY)
    assert ended_one(signed_in, str(make_session(ada).pk)).status_code == 204


def test_the_engine_without_a_cache_is_always_settled(settings: Any):
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    circuit.circuit_of("default").add_pending({"digest"})
    assert invalidation_delay() is None


def test_another_engine_says_nothing_of_that(settings: Any):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    assert invalidation_delay() is None


@pytest.mark.usefixtures("_cache")
def test_the_bound_follows_the_setting_and_is_whole_seconds(settings: Any):
    settings.SESSIONS_PLUS_CACHE_AGE = timedelta(seconds=9.5)
    circuit.circuit_of("default").add_pending({"digest"})
    assert invalidation_delay() == 15


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "SECURITY.md",
        "docs/cache.md",
        "docs/api.md",
        "docs/operations.md",
        "docs/security.md",
    ],
)
def test_all_documents_give_the_same_bound(document: str):
    assert entries.max_age() == BOUND
    assert f"{BOUND} seconds" in (ROOT / document).read_text()
