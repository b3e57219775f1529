"""Failures and surprises around an import: what breaks stays small, and no key gets into a report."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import IntegrityError, connection, models, transaction
from django.test.utils import override_settings
from django.views.debug import ExceptionReporter

from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.models import Session
from django_sessions_plus.switching.decoding import UnreadableError, decoded
from django_sessions_plus.switching.sources.named import source_of
from django_sessions_plus.switching.sources.rows import RowSource
from tests.switching.conftest import after_switch, before_switch, browser, key_of, old_rows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


class NoRelations:
    """As Django does for two databases whose routers say nothing of relations."""

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return False


@pytest.fixture
def key(alice: User) -> str:
    with before_switch():
        return key_of(browser(alice, basket="tea"))


@pytest.mark.parametrize("keep", [False, True, "data"])
def test_no_error_report_shows_the_key_or_the_data(key, keep):
    """Callbacks that are left when an earlier one fails are local variables of Django's."""

    def fail() -> None:
        raise RuntimeError

    report = ""
    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep):
        try:
            with transaction.atomic():
                transaction.on_commit(fail)
                store = new_store(key)
                store["wine"] = "red wine"
                store.save()
        except RuntimeError as error:
            # Without the frame of this test, which has them.
            frames = error.__traceback__ and error.__traceback__.tb_next
            with override_settings(DEBUG=True):
                reporter = ExceptionReporter(None, RuntimeError, error, frames)
                report = reporter.get_traceback_html()
    assert "fail" in report
    assert key not in report
    assert "red wine" not in report


def test_users_in_another_database_that_allows_no_relations(alice, key):
    with (
        after_switch(DATABASE_ROUTERS=[NoRelations()]),
        patch.object(Session, "are_users_in", return_value=False),
    ):
        store = new_store(key)
        assert store["basket"] == "tea"
    assert store.row is not None
    assert store.row.user_id == alice.pk
    assert "user" not in store.row._state.fields_cache


def test_a_constraint_of_the_project_that_refuses_the_row_is_logged(key, caplog):
    with after_switch(), patch.object(Rows, "insert", side_effect=IntegrityError("NOT NULL")):
        assert new_store(key)["basket"] == "tea"
    assert "Could not import a session of django: IntegrityError" in caplog.text
    assert not Session.objects.exists()
    assert old_rows().exists()


# The engine with a cache relies on the on_commit() that is replaced here.
@pytest.mark.db_engine
@pytest.mark.parametrize("keep", [False, True])
def test_a_source_that_cannot_delete_leaves_the_running_transaction_usable(key, keep):
    def fail(self: Any, key: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM no_such_table")

    with after_switch(SESSIONS_PLUS_IMPORT_KEEP_SOURCE=keep):
        store = new_store(key)
        with transaction.atomic(), patch.object(RowSource, "delete", fail):
            # As if the sessions were in another database, where nothing waits for this commit.
            with patch.object(transaction, "on_commit", lambda work, **options: work()):
                store.load_if_needed()
                store.delete()
            assert User.objects.exists()


def test_columns_of_the_other_engine_with_other_types_are_left_alone():
    class Odd(AbstractBaseSession):
        created = models.DateField()
        last_activity = models.IntegerField()
        ip = models.IntegerField()
        user_agent = models.ForeignKey(User, on_delete=models.CASCADE)

        class Meta:
            app_label = "odd"

    source = RowSource("odd", SessionStore, Odd)
    known = source.read(
        Odd(session_key="k" * 32, session_data=SessionStore().encode({}), user_agent_id=1)
    )
    assert known.created_at is known.last_seen_at is known.ip_address is known.user_agent is None


def test_a_changed_secret_key_is_noticed_though_what_is_derived_from_it_is_kept():
    store_class = source_of("django").store_class
    text = store_class().encode({"basket": 1})
    assert decoded(store_class, text) == {"basket": 1}
    with override_settings(SECRET_KEY="another"), pytest.raises(UnreadableError):
        decoded(store_class, text)
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert decoded(store_class, text) == {"basket": 1}
