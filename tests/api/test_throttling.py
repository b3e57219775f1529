"""How often a password may be tried."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import caches

from django_sessions_plus.accounts import attempts, proxies
from tests.api.conftest import PASSWORD, ApiClient, code

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The throttle's clock, ten seconds into a minute."""
    moment = [1_800_000_010.0]
    monkeypatch.setattr(attempts, "time", lambda: moment[0])
    return moment


def attempt(client, address="192.0.2.1", forwarded=None, password="wrong", username="ada"):
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    body = {"username": username, "password": password}
    return client.send("post", "sign-in", body, headers=headers, REMOTE_ADDR=address)


def statuses(client, count, **arguments):
    return [attempt(client, **arguments).status_code for _ in range(count)]


def test_sign_in_is_limited_for_each_address(client, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "3/min"}
    assert statuses(client, 4) == [401, 401, 401, 429]
    assert attempt(client, password=PASSWORD).status_code == 429
    assert attempt(client, address="192.0.2.2").status_code == 401


def test_a_stranger_behind_the_same_proxy_locks_nobody_else_out(client):
    """Nobody has declared the proxy, so all have its address."""
    names = ["junk"] * 50 + [f"junk{n}" for n in range(20)]
    for name in names:
        attempt(client, "10.0.0.1", "198.51.100.66", username=name)
    assert attempt(client, "10.0.0.1", "198.51.100.1", PASSWORD).status_code == 200


def test_an_attempt_that_fails_has_the_proxy_told_of_as_well(client, monkeypatch, caplog):
    monkeypatch.setattr(proxies, "_logged", [])
    for _ in range(2):
        attempt(client, "10.0.0.1", "198.51.100.66", username="junk")
    said = [r for r in caplog.records if getattr(r, "event", "") == "proxy_not_trusted"]
    assert [r.ip_address for r in said] == ["10.0.0.1"]


def test_one_password_on_many_accounts_is_limited_for_each_address(client, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in_address": "5/min"}
    answers = [attempt(client, username=f"user{n}").status_code for n in range(7)]
    assert answers == [401] * 5 + [429] * 2
    assert attempt(client, password=PASSWORD).status_code == 429
    assert attempt(client, address="192.0.2.2").status_code == 401


def test_what_one_account_is_refused_does_not_use_up_the_address(client, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "2/min", "sign_in_address": "4/min"}
    assert statuses(client, 10) == [401] * 2 + [429] * 8
    assert attempt(client, username="eve").status_code == 401


def test_the_default_for_an_address_is_a_hundred_in_a_minute(client):
    answers = [attempt(client, username=f"user{n}").status_code for n in range(101)]
    assert answers == [401] * 100 + [429]


@pytest.mark.parametrize("name", ["ADA", "\uff41da", "Ada"])
def test_another_spelling_of_a_name_is_the_same_account(client, settings, name):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "1/min"}
    attempt(client)
    assert attempt(client, username=name).status_code == 429


def test_counts_tell_no_name(client):
    attempt(client, username="typed-in-the-wrong-field")
    held = str(vars(caches["default"]))
    assert "sign_in" in held
    assert "typed-in-the-wrong-field" not in held


def test_the_default_is_ten_in_a_minute(client):
    assert statuses(client, 11) == [401] * 10 + [429]


def test_the_refusal_says_when_to_try_again(client, settings, clock):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "1/min"}
    attempt(client)
    answer = attempt(client)
    assert (answer.status_code, code(answer), answer["Retry-After"]) == (429, "throttled", "50")
    clock[0] += 50
    assert attempt(client).status_code == 401


@pytest.mark.parametrize(("rate", "seconds"), [("1/s", 1), ("1/hour", 3600), ("1/day", 86400)])
def test_the_periods_are_those_of_rest_framework(client, settings, clock, rate, seconds):
    settings.SESSIONS_PLUS_RATES = {"sign_in": rate}
    assert statuses(client, 2) == [401, 429]
    clock[0] += seconds
    assert attempt(client).status_code == 401


def test_none_is_no_limit(client, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in": None}
    assert statuses(client, 15) == [401] * 15


def test_a_forged_forwarded_header_does_not_help(client, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "1/min"}
    answers = [attempt(client, forwarded=f"10.0.0.{n}, 10.1.0.{n}") for n in range(3)]
    assert [answer.status_code for answer in answers] == [401, 429, 429]


def test_behind_a_trusted_proxy_each_client_counts_for_itself(client, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "1/min"}
    settings.SESSIONS_PLUS_TRUSTED_PROXIES = ["192.0.2.1"]
    forwarded = ["198.51.100.1", "198.51.100.2", "7.7.7.7, 198.51.100.1"]
    answers = [attempt(client, forwarded=value).status_code for value in forwarded]
    assert answers == [401, 401, 429]


def test_an_ipv6_client_counts_with_its_whole_network(client, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "1/min"}
    addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"]
    answers = [attempt(client, address=address).status_code for address in addresses]
    assert answers == [401, 429, 401, 401, 429]


def test_clients_without_an_address_share_one_count(client, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "1/min"}
    assert [attempt(client, address=value).status_code for value in ("", "x")] == [401, 429]


def test_successes_count_as_well(client, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "1/min"}
    assert [attempt(client, password=PASSWORD).status_code for _ in range(2)] == [200, 429]


def test_nothing_else_is_limited(client, settings):
    settings.SESSIONS_PLUS_RATES = {"sign_in": "1/min"}
    statuses(client, 2)
    assert client.send("get", "session").status_code == 200
    assert client.send("post", "sign-out").status_code == 204


def test_reauthentication_is_limited_for_each_session_under_whatever_token(app, settings):
    settings.SESSIONS_PLUS_RATES = {"reauthenticate": "2/min"}
    other = ApiClient()
    other.token = other.sign_in(transport="bearer").json()["token"]
    app.token = app.send("post", "reauthenticate", {"password": PASSWORD}).json()["token"]
    body = {"password": "wrong"}
    answers = [app.send("post", "reauthenticate", body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [403, 429]
    assert (code(answers[1]), answers[1]["Retry-After"]) == ("throttled", "50")
    assert other.send("post", "reauthenticate", body).status_code == 403


def test_a_burst_gets_no_further_than_the_same_attempts_in_a_row(monkeypatch):
    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(lambda _: attempts._count("burst", 60), range(200)))
    assert sorted(counts) == list(range(1, 201))


@pytest.mark.parametrize("method", ["add", "incr"])
def test_a_cache_that_is_down_keeps_nobody_out_and_is_logged(
    by_cookie, settings, monkeypatch, method, caplog
):
    def fail(*args, **kwargs):
        raise ConnectionError("no cache")

    settings.SESSIONS_PLUS_RATES = {"sign_in": "1/min"}
    attempt(by_cookie)
    monkeypatch.setattr(type(caches["default"]), method, fail)
    assert attempt(by_cookie).status_code == 401
    assert "attempts are not counted" in caplog.text


def test_an_evicted_count_begins_again(client, monkeypatch, caplog):
    def evicted(*args, **kwargs):
        raise ValueError("Key not found")

    attempt(client)
    monkeypatch.setattr(type(caches["default"]), "incr", evicted)
    assert attempt(client).status_code == 401
    assert "cache" not in caplog.text


def test_counts_tell_no_token(by_cookie):
    token = by_cookie.cookies["sessionid"].value
    by_cookie.send("post", "reauthenticate", {"password": "wrong"})
    assert token not in str(vars(caches["default"]))
