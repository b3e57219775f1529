"""``manage.py import_sessions``: all sessions of Django's own engine at once, as if each browser had come back."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.sessions.backends.cached_db import SessionStore as DjangoStore
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import DataError
from django.test import Client
from django.test.utils import override_settings
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.models import Session
from django_sessions_plus.switching import (
    barriers,
    bulk_import,
    candidates,
    identity,
    mirroring,
    remaining,
)
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sources.named import source_of
from django_sessions_plus.switching.sources.rows import RowSource
from tests.switching.conftest import after_switch, before_switch, browser, key_of, old_rows

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.site"),
]

DAY = timedelta(days=1)
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class PickyBackend(ModelBackend):
    """One that finds users in its own way."""

    def get_user(self, user_id: Any) -> Any:
        user = super().get_user(user_id)
        return user if user is not None and user.username == "alice" else None


class StoreWithCopies(DjangoStore):
    """A project's own, which has more to delete than a row."""

    key_salt = DjangoStore().key_salt
    deleted: list[str] = []

    def delete(self, session_key: str | None = None) -> None:
        super().delete(session_key)
        self.deleted.append(str(session_key))


class FailingStore(DjangoStore):
    """A project's own, which cannot read what it has."""

    def decode(self, session_data: Any) -> dict[str, Any]:
        raise LookupError(session_data)


def fill(
    number: int, user: User | None = None, expires_in: timedelta = 14 * DAY, **data: Any
) -> list[str]:
    """Store sessions of Django's engine, and return their keys in the order of the database."""
    if user is not None:
        data = {
            SESSION_KEY: str(user.pk),
            BACKEND_SESSION_KEY: MODEL_BACKEND,
            HASH_SESSION_KEY: user.get_session_auth_hash(),
            **data,
        }
    keys = sorted(tokens.make_token() for _ in range(number))
    old_rows().bulk_create(
        old_rows().model(
            session_key=key,
            session_data=DjangoStore().encode(data),
            expire_date=timezone.now() + expires_in,
        )
        for key in keys
    )
    return keys


def run(*arguments: str, out: io.StringIO | None = None, **settings: Any) -> str:
    out = out or io.StringIO()
    with after_switch(**settings):
        call_command("import_sessions", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def figures_of(*arguments: str, **settings: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run("--json", *arguments, **settings))
    found: dict[str, Any] = answer["sources"]["django"]
    return found


def with_cookie(key: str) -> Client:
    client = Client()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = key
    return client


def who(key: str) -> str:
    return with_cookie(key).get("/who").content.decode()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_import, "MAX_PAUSE", 0.0)


# The sessions


def test_everybody_goes_on_by_the_same_cookie_though_nobody_came_back_meanwhile(alice, bob):
    with before_switch():
        client = browser(alice, basket=["tea", 3])
    fill(3, bob)
    fill(2, basket=["milk"])
    found = figures_of("--batch-size=2")
    assert (found["imported"], found["batches"], found["is_finished"]) == (6, 3, True)
    assert not old_rows().exists()
    # The setting is not needed for those that were imported.
    assert client.get("/who").content == b"alice"
    assert client.session["basket"] == ["tea", 3]
    assert Session.objects.active().for_user(bob).count() == 3
    assert Session.objects.filter(user=None).count() == 2
    assert ImportedKey.objects.count() == 6


def test_a_row_is_the_one_that_a_request_would_have_made(alice):
    by_request, in_bulk = fill(2, alice, basket=[1])
    with after_switch():
        assert who(by_request) == "alice"
    run()
    one, other = (
        Session.objects.values().get(token_digest=tokens.digest(key))
        for key in (by_request, in_bulk)
    )
    differing = {name for name in one if one[name] != other[name]}
    own = {"id", "token_digest", "ip_address", "user_agent"}
    times = {"created_at", "last_seen_at", "updated_at", "imported_at", "expires_at"}
    assert differing <= own | times
    assert other["authenticated_at"] is None
    assert other["imported_at"] is not None
    # Nothing is known of a browser that did not come back.
    assert other["user_agent"] is None


