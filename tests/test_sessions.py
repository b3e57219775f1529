"""The verbs, in both modes."""

import uuid
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.querysets import SessionQuerySet
from django_sessions_plus.signals import session_ended
from django_sessions_plus.tokens import make_token

User = get_user_model()
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


@pytest.fixture(params=["sync", "async"])
def verbs(request):
    """Return a function that calls a verb by its sync name in either mode."""

    def call(name, *args, **kwargs):
        if request.param == "sync":
            return getattr(sessions, name)(*args, **kwargs)
        return async_to_sync(getattr(sessions, "a" + name))(*args, **kwargs)

    return call


@pytest.fixture
def ada():
    return User.objects.create_user("ada")


@pytest.fixture
def grace():
    return User.objects.create_user("grace")


@pytest.fixture
def told():
    received = []

    def receive(**kwargs):
        received.append(kwargs)

    session_ended.connect(receive)
    yield received
    session_ended.disconnect(receive)


def make_session(user=None, **columns) -> Session:
    now = timezone.now()
    columns.setdefault("expires_at", now + timedelta(days=1))
    columns.setdefault("authenticated_at", None if user is None else now)
    return Session.objects.create(
        user=user, token_digest=uuid.uuid4().hex * 2, session_data='{"a":1}', **columns
    )


class TestList:
    def test_it_holds_the_active_sessions_newest_activity_first(self, verbs, ada, grace):
        now = timezone.now()
        older = make_session(ada, last_seen_at=now - timedelta(hours=2))
        newer = make_session(ada, last_seen_at=now - timedelta(hours=1))
        make_session(ada, expires_at=now)
        make_session(ada, ended_at=now)
        make_session(ada, authenticated_at=now - timedelta(days=31))
        make_session(grace)
        assert list(verbs("list_for", ada)) == [newer, older]

    def test_nobody_has_none(self, verbs):
        make_session()
        assert list(verbs("list_for", AnonymousUser())) == []

    def test_it_is_one_query(self, ada):
        for _ in range(20):
            make_session(ada)
        with CaptureQueriesContext(connection) as queries:
            assert len(sessions.list_for(ada)) == 20
        assert len(queries) == 1


class TestRevoke:
    def test_it_ends_the_row_wipes_its_data_and_says_who_and_why(self, verbs, ada, grace):
        row = make_session(ada)
        assert verbs("revoke", row, reason="lost_device", actor=grace) is True
        row.refresh_from_db()
        assert row.status() == "ended"
        assert (row.session_data, row.end_reason, row.ended_by) == ("", "lost_device", grace)
        assert row.end_reason_label == "lost_device"
        assert row.expires_at == row.ended_at

    @pytest.mark.parametrize("form", [lambda r: r, lambda r: r.pk, lambda r: str(r.pk)])
    def test_a_row_or_its_id_names_the_session(self, verbs, ada, form):
        row = make_session(ada)
        assert verbs("revoke", form(row)) is True
        assert Session.objects.get().end_reason == EndReason.REVOKED

    @pytest.mark.parametrize("nothing", [uuid.uuid4(), "", "no id", "'; --", "9" * 10_000])
    def test_what_names_no_session_ends_nothing(self, verbs, ada, nothing):
        make_session(ada)
        assert verbs("revoke", nothing) is False
        assert Session.objects.active().count() == 1

    def test_a_token_or_a_digest_does_not_name_a_session(self, verbs):
        store = SessionStore()
        store.create()
        assert verbs("revoke", store.session_key) is False
        assert verbs("revoke", store.row.token_digest) is False

    def test_only_the_first_call_ends_it(self, verbs, ada, told):
        row = make_session(ada)
        assert [verbs("revoke", row) for _ in range(3)] == [True, False, False]
        assert len(told) == 1

    def test_an_expired_session_is_left_as_it_is(self, verbs, ada, told):
        row = make_session(ada, expires_at=timezone.now())
        assert verbs("revoke", row) is False
        assert told == []

    def test_an_anonymous_session_is_deleted(self, verbs, told):
        row = make_session()
        assert verbs("revoke", row) is True
        assert verbs("revoke", row) is False
        assert not Session.objects.exists()
        assert told == []


