"""Pages and commands that end sessions say for how long others may accept them, if the cache does not hear of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from django_sessions_plus.admin import everyone
from django_sessions_plus.bulk import ending
from django_sessions_plus.models import Session
from tests import pages_urls
from tests.admin import site as admin_site
from tests.admin.site import LIST, act, make_session
from tests.backends.cached import TestedCache, in_use
from tests.conftest import Clock

urlpatterns = [*pages_urls.urlpatterns, *admin_site.urlpatterns]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

DEVICES = "/account/devices/"
EVERYONE = f"{LIST}everyone/"
# The default setting, and the five seconds by which clocks may differ.
BOUND = "65 seconds"


@pytest.fixture(autouse=True)
def _cache(settings: Any) -> Iterator[None]:
    with in_use(settings, "unsettled"):
        yield


@pytest.fixture(params=[False, True], ids=["", "atomic"])
def boss(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", request.param)
    return User.objects.create_superuser("boss", "boss@example.com")


@pytest.fixture
def client(boss: User) -> Client:
    client = Client()
    client.force_login(boss)
    return client


def end_one(client: Client, user: User) -> Any:
    return client.post(f"{DEVICES}{make_session(user).pk}/end/", follow=True)


def end_others(client: Client, user: User) -> Any:
    make_session(user)
    return client.post(f"{DEVICES}end-others/", follow=True)


def end_selected(client: Client, user: User) -> Any:
    return act(client, make_session(user))


def end_by_its_page(client: Client, user: User) -> Any:
    return client.post(f"{LIST}{make_session(user).pk}/end/", follow=True)


def sign_everyone_out(client: Client, user: User) -> Any:
    make_session(user)
    return client.post(EVERYONE, {"consent": "everyone"}, follow=True)


ENDS = [end_one, end_others, end_selected, end_by_its_page, sign_everyone_out]

End = Callable[[Client, User], Any]


@pytest.mark.parametrize("end", ENDS)
def test_a_page_says_within_how_many_seconds_an_end_is_known_everywhere(
    client: Client, boss: User, end: End
):
    TestedCache.is_down = True
    answer = end(client, boss)
    assert answer.status_code == 200
    assert answer.content.decode().count(BOUND) == 1
    assert Session.objects.active().count() == 1


@pytest.mark.parametrize("end", ENDS)
def test_a_page_says_nothing_of_it_where_every_process_has_been_told(
    client: Client, boss: User, end: End
):
    answer = end(client, boss)
    assert answer.status_code == 200
    assert "seconds" not in str([*answer.context["messages"]])


def test_where_nothing_was_ended_nothing_is_said_of_it(client: Client):
    TestedCache.is_down = True
    answer = client.post(f"{DEVICES}end-others/", follow=True)
    assert BOUND not in answer.content.decode()


def test_signing_everyone_out_remembers_what_an_earlier_request_could_not_tell(
    clock: Clock, client: Client, boss: User, monkeypatch: pytest.MonkeyPatch
):
    """The request that comes last may be served by a process that has always reached the cache."""
    monkeypatch.setattr(everyone, "BUDGET", 0.0)
    monkeypatch.setattr(ending, "KEYS_PER_STATEMENT", 1)
    for _ in range(2):
        make_session(boss)
    monkeypatch.setattr(everyone, "invalidation_delay", lambda: 65)
    note = client.post(EVERYONE, {"consent": "everyone"}).context["signed"]
    monkeypatch.setattr(everyone, "invalidation_delay", lambda: None)
    clock.advance(seconds=20)
    answer = client.post(EVERYONE, {"note": note}, follow=True)
    assert "45 seconds" in answer.content.decode()


@pytest.mark.parametrize("command", ["revoke_sessions", "sessions_erase"])
def test_a_command_fails_and_says_what_to_do(boss: User, command: str):
    make_session(boss)
    TestedCache.is_down = True
    whose = ("--user=boss",) if command == "revoke_sessions" else ("boss", "--all", "--no-input")
    with pytest.raises(CommandError, match=rf"{BOUND}.*sessions_refresh_cache") as caught:
        call_command(command, *whose, verbosity=0)
    assert caught.value.returncode == 1
    assert not Session.objects.active().exists()


def test_to_erase_what_was_over_already_needs_no_cache(boss: User):
    make_session(boss, expires_at=timezone.now() - timedelta(days=1))
    TestedCache.is_down = True
    call_command("sessions_erase", "boss", "--no-input", verbosity=0)
    assert not Session.objects.exists()