@pytest.mark.parametrize(
    ("expires_in", "data", "idle"),
    [
        (10 * DAY, {}, 4 * DAY),
        (40 * DAY, {}, 0 * DAY),
        (10 * DAY, {"_session_expiry": 864000}, 0 * DAY),
    ],
    ids=["four days ago", "unknown", "its own expiry"],
)
def test_the_last_use_is_estimated_from_the_expiry(alice, clock, expires_in, data, idle):
    fill(1, alice, expires_in=expires_in, **data)
    run()
    row = Session.objects.get()
    assert row.last_seen_at == row.created_at == clock.now() - idle
    assert row.expires_at == clock.now() + min(expires_in, 14 * DAY)


def test_no_signal_is_sent(alice, told):
    fill(3, alice)
    run()
    assert told == []


def test_what_cannot_be_imported_stays_where_it_is_and_is_counted_with_the_reason(alice, bob):
    carol = User.objects.create_user("carol")
    fill(2, alice)
    fill(3, alice, expires_in=-DAY)
    fill(1, bob)
    fill(2, carol)
    fill(1, alice, _auth_user_backend="gone.Backend")
    fill(1, alice, _auth_user_id="x")
    User.objects.filter(pk=bob.pk).update(password="another")
    User.objects.filter(pk=carol.pk).update(is_active=False)
    (damaged,) = fill(1)
    old_rows().filter(session_key=damaged).update(session_data="damaged")
    (malformed,) = fill(1)
    old_rows().filter(session_key=malformed).update(session_key="A" * 40)
    dry, found = figures_of("--dry-run"), figures_of()
    for name in ("imported", "expired", "refused", "unreadable"):
        assert dry[name] == found[name]
    assert (found["imported"], found["expired"]) == (2, 3)
    assert found["refused"] == {
        "the password of its user has changed": 1,
        "its user does not exist or may not sign in": 2,
        "its backend is not in AUTHENTICATION_BACKENDS": 1,
        "its user cannot be one of this site": 1,
    }
    assert found["unreadable"] == {
        "its data is damaged, or signed with another SECRET_KEY": 1,
        candidates.MALFORMED: 1,
    }
    assert old_rows().count() == 10
    text = run()
    assert "Imported: 0. Already imported: 0. Expired: 3." in text
    assert "Refused: 2, because its user does not exist or may not sign in." in text
    assert damaged not in text


def test_a_session_that_is_expired_by_our_timeouts_is_counted_as_such(alice, clock):
    fill(1, alice)
    with patch.object(Session, "is_active", return_value=False):
        assert figures_of()["expired"] == 1
    assert old_rows().exists()


def test_data_that_an_engine_fails_to_read_stops_nothing(alice, monkeypatch):
    fill(3, alice)
    with after_switch():
        monkeypatch.setattr(source_of("django"), "store_class", FailingStore)
        figures = import_with(source_of("django"))
    assert figures.unreadable == {"its engine cannot read its data (LookupError)": 3}


def import_with(source: Any, **options: Any) -> bulk_import.Figures:
    store_class = type(new_store())
    return bulk_import.import_all(source, store_class, bulk_import.Options(**options))


def test_a_row_that_the_database_cannot_store_holds_up_no_other(alice, monkeypatch):
    keys = fill(5, alice)
    bad = tokens.digest(keys[2])
    save = Session.save

    def fail(many: list[Session], **options: Any) -> None:
        raise DataError("too long")

    def save_or_fail(row: Session, *args: Any, **kwargs: Any) -> None:
        if row.token_digest == bad:
            raise DataError("too long")
        save(row, *args, **kwargs)

    monkeypatch.setattr(bulk_import, "insert_many", fail)
    monkeypatch.setattr(Session, "save", save_or_fail)
    found = figures_of()
    assert found["imported"] == 4
    assert found["unreadable"] == {bulk_import.NOT_STORABLE: 1}
    assert [row.session_key for row in old_rows()] == [keys[2]]
    assert ImportedKey.objects.count() == 4


