"""The user column says who the data says is signed in, whatever way that got there."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.core.validators import MinValueValidator
from django.db import models
from django.test import Client

from django_sessions_plus.backends import user_key
from django_sessions_plus.models import Session
from tests.backends.drivers import SyncSession, identity, sign_in
from tests.conftest import Clock, OpenSession


@pytest.mark.parametrize("way", ["set", "update", "setdefault", "create"])
@pytest.mark.parametrize("form", [int, str])
def test_the_user_follows_the_data(
    open_session: OpenSession, alice: User, way: str, form: type, clock: Clock
):
    session = open_session()
    if way != "create":
        session.save()
    if way == "update":
        session.update({SESSION_KEY: form(alice.pk)})
    elif way == "setdefault":
        session.setdefault(SESSION_KEY, form(alice.pk))
    else:
        session.set(SESSION_KEY, form(alice.pk))
    session.save()
    assert session.stored.user == alice
    assert session.stored.authenticated_at == clock.moment


@pytest.mark.parametrize("way", ["pop", "clear"])
def test_the_user_goes_with_the_data(open_session: OpenSession, alice: User, way: str):
    session = open_session()
    sign_in(session, alice)
    if way == "pop":
        session.pop(SESSION_KEY)
    else:
        session.clear()
    session.save()
    row = session.stored
    assert (row.user, row.authenticated_at) == (None, None)
    assert row.ended_at is None


def test_another_user_in_the_data_is_another_in_the_row(
    open_session: OpenSession, alice: User, bob: User, clock: Clock
):
    session = open_session()
    sign_in(session, alice)
    clock.advance(hours=1)
    session.set(SESSION_KEY, str(bob.pk))
    session.save()
    assert session.stored.user == bob
    assert session.stored.authenticated_at == clock.moment


def test_a_later_save_does_not_renew_the_moment_of_sign_in(
    open_session: OpenSession, alice: User, clock: Clock
):
    session = open_session()
    sign_in(session, alice)
    moment = clock.moment
    clock.advance(hours=1)
    session.set("colour", "red")
    session.save()
    assert session.stored.authenticated_at == moment


GARBAGE = ["garbage", "", "1; DROP", "9" * 40, 10**40, -(10**40), 1e400, [], {}, "\x00", "1.5"]


@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: repr(value)[:12])
def test_what_cannot_be_a_key_is_nobody(open_session: OpenSession, value: Any):
    session = open_session()
    session.set(SESSION_KEY, value)
    session.set("colour", "red")
    session.save()
    assert session.stored.user_id is None
    assert session.stored.get_decoded() == {SESSION_KEY: value, "colour": "red"}
    assert open_session(session.token).get("colour") == "red"


@pytest.mark.urls("tests.site")
@pytest.mark.parametrize("path", ["who", "awho"])
@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: repr(value)[:12])
def test_whom_the_row_does_not_name_no_request_has(
    db: None, alice: User, client: Client, value: Any, path: str
):
    store = SyncSession.engine()
    store.update(identity(alice) | {SESSION_KEY: value})
    store.save()
    client.cookies["sessionid"] = str(store.session_key)
    assert client.get(f"/{path}").content == b""


@pytest.mark.urls("tests.site")
@pytest.mark.parametrize("path", ["who", "awho"])
@pytest.mark.parametrize("name", [None, "bob"])
def test_a_row_that_was_changed_to_name_another_lets_nobody_in(
    alice: User, bob: User, client: Client, name: str | None, path: str
):
    """Neither alice, who could not see or end the session, nor whom the column names."""
    client.force_login(alice)
    Session.objects.update(user=bob if name else None)
    assert client.get(f"/{path}").content == b""


def test_a_validator_that_refuses_the_key_is_not_asked(
    open_session: OpenSession, alice: User, monkeypatch: pytest.MonkeyPatch
):
    refusing = MinValueValidator(alice.pk + 1)
    monkeypatch.setitem(vars(User._meta.pk), "validators", [refusing])
    session = open_session()
    sign_in(session, alice)
    assert session.stored.user == alice


def test_a_user_who_does_not_exist_is_no_error(open_session: OpenSession):
    session = open_session()
    session.set(SESSION_KEY, "123456")
    session.save()
    assert session.stored.user_id == 123456
    again = open_session(session.token)
    again.store.wants_user = True
    assert again.get(SESSION_KEY) == "123456"
    again.flush()
    assert Session.objects.get().end_reason == "signed_out"


class _Person(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)

    class Meta:
        app_label = "engine_tests"


class _PersonSession(models.Model):
    user = models.ForeignKey(_Person, on_delete=models.CASCADE, null=True)

    class Meta:
        app_label = "engine_tests"


@pytest.mark.parametrize("form", [str, lambda key: key.hex, lambda key: key])
def test_keys_of_another_type_are_read_as_that_type(form: Any):
    key = uuid.uuid4()
    assert user_key.named_in({SESSION_KEY: form(key)}, _PersonSession) == key
    for garbage in ["garbage", 1, "1", 10**40, [], "\x00"]:
        named = user_key.named_in({SESSION_KEY: garbage}, _PersonSession)
        assert named is None or isinstance(garbage, int)
    assert user_key.named_in({}, _PersonSession) is None


def test_data_names_the_user_of_a_row_or_does_not(alice: User, bob: User):
    row = Session(user=alice)
    assert user_key.is_user_of(row, {SESSION_KEY: str(alice.pk)})
    assert user_key.is_user_of(row, {SESSION_KEY: alice.pk})
    assert not user_key.is_user_of(row, {SESSION_KEY: str(bob.pk)})
    assert not user_key.is_user_of(row, {})
    assert user_key.is_user_of(Session(), {})
