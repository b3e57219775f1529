"""No reader is served what is over: every order in which one reads and others change, forced.

A change has two moments, its commit and its news to the cache; a reader that fills an entry
has up to five. All orders of the two are tried, from a cold cache, from one whose entry has
gone, and from a warm one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.caching import copies
from django_sessions_plus.backends.caching.copies import Copies
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.models import Session
from django_sessions_plus.signals import session_ended
from tests.backends.cached import ENGINE, CachedAsync, CachedSync, Interleaving, ReplacingClient
from tests.backends.drivers import SyncSession, sign_in

pytestmark = pytest.mark.django_db(transaction=True)

MOMENTS = 5
ORDERS = [(i, j) for i in range(MOMENTS) for j in range(i, MOMENTS)]
# A writer finds, reads, keeps, writes and renews, and then once more writes and renews.
WRITING_MOMENTS = 9
WRITING_ORDERS = [(i, j) for i in range(WRITING_MOMENTS) for j in range(i, WRITING_MOMENTS)]


@pytest.fixture(autouse=True)
def _engine(settings: Any) -> Any:
    settings.SESSION_ENGINE = ENGINE
    caches["default"].clear()
    yield
    caches["default"].clear()


@pytest.fixture
def signed_in(alice: User) -> SyncSession:
    session = CachedSync()
    session.set("colour", "red")
    session.save()
    sign_in(session, alice)
    return session


def truth(token: str) -> dict[str, Any]:
    """Return what the database says the token opens."""
    row = Session.objects.filter(token_digest=tokens.digest(token)).first()
    return row.get_decoded() if row is not None and row.is_active() else {}


def read(token: str, driver: type[SyncSession] = CachedSync) -> dict[str, Any]:
    session = driver(token)
    session.get("")
    return dict(session.store._session)


def cold(token: str) -> None:
    caches["default"].clear()


def without_entry(token: str) -> None:
    read(token)
    cache = caches["default"]
    cache.delete(Copies(cache, Session, "default").layout.entry_key(tokens.digest(token)))


def warm(token: str) -> None:
    read(token)
    read(token)


def elsewhere(verb: Callable[..., Any], argument: Any) -> Any:
    """Call a verb as another process does: one of this context would empty the stores it made."""
    return Context().run(verb, argument)


def revoke(session: SyncSession) -> None:
    assert elsewhere(sessions.revoke, session.row.pk)


def revoke_all(session: SyncSession) -> None:
    assert elsewhere(sessions.revoke_all, session.row.user_id)


def end(session: SyncSession) -> None:
    assert Session.objects.filter(pk=session.row.pk).end(reason="revoked")


def update(session: SyncSession) -> None:
    assert Session.objects.filter(pk=session.row.pk).update(ended_at=timezone.now())


def update_digest(session: SyncSession) -> None:
    other = tokens.digest(tokens.make_token())
    assert Session.objects.filter(pk=session.row.pk).update(token_digest=other)


def bulk_update(session: SyncSession) -> None:
    row = Session.objects.get(pk=session.row.pk)
    row.ended_at = timezone.now()
    assert Session.objects.bulk_update([row], ["ended_at"])


def delete(session: SyncSession) -> None:
    assert Session.objects.filter(pk=session.row.pk).delete()[0]


def delete_instance(session: SyncSession) -> None:
    assert session.stored.delete()[0]


def save_instance(session: SyncSession) -> None:
    row = session.stored
    row.ended_at = timezone.now()
    row.save(update_fields=["ended_at"])


def delete_user(session: SyncSession) -> None:
    User.objects.all().delete()


def delete_user_unnoticed(session: SyncSession) -> None:
    """As when somebody signs in between the end of all sessions and the cascade."""
    before, sessions.revoke_all = sessions.revoke_all, lambda *args, **kwargs: 0
    try:
        User.objects.get().delete()
    finally:
        sessions.revoke_all = before


def sign_out(session: SyncSession) -> None:
    CachedSync(session.token).flush()


def rotate(session: SyncSession) -> None:
    CachedSync(session.token).cycle_key()


def write(session: SyncSession) -> None:
    other = CachedSync(session.token)
    other.set("colour", "blue")
    other.save()


def write_late(session: SyncSession) -> None:
    """Two writers, and the first one's news comes last."""
    first, second = CachedSync(session.token), CachedSync(session.token)
    first.set("size", 1)
    second.set("colour", "green")
    first.save()
    second.save()


