"""A session opened by its id, as a verified token opens it: it reads, saves and ends like any other, and makes none."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import RequestFactory, override_settings

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.changes import NO_REFRESH_TOKENS
from django_sessions_plus.backends.refresh_tokens import start_refresh
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from tests.backends.drivers import SessionStore, SyncSession, identity, sign_in
from tests.backends.rollback import rolled_back
from tests.conftest import Clock, OpenSession, Told

META = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "Firefox"}


@pytest.fixture
def signed_in(db: None, alice: User, clock: Clock) -> SyncSession:
    """A session of a browser, with something in it."""
    session = SyncSession(meta=META)
    session.set("colour", "red")
    sign_in(session, alice)
    return session


def by_id(open_session: OpenSession, session: SyncSession, **meta: Any) -> SyncSession:
    opened = open_session(None, meta or META)
    assert opened.open_by_id(session.row.pk) is True
    return opened


def test_it_reads_what_the_token_reads(open_session: OpenSession, signed_in: SyncSession):
    opened = by_id(open_session, signed_in)
    assert opened.get("colour") == "red"
    assert opened.load() == signed_in.load()
    assert (opened.session_key, opened.transport, opened.accessed) == (None, "jwt", True)
    assert not opened.modified
    assert not opened.is_empty()
    assert opened.row.pk == signed_in.row.pk
    assert opened.exists(None) is False


@pytest.mark.db_engine
@pytest.mark.parametrize("is_fast", [True, False])
def test_it_takes_one_query_and_brings_the_user_along(
    open_session: OpenSession, signed_in: SyncSession, alice: User, statements: Any, is_fast: bool
):
    opened = open_session()
    opened.store.wants_user = True
    with override_settings(SESSIONS_PLUS_FAST_PATH=is_fast), statements() as executed:
        opened.open_by_id(signed_in.row.pk)
        assert opened.row.user == alice
        assert opened.get("colour") == "red"
    assert len(executed) == 1
    # The ORM would fetch one more than it may find.
    assert ("LIMIT" not in executed[0]) is is_fast


@pytest.mark.parametrize("fate", ["unknown", "revoked", "expired", "beyond the limit"])
def test_an_id_of_nothing_that_lives_opens_nothing_and_makes_nothing(
    open_session: OpenSession, signed_in: SyncSession, clock: Clock, fate: str
):
    key = uuid.uuid4() if fate == "unknown" else signed_in.row.pk
    if fate == "revoked":
        sessions.revoke(key)
    elif fate == "expired":
        clock.advance(days=15)
    elif fate == "beyond the limit":
        Session.objects.update(expires_at=clock.moment + timedelta(days=365))
        clock.advance(days=31)
    opened = open_session()
    assert opened.open_by_id(key) is False
    assert opened.store.row is None
    assert opened.is_empty()
    assert dict(opened.items()) == {}
    opened.set("colour", "blue")
    assert opened.is_empty()
    for write in (opened.save, opened.create, opened.cycle_key):
        with pytest.raises(StaleSessionError):
            write()
    assert Session.objects.count() == 1
    assert opened.session_key is None


def test_what_is_written_is_merged_with_what_others_write(
    open_session: OpenSession, signed_in: SyncSession
):
    one, other = by_id(open_session, signed_in), by_id(open_session, signed_in)
    for number, session in enumerate((one, other, signed_in)):
        session.set(f"key{number}", number)
        session.save()
    decoded = signed_in.stored.get_decoded()
    assert [decoded[f"key{number}"] for number in range(3)] == [0, 1, 2]
    assert decoded["colour"] == "red"
    assert Session.objects.count() == 1


def test_an_emptied_session_is_saved(open_session: OpenSession, db: None, clock: Clock):
    anonymous = SyncSession()
    anonymous.set("colour", "red")
    anonymous.save()
    opened = by_id(open_session, anonymous)
    opened.pop("colour")
    assert not opened.is_empty()
    opened.save()
    assert anonymous.stored.get_decoded() == {}


def test_a_save_after_the_end_brings_nothing_back(
    open_session: OpenSession, signed_in: SyncSession
):
    opened = by_id(open_session, signed_in)
    sessions.revoke(signed_in.row.pk)
    opened.set("colour", "blue")
    with pytest.raises(StaleSessionError):
        opened.save()
    assert Session.objects.get().session_data == ""


@pytest.mark.django_db(transaction=True)
def test_the_end_bites_for_the_browser_too(
    open_session: OpenSession, signed_in: SyncSession, alice: User, told: Told
):
    token = signed_in.token
    opened = by_id(open_session, signed_in)
    opened.flush()
    row = Session.objects.get()
    assert (row.end_reason, row.ended_by) == ("signed_out", alice)
    assert opened.is_empty()
    assert open_session(token).load() == {}
    opened.set("colour", "blue")
    with pytest.raises(StaleSessionError):
        opened.save()
    assert Session.objects.count() == 1
    assert len(told) == 1


def test_it_ends_a_session_whose_token_was_rotated_meanwhile(
    open_session: OpenSession, signed_in: SyncSession
):
    opened = by_id(open_session, signed_in)
    signed_in.cycle_key()
    opened.delete()
    assert Session.objects.get().end_reason == "signed_out"


def test_a_rotation_gives_the_row_a_token_that_nobody_knows(
    open_session: OpenSession, signed_in: SyncSession, alice: User
):
    before = signed_in.stored
    opened = by_id(open_session, signed_in)
    opened.cycle_key()
    opened.mark_authenticated(alice)
    opened.set("size", 1)
    opened.save()
    after = signed_in.stored
    assert (after.pk, after.created_at) == (before.pk, before.created_at)
    assert after.token_digest != before.token_digest
    assert opened.row.token_digest == after.token_digest
    assert opened.session_key is None
    assert not opened.exists(signed_in.token)
    assert after.get_decoded()["size"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_rotation_by_the_browser_interrupts_nothing(
    open_session: OpenSession, signed_in: SyncSession
):
    opened = by_id(open_session, signed_in)
    signed_in.cycle_key()
    signed_in.set("colour", "blue")
    signed_in.save()
    opened.set("size", 1)
    opened.save()
    assert signed_in.stored.get_decoded().items() >= {"colour": "blue", "size": 1}.items()
    # And the browser has the token it got.
    assert open_session(signed_in.token).get("size") == 1


@pytest.mark.django_db(transaction=True)
def test_a_sign_in_of_somebody_else_does(
    open_session: OpenSession, signed_in: SyncSession, bob: User
):
    opened = by_id(open_session, signed_in)
    signed_in.update(identity(bob))
    signed_in.save()
    opened.set("size", 1)
    with pytest.raises(StaleSessionError):
        opened.save()
    assert "size" not in signed_in.stored.get_decoded()


def test_use_is_recorded(open_session: OpenSession, signed_in: SyncSession, clock: Clock):
    now = clock.advance(days=2)
    opened = by_id(open_session, signed_in, REMOTE_ADDR="192.0.2.7", HTTP_USER_AGENT="curl")
    assert opened.touch() is True
    row = signed_in.stored
    assert (row.last_seen_at, row.updated_at, row.ip_address) == (now, now, "192.0.2.7")
    assert row.expires_at == now + timedelta(days=14)


def test_a_new_sign_in_after_the_end_needs_another_store(
    open_session: OpenSession, signed_in: SyncSession, alice: User
):
    opened = by_id(open_session, signed_in)
    opened.flush()
    with pytest.raises(StaleSessionError):
        sign_in(opened, alice)
    assert Session.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_a_rolled_back_view_saved_is_saved_again(
    open_session: OpenSession, signed_in: SyncSession
):
    opened = by_id(open_session, signed_in)
    with rolled_back():
        opened.store["size"] = 1
        opened.store.save()
    assert opened.uncommitted.is_rolled_back()
    opened.save()
    assert signed_in.stored.get_decoded()["size"] == 1


@pytest.mark.django_db(transaction=True)
def test_what_a_rolled_back_view_ended_is_ended_again(
    open_session: OpenSession, signed_in: SyncSession
):
    opened = by_id(open_session, signed_in)
    with rolled_back():
        opened.store.end_as("refresh_reused")
    assert signed_in.stored.is_active()
    opened.store.repeat_end()
    assert Session.objects.get().end_reason == "refresh_reused"


def test_end_as_tells_what_it_did(
    open_session: OpenSession, signed_in: SyncSession, told: Told, alice: User
):
    one, other = by_id(open_session, signed_in), by_id(open_session, signed_in)
    ended = one.store.end_as("compromised")
    assert ended is not None
    assert (ended.pk, ended.end_reason, ended.session_data) == (
        signed_in.row.pk,
        "compromised",
        "",
    )
    assert other.store.end_as("compromised") is None
    assert one.is_empty()
    assert other.is_empty()
    assert one.store.end_as("compromised") is None


def test_refresh_tokens_go_when_somebody_else_is_put_in(
    open_session: OpenSession, signed_in: SyncSession, bob: User
):
    stale = open_session(signed_in.token)
    stale.get("")
    assert start_refresh(signed_in.store, signed_in.row, "0" * 64, signed_in.row.created_at)
    assert signed_in.stored.refresh_digest == "0" * 64
    # This one was loaded before there were any.
    stale.update(identity(bob))
    stale.save()
    row = signed_in.stored
    assert row.user == bob
    assert {name: getattr(row, name) for name in NO_REFRESH_TOKENS} == NO_REFRESH_TOKENS


def test_an_anonymous_session_gets_no_refresh_token(open_session: OpenSession, db: None):
    anonymous = open_session()
    anonymous.set("colour", "red")
    anonymous.save()
    assert not start_refresh(anonymous.store, anonymous.row, "0" * 64, anonymous.row.created_at)
    assert anonymous.stored.refresh_digest is None


def test_a_store_that_knows_no_id_is_as_ever(open_session: OpenSession, db: None):
    session = open_session()
    assert session.is_empty()
    session.set("colour", "red")
    assert not session.is_empty()
    session.save()
    assert tokens.is_well_formed(session.session_key)


def test_reading_from_a_replica_can_be_refused(open_session: OpenSession, signed_in: SyncSession):
    class Router:
        def db_for_read(self, model: Any, **hints: Any) -> str:
            raise AssertionError("asked for the replica")

        def db_for_write(self, model: Any, **hints: Any) -> str:
            return "default"

    opened = open_session()
    with override_settings(DATABASE_ROUTERS=[Router()], SESSIONS_PLUS_READ_FROM_REPLICA=True):
        assert opened.open_by_id(signed_in.row.pk, from_primary=True)


def serve(view: Any, mode: str) -> Any:
    """Answer a request with ``view``, through the session middleware."""
    request = RequestFactory().get("/", headers={"user-agent": "curl"})
    request.COOKIES["sessionid"] = "a" * 32
    if mode == "sync":
        return SessionMiddleware(view)(request)

    async def aview(request: Any) -> Any:
        return await sync_to_async(view)(request)

    middleware: Any = SessionMiddleware(aview)
    return async_to_sync(middleware)(request)


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("deed", ["read", "write", "sign out", "sign out and write", "rotate"])
def test_a_request_with_it_saves_and_ends_it_and_leaves_the_cookie_alone(
    signed_in: SyncSession, clock: Clock, mode: str, deed: str
):
    now = clock.advance(minutes=20)

    def view(request: Any) -> HttpResponse:
        request.session = SessionStore()
        request.session.meta = request.META
        assert request.session.open_by_id(signed_in.row.pk)
        if deed == "rotate":
            request.session.cycle_key()
        if deed.startswith("sign out"):
            request.session.flush()
        if deed.endswith("write"):
            request.session["size"] = 1
        return HttpResponse()

    response = serve(view, mode)
    row = Session.objects.get()
    assert not response.cookies
    assert response["Vary"] == "Authorization"
    # After a rotation nobody knows its token, and there are no refresh tokens: nobody could use it.
    assert row.is_active() is (deed in ("read", "write"))
    if row.is_active():
        assert (row.last_seen_at, row.user_agent) == (now, "curl")
        assert row.get_decoded().get("size") == (1 if deed == "write" else None)