# What ends stays ended


@pytest.mark.parametrize("few", [0, 1, 500])
def test_users_who_have_signed_out_everywhere_are_refused_however_many_they_are(
    alice, bob, monkeypatch, few
):
    monkeypatch.setattr(barriers, "FEW", few)
    carol = User.objects.create_user("carol")
    for user in (alice, bob, carol):
        fill(2, user)
    with after_switch():
        sessions.revoke_all(alice)
        sessions.revoke_all(bob)
    found = figures_of()
    assert found["refused"] == {candidates.TOO_OLD: 4}
    assert set(Session.objects.values_list("user__username", flat=True)) == {"carol"}


# Who is signed in


@pytest.mark.parametrize(
    "backend",
    [
        MODEL_BACKEND,
        "django.contrib.auth.backends.AllowAllUsersModelBackend",
        "tests.switching.test_import_command.PickyBackend",
        "django.contrib.auth.backends.RemoteUserBackend",
    ],
)
def test_users_of_many_are_judged_as_those_of_one(alice, bob, settings, backend):
    carol = User.objects.create_user("carol", is_active=False)
    settings.AUTHENTICATION_BACKENDS = [MODEL_BACKEND, backend]
    many = [
        {
            SESSION_KEY: key,
            BACKEND_SESSION_KEY: path,
            HASH_SESSION_KEY: auth_hash,
        }
        for key in (str(alice.pk), bob.pk, str(carol.pk), "987654", "x", None, [], str(10**30))
        for path in (backend, MODEL_BACKEND, "gone.Backend", None, [])
        for auth_hash in (*(each.get_session_auth_hash() for each in (alice, bob, carol)), "", None)
    ]
    many.append({})

    def judged(*args: Any) -> Any:
        try:
            return identity.user_of(*args)
        except identity.RefusedError as error:
            return str(error)

    find = identity.users_of(many, Session)
    expected = [judged(data, Session) for data in many]
    assert [judged(data, Session, find) for data in many] == expected
    assert {user for user in expected if isinstance(user, User)} >= {alice}


def test_a_batch_takes_few_statements(alice, bob, statements):
    fill(40, alice)
    fill(40, bob)
    # On SQLite, a statement takes only so many values.
    with statements() as few, after_switch():
        import_with(source_of("django"), is_dry_run=True)
    assert len(few) == 5
    assert few.writes == []
    with statements() as found, after_switch():
        import_with(source_of("django"))
    tables = {"in": set[str](), "out": set[str]()}
    for sql in found.writes:
        verb, _, rest = sql.partition(" ")
        name = rest.removeprefix("INTO ").removeprefix("FROM ").split()[0]
        tables["out" if verb == "DELETE" else "in"].add(name.strip('"`'))
    assert tables == {
        "in": {ImportedKey._meta.db_table, Session._meta.db_table},
        "out": {"django_session"},
    }
    assert len(found.reads) == 6


def test_the_table_is_never_read_as_a_whole(alice, statements):
    fill(20, alice)
    with statements() as found:
        run("--batch-size=5", SESSIONS_PLUS_IMPORT_KEEP_SOURCE=True)
    read = [sql for sql in found.reads if "session_data" in sql and "django_session" in sql]
    assert len(read) == 5
    assert all("LIMIT 5" in sql for sql in read)


def test_batches_get_smaller_while_the_database_is_slow(alice, monkeypatch):
    fill(30, alice)
    sizes = []
    decide = candidates.Judge.decide

    def decide_and_note(judge: Any, rows: list[Any]) -> Any:
        sizes.append(len(rows))
        # The first two transactions are slow, the others are not.
        monkeypatch.setattr(bulk_import, "SLOW", -1.0 if len(sizes) <= 2 else 1000.0)
        return decide(judge, rows)

    monkeypatch.setattr(bulk_import, "MIN_BATCH_SIZE", 3)
    monkeypatch.setattr(candidates.Judge, "decide", decide_and_note)
    assert figures_of("--batch-size=8")["imported"] == 30
    assert sizes == [8, 4, 3, 6, 8, 1]


