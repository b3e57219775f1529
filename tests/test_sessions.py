"""The verbs, in both modes."""

import uuid
from datetime import timedelta
from importlib import import_module

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.db.models.signals import post_init
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.bulk import ending
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.signals import session_ended
from django_sessions_plus.tokens import make_id, make_token

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
        monkeypatch.setattr(ending, "KEYS_PER_STATEMENT", 10)
        for _ in range(25):
            make_session(ada)
        with CaptureQueriesContext(connection) as queries:
            assert sessions.revoke_all(ada) == 25
        updates = [q["sql"] for q in queries if q["sql"].startswith("UPDATE")]
        assert len(updates) == 3

    def test_what_somebody_else_ends_meanwhile_is_neither_counted_nor_told(
        self, ada, told, monkeypatch, caplog
    ):
        mine, theirs = make_session(ada), make_session(ada)
        end_batch = ending._end_batch

        def end_late(*args, **options):
            Session.objects.filter(pk=theirs.pk).end(reason="limit")
            return end_batch(*args, **options)

        monkeypatch.setattr(ending, "_end_batch", end_late)
        with caplog.at_level("INFO", "django_sessions_plus"):
            assert sessions.revoke_all(ada) == 1
        assert [event["session"].pk for event in told] == [mine.pk]
        assert [record.session_id for record in caplog.records] == [str(mine.pk)]
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


class TestRevokeMany:
    def test_rows_ids_and_sets_name_the_sessions(self, verbs, ada, grace):
        rows = [make_session(ada) for _ in range(6)]
        other = make_session(grace)
        assert verbs("revoke_many", [rows[0], rows[1].pk, str(rows[2].pk), "no id", rows[0]]) == 3
        assert verbs("revoke_many", Session.objects.for_user(ada)) == 3
        assert verbs("revoke_many", Session.objects.for_user(ada)) == 0
        assert verbs("revoke_many", []) == 0
        assert list(Session.objects.active()) == [other]

    def test_a_slice_of_a_set_ends_no_more_than_the_slice(self, verbs, ada):
        rows = sorted((make_session(ada) for _ in range(4)), key=lambda row: row.pk)
        assert verbs("revoke_many", Session.objects.order_by("pk")[:3]) == 3
        assert Session.objects.active().get() == rows[3]

    def test_anonymous_ones_are_deleted_and_only_the_others_told(self, verbs, ada, told):
        mine, visit = make_session(ada), make_session()
        assert verbs("revoke_many", [mine, visit], reason="swept", actor=ada) == 2
        row = Session.objects.get()
        assert (row.pk, row.end_reason, row.ended_by) == (mine.pk, "swept", ada)
        assert [event["session"].pk for event in told] == [mine.pk]

    def test_the_running_request_loses_its_session_if_it_is_among_them(self, verbs, ada):
        rows = [make_session(ada) for _ in range(2)]
        stores = []
        for user in (ada, None):
            store = SessionStore()
            store.create()
            Session.objects.filter(pk=store.row.pk).update(user=user)
            store = SessionStore(store.session_key)
            store.load_if_needed()
            stores.append(store)
        for store in stores:
            token = sessions.set_current(store)
            try:
                verbs("revoke_many", rows[:1])
                assert store.session_key is not None
                verbs("revoke_many", [rows[1], store.row])
                assert store.session_key is None
            finally:
                sessions.reset_current(token)


class TestRevokeEveryone:
    def test_all_are_signed_out_but_one_and_anonymous_visits_stay(self, verbs, ada, grace, told):
        rows = [make_session(ada), make_session(grace), make_session(grace)]
        visit, expired = make_session(), make_session(ada, expires_at=timezone.now())
        assert verbs("revoke_everyone", keep=rows[1], reason="incident", actor=ada) == 2
        assert set(Session.objects.active()) == {rows[1], visit}
        assert {(e["session"].pk, e["reason"], e["actor"]) for e in told} == {
            (rows[0].pk, "incident", ada),
            (rows[2].pk, "incident", ada),
        }
        expired.refresh_from_db()
        assert expired.ended_at is None
        assert verbs("revoke_everyone") == 1
        assert verbs("revoke_everyone") == 0

    def test_who_signs_in_meanwhile_stays(self, verbs, ada, monkeypatch):
        monkeypatch.setattr(ending, "KEYS_PER_STATEMENT", 2)
        for _ in range(4):
            make_session(ada)
        later = []

        def sign_in(done):
            # Ids are in the order of time, to a millisecond.
            key = uuid.UUID(int=make_id().int + (1 + len(later) << 80))
            later.append(make_session(ada, id=key))

        assert verbs("revoke_everyone", progress=sign_in) == 4
        assert len(later) > 1
        assert set(Session.objects.active()) == set(later)