class TestRevokeOthersAndAll:
    def test_others_keeps_the_one_that_is_named(self, verbs, ada, grace):
        keep, _, other = make_session(ada), make_session(ada), make_session(grace)
        assert verbs("revoke_others", ada, keep=keep) == 1
        assert set(Session.objects.active()) == {keep, other}

    def test_all_keeps_none(self, verbs, ada, grace):
        make_session(ada), make_session(ada)
        other = make_session(grace)
        assert verbs("revoke_all", ada) == 2
        assert verbs("revoke_all", ada) == 0
        assert list(Session.objects.active()) == [other]

    def test_an_anonymous_user_has_nothing_to_end(self, verbs):
        make_session()
        assert verbs("revoke_all", AnonymousUser()) == 0
        assert Session.objects.count() == 1

    def test_every_ended_session_is_told_once_with_reason_and_actor(self, verbs, ada, grace, told):
        rows = {make_session(ada).pk for _ in range(3)}
        verbs("revoke_all", ada, reason=EndReason.LIMIT, actor=grace)
        assert {event["session"].pk for event in told} == rows
        assert {(e["reason"], e["actor"], e["user"]) for e in told} == {("limit", grace, ada)}

    @pytest.mark.db_engine
    def test_many_are_ended_in_bounded_statements(self, ada, monkeypatch):
        monkeypatch.setattr(sessions, "BATCH_SIZE", 10)
        for _ in range(25):
            make_session(ada)
        with CaptureQueriesContext(connection) as queries:
            assert sessions.revoke_all(ada) == 25
        updates = [q["sql"] for q in queries if q["sql"].startswith("UPDATE")]
        assert len(updates) == 3

    def test_what_somebody_else_ends_meanwhile_is_neither_counted_nor_told(
        self, ada, told, monkeypatch
    ):
        mine, theirs = make_session(ada), make_session(ada)
        end = SessionQuerySet.end

        def end_late(rows, **how):
            if not Session.objects.ended().exists():
                end(Session.objects.filter(pk=theirs.pk), reason="limit")
            return end(rows, **how)

        monkeypatch.setattr(SessionQuerySet, "end", end_late)
        assert sessions.revoke_all(ada) == 1
        assert [event["session"].pk for event in told] == [mine.pk]
        theirs.refresh_from_db()
        assert theirs.end_reason == "limit"

    def test_nothing_is_told_of_an_end_that_was_rolled_back(self, ada, told):
        make_session(ada)
        with transaction.atomic():
            sessions.revoke_all(ada)
            transaction.set_rollback(True)
        assert told == []
        assert Session.objects.active().count() == 1

    def test_a_receiver_that_fails_undoes_nothing(self, ada):
        def fail(**kwargs):
            raise ZeroDivisionError

        session_ended.connect(fail)
        make_session(ada)
        assert sessions.revoke_all(ada) == 1
        session_ended.disconnect(fail)
        assert not Session.objects.active().exists()


class TestResolve:
    def test_it_finds_the_session_of_a_signed_in_request(self, verbs, ada):
        client = Client()
        client.force_login(ada)
        request = HttpRequest()
        request.session = SessionStore(client.cookies["sessionid"].value)
        assert verbs("resolve", request) == Session.objects.get()

    def test_anonymous_dead_and_missing_sessions_are_none(self, verbs):
        anonymous = SessionStore()
        anonymous.create()
        for token in (None, make_token(), anonymous.session_key):
            request = HttpRequest()
            request.session = SessionStore(token)
            assert verbs("resolve", request) is None
        assert verbs("resolve", HttpRequest()) is None


class TestCurrent:
    def test_outside_of_a_request_there_is_none(self):
        assert sessions.current() is None

    def test_it_does_not_outlive_its_request(self, ada):
        client = Client()
        client.force_login(ada)
        client.get("/who")
        assert sessions.current() is None

    def test_the_model_is_ours_when_the_engine_is_not(self, settings):
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
        assert sessions.session_model() is Session
