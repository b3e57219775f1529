"""A site that ran on Django's own engine, and then on ours: its browsers, before and after the switch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import override_settings
from pytest_django import DjangoDbBlocker

from django_sessions_plus.switching.asking import unknown_tokens
from django_sessions_plus.switching.sources.named import source_of
from django_sessions_plus.switching.sources.rows import RowSource

APPS = [*django_settings.INSTALLED_APPS, "django.contrib.sessions"]
STOCK = {
    "INSTALLED_APPS": APPS,
    "SESSION_ENGINE": "django.contrib.sessions.backends.db",
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
}


@pytest.fixture(scope="session")
def stock_table(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Make Django's table of sessions: the settings of the tests do without its app."""
    with django_db_blocker.unblock(), override_settings(INSTALLED_APPS=APPS):
        # Its app must be installed when it is imported.
        from django.contrib.sessions.models import Session  # noqa: PLC0415

        with connection.schema_editor() as editor:
            editor.create_model(Session)


@pytest.fixture(autouse=True)
def _stock_app(stock_table: None, transactional_db: None) -> Iterator[None]:
    with override_settings(INSTALLED_APPS=APPS):
        yield
        # What empties the tables after a test knows only those of the tests' own settings.
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_session")
    cache.clear()
    unknown_tokens.clear()


@pytest.fixture
def before() -> AbstractContextManager[None]:
    """The site as it was: ``with before(): ...``."""
    return before_switch()


@contextmanager
def before_switch(**settings: Any) -> Iterator[None]:
    with override_settings(**{**STOCK, **settings}):
        yield


@contextmanager
def after_switch(source: str = "django", **settings: Any) -> Iterator[None]:
    with override_settings(SESSIONS_PLUS_IMPORT_FROM=[source], **settings):
        yield


class Browser(Client):
    """A client that outlives a deployment: each request meets the middleware and the engine of that moment."""

    def request(self, **environ: Any) -> Any:
        vars(self.handler)["_middleware_chain"] = None
        return super().request(**environ)


def browser(user: User | None = None, **data: Any) -> Browser:
    """Return a browser with a session of the engine that is in use, signed in as ``user`` if given."""
    client = Browser()
    if user is not None:
        client.force_login(user)
    session = client.session
    session.update(data)
    session.save()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = str(session.session_key)
    return client


def key_of(client: Client) -> str:
    """Return the session key that a browser has."""
    return client.cookies[django_settings.SESSION_COOKIE_NAME].value


def old_rows() -> Any:
    """Return all rows of Django's table of sessions."""
    source = source_of("django")
    assert isinstance(source, RowSource)
    return source.model._default_manager.all()
