"""The one warning of a proxy that nobody has declared."""

import pytest
from django.contrib.auth.models import User
from django.test import RequestFactory

from django_sessions_plus.accounts import proxies, receivers

FORWARDED = {"HTTP_X_FORWARDED_FOR": "203.0.113.9"}


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch):
    monkeypatch.setattr(proxies, "_logged", [])


def events(caplog):
    return [(r.event, r.ip_address) for r in caplog.records if hasattr(r, "event")]


@pytest.mark.parametrize(
    ("remote", "shown"),
    [("10.0.0.1", "10.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("fd00::1", "fd00::1"), ("", "unix")],
)
@pytest.mark.parametrize("header", ["X_FORWARDED_FOR", "X_REAL_IP", "FORWARDED"])
def test_it_is_given_once_for_a_private_peer_that_forwards(caplog, remote, shown, header):
    for _ in range(3):
        proxies.warn_if_untrusted({"REMOTE_ADDR": remote, f"HTTP_{header}": "203.0.113.9"})
    assert events(caplog) == [("proxy_not_trusted", shown)]
    assert "SESSIONS_PLUS_TRUSTED_PROXIES" in caplog.text


@pytest.mark.parametrize(
    ("meta", "trusted"),
    [
        ({"REMOTE_ADDR": "10.0.0.1"}, []),
        ({"REMOTE_ADDR": "8.8.8.8", **FORWARDED}, []),
        ({"REMOTE_ADDR": "10.0.0.1", **FORWARDED}, ["10.0.0.0/8"]),
        ({"REMOTE_ADDR": "", **FORWARDED}, ["unix"]),
        ({"REMOTE_ADDR": "garbage", **FORWARDED}, []),
        ({}, []),
    ],
)
def test_it_is_not_given_where_all_is_well_or_unknown(caplog, settings, meta, trusted):
    settings.SESSIONS_PLUS_TRUSTED_PROXIES = trusted
    proxies.warn_if_untrusted(meta)
    assert events(caplog) == []


def test_a_proxy_beside_the_trusted_one_is_told_of(caplog, settings):
    settings.SESSIONS_PLUS_TRUSTED_PROXIES = ["10.0.0.1"]
    proxies.warn_if_untrusted({"REMOTE_ADDR": "10.0.0.2", **FORWARDED})
    assert events(caplog) == [("proxy_not_trusted", "10.0.0.2")]


def test_a_sign_in_on_any_page_asks(caplog):
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", **FORWARDED)
    # Not by the signal, which would also have Django save the user.
    receivers.renew_session(request, User(username="ada"))
    assert ("proxy_not_trusted", "10.0.0.1") in events(caplog)