CHANGES = [
    *(revoke, revoke_all, end, update, update_digest, bulk_update, delete, delete_instance),
    *(save_instance, delete_user, delete_user_unnoticed, sign_out, rotate, write, write_late),
]


BEFORE = [cold, without_entry, warm]
# Each change once, from each state in turn; all of them together are for the thorough run.
READINGS = [
    pytest.param(change, before, marks=[] if first % 3 == second else [pytest.mark.thorough])
    for first, change in enumerate(CHANGES)
    for second, before in enumerate(BEFORE)
]


@pytest.mark.parametrize(("change", "before"), READINGS)
def test_a_reader_and_a_change_in_any_order(
    signed_in: SyncSession,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[SyncSession], None],
    before: Callable[[str], None],
):
    for committed, told in ORDERS:
        User.objects.get_or_create(username="alice")
        session = CachedSync()
        session.set("colour", "red")
        session.save()
        sign_in(session, User.objects.get(username="alice"))
        token = session.token
        before(token)
        with monkeypatch.context() as patch:
            orders = Interleaving(patch)
            orders.at(committed, orders.hold_invalidations(partial(change, session)))
            orders.at(told, orders.deliver)
            orders.run(partial(read, token))
        expected = truth(token)
        assert expected.get("colour") != "red"
        for driver in (CachedSync, CachedAsync, CachedSync):
            assert read(token, driver) == expected, (committed, told)


@pytest.mark.parametrize(
    "change",
    [
        write,
        *(pytest.param(each, marks=pytest.mark.thorough) for each in (revoke, end, delete, rotate)),
    ],
)
def test_a_second_reader_in_between_changes_nothing(
    signed_in: SyncSession,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[SyncSession], None],
):
    for committed, told in ORDERS:
        for other in range(MOMENTS):
            session = CachedSync()
            session.set("colour", "red")
            session.save()
            sign_in(session, alice)
            token = session.token
            cold(token)
            with monkeypatch.context() as patch:
                orders = Interleaving(patch)
                orders.at(other, partial(read, token))
                orders.at(committed, orders.hold_invalidations(partial(change, session)))
                orders.at(told, orders.deliver)
                orders.run(partial(read, token))
            for _ in range(3):
                assert read(token) == truth(token), (committed, told, other)