# Again, and beside others


class StoppedError(BaseException):
    """The process is gone: no handler may run."""


def stopping(function: Any, at: int) -> Any:
    calls = iter(range(100))

    def act(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == at:
            raise StoppedError
        return function(*args, **kwargs)

    return act


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (candidates.Judge, "decide"),
        (ImportedKey, "save"),
        (bulk_import._Import, "_invalidate_copies"),
        (bulk_import._Import, "_end_forbidden"),
        (bulk_import._Import, "_delete_in_source"),
        (bulk_import._Import, "_enforce_limits"),
    ],
)
def test_a_run_that_was_stopped_anywhere_is_simply_run_again(
    alice, bob, monkeypatch, owner, name, keep
):
    keys = fill(10, alice) + fill(10, bob)
    kept = {"SESSIONS_PLUS_IMPORT_KEEP_SOURCE": keep, "SESSIONS_PLUS_MAX_PER_USER": 7}
    with monkeypatch.context() as patched:
        if owner is ImportedKey:
            # One by one.
            patched.setattr(bulk_import, "insert_many", fail_with_value)
            patched.setattr(ImportedKey, "save", stopping(ImportedKey.save, 7))
        else:
            patched.setattr(owner, name, stopping(getattr(owner, name), 1))
        with pytest.raises(StoppedError):
            run("--batch-size=5", **kept)
    before = ImportedKey.objects.count()
    assert before == {"decide": 5, "_invalidate_copies": 5, "save": 7}.get(name, 10)
    found = figures_of("--batch-size=5", **kept)
    assert found["imported"] == 20 - before
    assert {each.digest for each in ImportedKey.objects.all()} == set(map(tokens.digest, keys))
    assert Session.objects.count() == 20
    assert [Session.objects.active().for_user(user).count() for user in (alice, bob)] == [7, 7]
    assert old_rows().count() == (14 if keep else 0)
    assert figures_of(**kept)["imported"] == 0


@pytest.mark.parametrize("keep", [False, True])
def test_the_limit_holds_though_the_run_was_stopped_before_it_came_to_that(
    alice, monkeypatch, keep
):
    fill(3, alice)
    kept = {"SESSIONS_PLUS_IMPORT_KEEP_SOURCE": keep, "SESSIONS_PLUS_MAX_PER_USER": 2}
    with monkeypatch.context() as patched:
        patched.setattr(bulk_import._Import, "_enforce_limits", stopping(None, 0))
        with pytest.raises(StoppedError):
            run(**kept)
    assert Session.objects.active().count() == 3
    assert figures_of(**kept)["ended"] == 1
    assert Session.objects.active().count() == 2
    assert old_rows().count() == (2 if keep else 0)


def fail_with_value(*args: Any, **kwargs: Any) -> None:
    raise ValueError


def test_what_is_imported_by_a_request_meanwhile_is_not_imported_twice(alice, monkeypatch):
    keys = fill(6, alice, basket=["tea"])
    decide = candidates.Judge.decide

    def decide_and_wait(*args: Any) -> Any:
        batch = decide(*args)
        assert who(keys[2]) == "alice"
        return batch

    monkeypatch.setattr(candidates.Judge, "decide", decide_and_wait)
    found = figures_of()
    assert (found["imported"], found["already_imported"], found["unreadable"]) == (5, 1, {})
    assert not old_rows().exists()
    assert Session.objects.active().count() == ImportedKey.objects.count() == 6
    assert [who(key) for key in keys] == ["alice"] * 6


