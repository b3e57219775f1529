"""Sentry's SDK with its default settings, below views whose database fails: no event holds a secret.

Run with the package installed::

    python -m pytest -m neighbours tests/neighbours/test_sentry.py
"""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from django_sessions_plus.backends.db import SessionStore
from tests.api import failures

sentry_sdk = pytest.importorskip("sentry_sdk")

pytestmark = [
    pytest.mark.neighbours,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.api.failures"),
]


Transport: Any = sentry_sdk.transport.Transport


class Events(Transport):  # type: ignore[misc]
    """Keep every event as the text that would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def capture_envelope(self, envelope: Any) -> None:
        for item in envelope.items:
            self.texts.append(json.dumps(item.payload.json, default=repr))


@pytest.fixture(scope="module")
def events():
    events = Events()
    sentry_sdk.init("https://key@sentry.invalid/1", transport=events)
    yield events
    sentry_sdk.init()


@pytest.fixture(autouse=True)
def _ada(db: None, settings: Any) -> None:
    User.objects.create_user("ada", "ada@example.com", failures.PASSWORD)
    settings.SESSIONS_PLUS_RATES = {"sign_in": None}
    settings.SESSIONS_PLUS_TOKEN_AUDIENCES = [failures.AUDIENCE]


@pytest.mark.parametrize("name", failures.REQUESTS)
def test_no_event_of_a_failure_holds_a_secret(name, events, monkeypatch):
    found: set[tuple[int, str]] = set()
    for number in range(60):
        made = failures.REQUESTS[name]()
        events.texts.clear()
        with failures.made_tokens(monkeypatch) as issued:
            has_failed = failures.send_with_failure(made, number)
        sentry_sdk.flush()
        if not has_failed:
            break
        for text in events.texts:
            for secret in made.secrets | issued:
                if secret in text:
                    at = text.index(secret)
                    found.add((number, text[max(0, at - 60) : at + len(secret)]))
    assert sorted(found) == []


def test_the_events_would_show_a_secret(events, monkeypatch):
    """What is looked at is what is sent: local variables, and the body of the request."""

    def fail(store: Any, **kwargs: Any) -> None:
        shown = "variable-of-a-frame"
        raise OperationalError(len(shown))

    events.texts.clear()
    monkeypatch.setattr(SessionStore, "save", fail)
    failures.REQUESTS["sign-in by bearer"]().send()
    sentry_sdk.flush()
    text = "".join(events.texts)
    assert "variable-of-a-frame" in text
    assert '"transport": "bearer"' in text
    assert '"password": "[Filtered]"' in text