@pytest.fixture
def replacing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have writes keep what they wrote, as on Redis."""
    monkeypatch.setattr(copies, "client_of", lambda alias, cache: ReplacingClient(cache))


@pytest.mark.usefixtures("replacing")
@pytest.mark.parametrize(
    ("change", "before"),
    [(revoke, warm), (write, cold)]
    + [
        pytest.param(*each, marks=pytest.mark.thorough)
        for each in [
            (revoke, cold),
            *((each, warm) for each in (end, delete, sign_out, rotate, write, write_late)),
        ]
    ],
)
def test_a_writer_and_a_change_in_any_order(
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[SyncSession], None],
    before: Callable[[str], None],
):
    for committed, told in WRITING_ORDERS:
        alice, _ = User.objects.get_or_create(username="alice")
        session = CachedSync()
        session.set("colour", "red")
        session.save()
        sign_in(session, alice)
        token = session.token
        before(token)

        def save(token: str = token) -> None:
            writer = CachedSync(token)
            writer.set("written", 1)
            with suppress(StaleSessionError):
                writer.save()
            with suppress(StaleSessionError):
                writer.set("written", 2)
                writer.save()

        with monkeypatch.context() as patch:
            orders = Interleaving(patch)
            orders.at(committed, orders.hold_invalidations(partial(change, session)))
            orders.at(told, orders.deliver)
            orders.run(save)
        expected = truth(token)
        assert expected.get("colour") != "red"
        assert not expected or expected.get("written") == 2, "a save was lost"
        for _ in range(3):
            assert read(token) == expected, (committed, told)


@pytest.mark.usefixtures("replacing")
def test_what_was_written_is_read_from_the_cache(signed_in: SyncSession, statements: Any):
    read(signed_in.token)
    session = CachedSync(signed_in.token)
    for number in range(3):
        session.set("number", number)
        session.save()
        with statements() as cost:
            assert read(signed_in.token)["number"] == number
        assert cost == []
        copy = CachedSync(signed_in.token)
        copy.get("")
        names = [field.attname for field in Session._meta.concrete_fields]
        stored = Session.objects.get()
        assert [getattr(copy.row, name) for name in names] == [
            getattr(stored, name) for name in names
        ]


@pytest.mark.usefixtures("replacing")
def test_a_copy_does_not_get_younger_by_a_write(
    signed_in: SyncSession, monkeypatch: pytest.MonkeyPatch, statements: Any
):
    read(signed_in.token)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 40)
    session = CachedSync(signed_in.token)
    session.set("colour", "blue")
    session.save()
    monkeypatch.setattr(time, "time", lambda: now() + 61)
    with statements() as cost:
        assert read(signed_in.token)["colour"] == "blue"
    assert len(cost) == 1


@pytest.mark.usefixtures("replacing")
def test_a_write_that_was_rolled_back_is_in_no_copy(signed_in: SyncSession):
    read(signed_in.token)
    with transaction.atomic():
        session = CachedSync(signed_in.token)
        session.set("colour", "blue")
        session.save()
        transaction.set_rollback(True)
    assert read(signed_in.token)["colour"] == "red"


def test_a_session_that_ends_while_it_is_created_is_not_served(
    alice: User, monkeypatch: pytest.MonkeyPatch
):
    for committed, told in ORDERS:
        session = CachedSync()
        session.update({"_auth_user_id": str(alice.pk), "colour": "red"})
        with monkeypatch.context() as patch:
            orders = Interleaving(patch)
            orders.at(
                committed, orders.hold_invalidations(lambda: elsewhere(sessions.revoke_all, alice))
            )
            orders.at(told, orders.deliver)
            orders.run(session.save)
        expected = truth(session.token)
        assert not expected or committed < 2
        assert read(session.token) == expected, (committed, told)
        assert read(session.token) == expected, (committed, told)


def test_a_save_that_was_under_way_when_the_session_ended_brings_nothing_back(
    signed_in: SyncSession,
):
    late = CachedSync(signed_in.token)
    late.set("colour", "blue")
    revoke(signed_in)
    assert read(signed_in.token) == {}
    with pytest.raises(StaleSessionError):
        late.save()
    assert read(signed_in.token) == {}


def test_a_sign_out_ends_the_token_a_parallel_request_has_rotated_to(signed_in: SyncSession):
    other = CachedSync(signed_in.token)
    other.cycle_key()
    assert read(other.token)["colour"] == "red"
    signed_in.flush()
    assert read(other.token) == {}


def test_a_save_that_had_to_merge_is_seen_by_the_next_request(signed_in: SyncSession):
    token = signed_in.token
    first, second = CachedSync(token), CachedSync(token)
    second.set("size", 1)
    first.set("colour", "blue")
    first.save()
    assert read(token)["colour"] == "blue"
    second.save()
    assert (read(token)["colour"], read(token)["size"]) == ("blue", 1)


def test_the_token_that_was_unknown_opens_the_session_created_with_it(alice: User):
    token = tokens.make_token()
    assert read(token) == {}
    session = CachedSync(token)
    session.store.save(must_create=True)
    session.set("colour", "red")
    assert session.store.exists(token)
    session.save()
    assert read(token) == {"colour": "red"}


def test_changes_to_many_rows_are_told_in_batches(
    alice: User, monkeypatch: pytest.MonkeyPatch, settings: Any
):
    monkeypatch.setattr("django_sessions_plus.querysets.KEYS_PER_STATEMENT", 3)
    opened = []
    for _ in range(8):
        session = CachedSync()
        session.set("_auth_user_id", str(alice.pk))
        session.save()
        opened.append(session.token)
    assert all(map(read, opened))
    assert Session.objects.for_user(alice).end(reason="revoked") == 8
    assert not any(map(read, opened))


def test_sql_is_served_once_the_command_has_told(signed_in: SyncSession):
    assert read(signed_in.token)
    assert read(signed_in.token)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_sessions_plus_session")
    assert read(signed_in.token), "nobody has told the cache, and nothing else can"
    call_command("sessions_refresh_cache", verbosity=0)
    assert read(signed_in.token) == {}


def test_nobody_is_served_an_ended_session_while_listeners_are_told_of_its_end(
    signed_in: SyncSession,
):
    """One that sends mail takes seconds, and may be the last thing its worker does."""
    assert read(signed_in.token)
    found: list[dict[str, Any]] = []

    def listener(**said: Any) -> None:
        found.append(read(signed_in.token))

    session_ended.connect(listener)
    try:
        CachedSync(signed_in.token).flush()
    finally:
        session_ended.disconnect(listener)
    assert found == [{}]