@pytest.mark.parametrize("end", ["sign-out", "purge"])
def test_what_ended_here_is_not_imported_again(alice, end):
    (key,) = fill(1, alice)
    kept = old_rows().values().get()
    with after_switch():
        client = with_cookie(key)
        client.post("/sign-out")
    if end == "purge":
        Session.objects.all().delete()
    # A process of the previous deployment saves it once more.
    old_rows().model.objects.update_or_create(session_key=key, defaults=kept)
    found = figures_of()
    assert (found["imported"], found["already_imported"]) == (0, 1)
    assert not old_rows().exists()
    assert who(key) == ""


@pytest.mark.parametrize(
    "end", [sessions.revoke_all, lambda user: sessions.revoke_everyone()], ids=["all", "everyone"]
)
def test_whoever_has_ended_all_sessions_stays_signed_out(alice, end):
    fill(2, alice)
    fill(1, basket=["tea"])
    with after_switch():
        end(alice)
    found = figures_of()
    assert found["refused"] == {candidates.TOO_OLD: 2}
    # A basket is nobody's session.
    assert found["imported"] == 1
    assert not Session.objects.filter(user=alice).exists()


def test_whoever_ends_all_sessions_while_they_are_imported_ends_them(alice, bob, monkeypatch):
    keys, others = fill(3, alice), fill(2, bob)
    write = bulk_import._Import._write

    def write_late(*args: Any) -> Any:
        sessions.revoke_all(alice)
        return write(*args)

    monkeypatch.setattr(bulk_import._Import, "_write", write_late)
    assert figures_of()["ended"] == 3
    assert [who(key) for key in keys] == [""] * 3
    assert [who(key) for key in others] == ["bob"] * 2


def test_the_limit_leaves_the_sessions_that_were_used_last(alice, bob):
    old, newer = fill(2, alice, expires_in=9 * DAY), fill(2, alice, expires_in=12 * DAY)
    others = fill(2, bob)
    with after_switch():
        here = browser(alice)
    text = run("--batch-size=1", SESSIONS_PLUS_MAX_PER_USER=3)
    assert "Ended at once" in text
    assert key_of(here)
    assert here.get("/who").content == b"alice"
    assert [who(key) for key in (*old, *newer, *others)] == ["", "", "alice", "alice", "bob", "bob"]


def test_the_limit_may_depend_on_the_user(alice, bob):
    fill(4, alice)
    fill(4, bob)
    run(SESSIONS_PLUS_MAX_PER_USER=lambda user: 2 if user.username == "bob" else None)
    assert [Session.objects.active().for_user(user).count() for user in (alice, bob)] == [4, 2]


# The source


@pytest.mark.parametrize("by", ["option", "setting"])
def test_a_source_that_is_kept_is_told_of_what_ends(alice, by):
    first, second = fill(2, alice)
    setting = {"SESSIONS_PLUS_IMPORT_KEEP_SOURCE": by == "setting"}
    option = ["--keep-source"] if by == "option" else []
    assert figures_of(*option, **setting)["imported"] == 2
    assert old_rows().count() == 2
    assert not ImportedKey.objects.filter(sealed_key="").exists()
    with after_switch():
        sessions.revoke(Session.objects.get(token_digest=tokens.digest(first)))
    assert [row.session_key for row in old_rows()] == [second]
    # An end that nothing has reported.
    Session.objects.all().delete()
    found = figures_of(*option, **setting)
    assert (found["imported"], found["already_imported"]) == (0, 0)
    assert not old_rows().exists()


def test_a_dry_run_deletes_nothing_of_a_source_that_is_kept(alice):
    fill(2, alice)
    run("--keep-source")
    Session.objects.all().delete()
    found = figures_of("--keep-source", "--dry-run")
    assert (found["imported"], found["already_imported"]) == (0, 2)
    assert old_rows().count() == 2
    assert mirroring.delete_ended(using="default") == 2