class TestBulk:
    @pytest.fixture(autouse=True)
    def _small_batches(self, monkeypatch):
        monkeypatch.setattr(ending, "KEYS_PER_STATEMENT", 10)

    @pytest.mark.parametrize("verb", ["revoke_all", "revoke_many", "revoke_everyone"])
    def test_progress_is_told_after_each_batch(self, verbs, ada, verb):
        rows = [make_session(ada) for _ in range(25)]
        subject = {"revoke_all": [ada], "revoke_many": [rows], "revoke_everyone": []}[verb]
        done = []
        assert verbs(verb, *subject, progress=done.append) == 25
        assert done == [10, 20, 25]

    @pytest.mark.db_engine
    @pytest.mark.parametrize(("is_heard", "each"), [(False, 2), (True, 4)])
    @pytest.mark.parametrize("number", [35, 40])
    def test_statements_are_as_few_as_the_batches_and_none_is_larger(
        self, ada, is_heard, each, number
    ):
        for _ in range(number):
            make_session(ada)
        touched, heard = [], []

        def note(execute, sql, params, many, context):
            result = execute(sql, params, many, context)
            touched.append(context["cursor"].rowcount)
            return result

        def hear(session, user, **said):
            heard.append((session.session_data, session.user_agent, session.user, user.username))

        if is_heard:
            session_ended.connect(hear)
        with CaptureQueriesContext(connection) as queries, connection.execute_wrapper(note):
            assert sessions.revoke_all(ada) == number
        session_ended.disconnect(hear)
        assert len(heard) == (number if is_heard else 0)
        statements = [query["sql"] for query in queries if query["sql"][:6] in {"SELECT", "UPDATE"}]
        locks = connection.features.has_select_for_update
        assert len(statements) == 4 * (each + locks)
        # The list of the next rows asks for one more: whether there is another batch.
        assert max(touched) <= 10 + 1
        assert not any(
            "session_data" in sql for sql in statements if sql.startswith("SELECT") and not is_heard
        )

    @pytest.mark.db_engine
    def test_what_is_locked_is_logged_without_another_query(self, ada, caplog):
        rows = {str(make_session(ada).pk) for _ in range(19)}
        visit = make_session()
        with (
            caplog.at_level("INFO", "django_sessions_plus"),
            CaptureQueriesContext(connection) as queries,
        ):
            assert sessions.revoke_many(Session.objects.all()) == 20
        assert {record.session_id for record in caplog.records} == rows
        assert str(visit.pk) not in {record.session_id for record in caplog.records}
        if connection.features.has_select_for_update:
            reads = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
            # Two batches: each is listed and locked. MariaDB also lists what it deletes.
            assert len(reads) == 2 * 2 + (connection.vendor == "mysql")

    @pytest.mark.parametrize(("is_heard", "count"), [(False, 0), (True, 5)])
    def test_rows_are_loaded_only_if_somebody_listens(self, ada, request, is_heard, count):
        for _ in range(5):
            make_session(ada)
        loaded = []

        # Rather than from_db(), which an engine may have looked at already and pass by.
        def note(instance, **said):
            loaded.append(instance)

        if is_heard:
            request.getfixturevalue("told")
        post_init.connect(note, sender=Session)
        try:
            assert sessions.revoke_all(ada) == 5
        finally:
            post_init.disconnect(note, sender=Session)
        assert len(loaded) == count

    def test_work_that_is_stopped_leaves_whole_batches(self, verbs, ada):
        for _ in range(25):
            make_session(ada)

        def stop(done):
            raise InterruptedError

        with pytest.raises(InterruptedError):
            verbs("revoke_all", ada, progress=stop)
        assert Session.objects.active().count() == 15

    def test_copies_of_every_ended_row_are_invalidated(self, ada, settings, monkeypatch):
        settings.SESSION_ENGINE = "django_sessions_plus.backends.cached_db"
        invalidated = []
        engine = import_module(settings.SESSION_ENGINE).SessionStore
        monkeypatch.setattr(
            engine, "invalidate", lambda digests, using: invalidated.append(list(digests))
        )
        rows = [make_session(ada) for _ in range(25)]
        invalidated.clear()
        assert sessions.revoke_everyone() == 25
        digests = [digest for batch in invalidated for digest in batch]
        assert sorted(digests) == sorted(row.token_digest for row in rows)
        assert max(map(len, invalidated)) == 10


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
