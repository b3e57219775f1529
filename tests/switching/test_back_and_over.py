"""What would be lost by going back, and when nothing more will be imported."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.checks import INFO, CheckMessage, run_checks
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from django_sessions_plus import sessions
from django_sessions_plus.models import Session
from django_sessions_plus.switching.models import ImportedKey
from tests.switching.conftest import after_switch, before_switch, browser, key_of, old_rows
from tests.switching.test_attacks import who

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.site"),
]

APP = "django_sessions_plus.switching"
KEPT: dict[str, Any] = {"SESSIONS_PLUS_IMPORT_KEEP_SOURCE": True}


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("import_sessions", *arguments, stdout=out)
    return out.getvalue()


# The way back


def test_what_would_not_be_there_is_counted(alice, bob):
    with before_switch():
        kept, rotated, ended, moved = (key_of(browser(user)) for user in (alice, bob, alice, alice))
    with after_switch(**KEPT):
        for key in (kept, rotated, ended):
            assert who(key)
        store = sessions.new_store(rotated)
        store.cycle_key()
        sessions.new_store(ended).flush()
        browser(User.objects.create_user("carol"))
        browser(basket=1)
    with after_switch():
        assert who(moved) == "alice"
        expected = {"active": 5, "begun_here": 2, "not_kept": 2, "users": 3}
        assert json.loads(run("--dry-run", "--back", "--json")) == {"back": expected}
        text = run("--dry-run", "--back")
    assert text == (
        "Of 5 active sessions, 4 would not be there without this package, of 3 users: 2 have begun here, and 2"
        " were imported and are not kept under their present token.\n"
    )
    # As many as it said: only this one is in the other store.
    assert [row.session_key for row in old_rows()] == [kept]


def test_back_is_nothing_but_a_count(alice):
    with before_switch():
        browser(alice)
    with after_switch():
        with pytest.raises(CommandError, match="add --dry-run"):
            run("--back")
        assert "Of 0 active sessions, 0 would" in run("--dry-run", "--back")
    assert not Session.objects.exists()
    assert old_rows().exists()


# The end of the import


def found(source: str = "django", **settings: Any) -> list[CheckMessage]:
    with after_switch(source, **settings):
        messages = run_checks(tags=["database"], databases=["default"])
    return [each for each in messages if each.id == "django_sessions_plus.I008"]


def test_a_check_says_when_nothing_was_imported_for_a_while(alice, clock):
    with before_switch(SESSION_COOKIE_AGE=100 * 86400):
        first, _ = key_of(browser(alice)), browser(alice)
    assert found() == []
    with after_switch():
        assert who(first) == "alice"
    ImportedKey.objects.update(imported_at=clock.now())
    assert found() == []
    clock.advance(days=14, seconds=5)
    (message,) = found()
    assert message.level == INFO
    assert "names 'django'" in message.msg
    assert found(SESSION_ENGINE="django.contrib.sessions.backends.db") == []
    apps = [each for each in django_settings.INSTALLED_APPS if each != APP]
    assert found(INSTALLED_APPS=apps) == []


def test_a_check_says_when_nothing_is_left(alice):
    with before_switch():
        browser(alice)
    assert found() == []
    with after_switch():
        run()
    assert len(found()) == 1


def test_a_source_that_cannot_be_listed_is_judged_by_its_last_import(alice, clock):
    ImportedKey.objects.create(digest="a" * 64, source="cache", imported_at=clock.now())
    assert found("cache") == []
    clock.advance(days=15)
    assert len(found("cache")) == 1


# The checks of a cache ask it, and here it is in the database.
@pytest.mark.db_engine
def test_that_check_queries_nothing_unless_it_may(alice, django_assert_num_queries):
    with after_switch(), django_assert_num_queries(0):
        # Not without a list, which stands for all databases since Django 6.1.
        run_checks(tags=["django_sessions_plus", "database"], databases=[])


def test_before_the_tables_are_made_it_says_nothing(db):
    with connection.schema_editor() as editor:
        editor.delete_model(ImportedKey)
    try:
        assert found() == []
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(ImportedKey)