def test_copies_in_the_cache_of_the_previous_engine_go_too(alice):
    with before_switch(SESSION_ENGINE="django.contrib.sessions.backends.cached_db"):
        names = [f"django.contrib.sessions.cached_db{key_of(browser(alice))}" for _ in range(3)]
    assert len(cache.get_many(names)) == 3
    run()
    assert cache.get_many(names) == {}


def test_a_source_that_cannot_delete_is_tried_again(alice, monkeypatch):
    fill(3, alice)
    with monkeypatch.context() as patched:
        patched.setattr(RowSource, "delete_many", fail_with_value)
        assert "Not deleted in the source, for the next run: 3." in run()
    assert old_rows().count() == 3
    found = figures_of()
    assert (found["imported"], found["already_imported"], found["undeleted"]) == (0, 3, 0)
    assert not old_rows().exists()


def test_an_engine_with_a_delete_of_its_own_is_asked_for_each(alice, monkeypatch):
    keys = fill(3, alice)
    monkeypatch.setattr(StoreWithCopies, "deleted", [])
    with after_switch():
        monkeypatch.setattr(source_of("django"), "store_class", StoreWithCopies)
        import_with(source_of("django"))
    assert StoreWithCopies.deleted == keys
    assert not old_rows().exists()


def test_a_token_that_was_unknown_before_is_known_at_once(alice):
    (key,) = fill(1, alice)
    # Without the setting, no engine but ours is asked; a cache may remember that.
    assert who(key) == who(key) == ""
    run()
    assert who(key) == "alice"


def test_a_cache_is_left_out_and_that_is_said(alice):
    fill(1, alice)
    with override_settings(SESSIONS_PLUS_IMPORT_FROM=["cache", "django"]):
        out = io.StringIO()
        call_command("import_sessions", stdout=out, stderr=out)
        assert "cache: a cache cannot be listed" in out.getvalue()
        assert "django: Imported: 1." in out.getvalue()
        with pytest.raises(CommandError, match="no source has its sessions in a table"):
            call_command("import_sessions", "--from=cache", stderr=out)


def test_tokens_are_left_out_and_that_is_said(alice):
    fill(1, alice)
    with override_settings(SESSIONS_PLUS_IMPORT_FROM=["authtoken", "django"]):
        out = io.StringIO()
        call_command("import_sessions", "--status", stdout=out)
        assert "authtoken: tokens come when they are used; none has been" in out.getvalue()
        call_command("import_sessions", stdout=out, stderr=out)
        assert "authtoken: tokens come when they are used. Nothing" in out.getvalue()
        assert "django: Imported: 1." in out.getvalue()
        with pytest.raises(CommandError, match="no source has its sessions in a table"):
            call_command("import_sessions", "--from=authtoken", stderr=out)


def test_the_source_of_tokens_is_never_said_to_be_done(alice, clock):
    ImportedKey.objects.create(digest="0" * 64, source="authtoken:authtoken.Token")
    with days_later(clock, 1000):
        answer = json.loads(run("--status", "--json", source="authtoken"))
    assert answer["status"]["authtoken"]["is_over"] is False
    assert answer["status"]["authtoken"]["last_imported_at"] is not None


def test_two_names_of_one_source_import_it_once(alice):
    fill(2, alice)
    path = "django.contrib.sessions.backends.db"
    with override_settings(SESSIONS_PLUS_IMPORT_FROM=["django", path]):
        out = io.StringIO()
        call_command("import_sessions", "--keep-source", "--json", stdout=out)
    found = json.loads(out.getvalue())["sources"]
    assert [found[name]["imported"] for name in ("django", path)] == [2, 0]
    assert found[path]["already_imported"] == 2


