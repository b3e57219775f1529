"""What is kept between requests goes when a setting changes."""

import pytest
from django.test import override_settings
from django.test.signals import setting_changed

from django_sessions_plus.conf.changes import on_setting_change


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.setattr(setting_changed, "receivers", list(setting_changed.receivers))
    setting_changed.sender_receivers_cache.clear()
    yield []
    setting_changed.sender_receivers_cache.clear()


def test_every_change_of_a_setting_is_told_when_it_is_made_and_when_it_ends(calls):
    on_setting_change(lambda: calls.append("changed"))
    with override_settings(SESSION_COOKIE_AGE=1):
        assert calls == ["changed"]
    assert calls == ["changed", "changed"]


def test_only_the_settings_that_are_named_are_told(calls):
    on_setting_change(lambda: calls.append("changed"), "CACHES", "DATABASES")
    with override_settings(SESSION_COOKIE_AGE=1):
        assert calls == []
    with override_settings(CACHES={}):
        assert calls == ["changed"]