def test_mistakes_are_told_and_nothing_is_imported(alice, settings):
    fill(1, alice)
    with pytest.raises(CommandError, match=r"IMPORT_FROM names nothing"):
        call_command("import_sessions")
    with pytest.raises(CommandError, match="does not name 'qsessions'"):
        run("--from=qsessions")
    with pytest.raises(CommandError, match="not a number above zero, at most 500"):
        run("--batch-size=501")
    settings.SESSIONS_PLUS_IMPORT_FROM = ["no.such.engine"]
    with pytest.raises(CommandError, match=r"no\.such\.engine cannot be used"):
        call_command("import_sessions")
    with pytest.raises(CommandError, match="SESSION_ENGINE is"):
        run(SESSION_ENGINE="django.contrib.sessions.backends.db")
    assert old_rows().exists()
    assert not Session.objects.exists()


# Its output, and how it stops


def test_it_stops_when_its_time_is_up(alice):
    fill(10, alice)
    text = run("--max-seconds=0.000001", "--batch-size=4")
    assert "Imported: 4." in text
    assert "Stopped before the end; the next run goes on." in text
    assert "Imported: 6." in run()


def test_ctrl_c_stops_after_the_batch(alice, monkeypatch):
    fill(10, alice)
    decide = candidates.Judge.decide

    def press(*args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return decide(*args)

    monkeypatch.setattr(candidates.Judge, "decide", press)
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        run("--batch-size=4", out=out)
    assert caught.value.returncode == 130
    assert "Imported: 4." in out.getvalue()
    assert Session.objects.count() == 4


@pytest.mark.parametrize("out", [Terminal(), io.StringIO()], ids=["terminal", "file"])
def test_a_bar_is_drawn_on_a_terminal_alone(alice, out):
    fill(10, alice)
    text = run("--batch-size=4", out=out)
    assert ("4 of 10" in text) is out.isatty()


def test_it_says_nothing_when_it_is_to_be_quiet(alice):
    fill(3, alice)
    assert run("--verbosity=0", out=Terminal()) == ""
    assert Session.objects.count() == 3


def test_the_figures_as_json(alice):
    fill(3, alice)
    text = run("--json", "--keep-source")
    answer = json.loads(text)
    assert text.count("\n") == 1
    found = answer.pop("sources")["django"]
    assert answer == {"dry_run": False, "keep_source": True, "is_finished": True}
    assert found["done"] == 3
    assert found["longest"] > 0
    assert found["last_imported_at"] is not None


# Status


@contextmanager
def days_later(clock: Any, days: int) -> Iterator[None]:
    clock.advance(days=days)
    yield
    clock.advance(days=-days)


def test_the_status_says_how_many_are_left_and_when_one_was_last_imported(alice, clock):
    fill(5, alice, expires_in=100 * DAY)
    fill(2, alice, expires_in=-DAY)
    assert "5 sessions are left to import; none has been imported yet." in run("--status")
    run("--keep-source", "--batch-size=1", "--max-seconds=0.000001")
    text = run("--status")
    assert "4 sessions are left to import; the last one was imported within a day." in text
    assert "can be emptied" not in text
    with days_later(clock, 3):
        text = run("--status")
        assert "nothing has been imported for 3 days." in text
        assert "can be emptied" not in text
    with days_later(clock, 15):
        text = run("--status")
        assert "4 sessions are left to import; nothing has been imported for 15 days." in text
        assert "SESSIONS_PLUS_IMPORT_FROM can be emptied." in text
    run()
    answer = json.loads(run("--status", "--json"))
    assert answer["status"]["django"]["left"] == 0
    assert answer["status"]["django"]["is_over"] is True


def test_a_session_that_is_imported_while_the_status_is_read_was_imported_today(
    alice, clock, monkeypatch
):
    fill(2, alice)
    count_left = remaining.count_left

    def count_and_wait(*args: Any, **kwargs: Any) -> int:
        left: int = count_left(*args, **kwargs)
        clock.advance(minutes=2)
        run("--keep-source")
        return left

    monkeypatch.setattr(remaining, "count_left", count_and_wait)
    assert "the last one was imported within a day." in run("--status")


def test_the_status_of_a_cache_says_that_it_cannot_be_listed():
    assert "cache: a cache cannot be listed; none has been imported yet." in run(
        "--status", source="cache"
    )
