"""What PostgreSQL announces of sessions and users, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.test.utils import isolate_apps
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.backends.leasing.channels import UnheardError
from django_sessions_plus.bulk import purging
from django_sessions_plus.models import Session
from tests.backends.drivers import SyncSession, sign_in
from tests.custom.engine import DeviceSession

if connection.vendor == "postgresql":
    import psycopg

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.db_engine,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has them"),
]

TABLE = Session._meta.db_table
Hear = Callable[[], Any]


class Ear:
    """A connection that listens, beside Django's."""

    def __init__(self) -> None:
        names = {"dbname", "host", "port", "user", "password"}
        parameters = connection.get_connection_params()
        self.heard: list[str] = []
        self.connection = psycopg.connect(
            **{name: parameters[name] for name in names & parameters.keys()}, autocommit=True
        )
        self.connection.add_notify_handler(lambda notice: self.heard.append(notice.payload))
        self.connection.execute(f"LISTEN {triggers.CHANNEL}")

    def __call__(self) -> set[str]:
        """Return what was announced since the last call: all that was committed before this one."""
        self.connection.execute("SELECT 1")
        heard, self.heard = self.heard, []
        # Of several equal ones in a transaction PostgreSQL sends one.
        return set(heard)


@pytest.fixture
def ear() -> Iterator[Ear]:
    """A listener; no trigger is left to other tests."""
    ear = Ear()
    yield ear
    ear.connection.close()
    triggers.remove(Session, "default")


@pytest.fixture
def installed(ear: Ear) -> Ear:
    triggers.install(Session, "default")
    assert triggers.states(Session, "default") == {TABLE: "installed", "auth_user": "installed"}
    return ear


@pytest.fixture
def signed_in(alice: User, installed: Ear) -> SyncSession:
    store = SyncSession()
    sign_in(store, alice)
    installed()
    return store


def sql(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)


@contextmanager
def table_of(*models: Any) -> Iterator[None]:
    """Make the tables of models for a while."""
    with connection.schema_editor() as editor:
        for model in models:
            editor.create_model(model)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            for model in reversed(models):
                editor.delete_model(model)


def rows_of(model: Any) -> Any:
    return model.objects


def rows(store: SyncSession) -> Any:
    return Session.objects.filter(pk=store.row.pk)


# Each announces the session (s), its user (u), or that all may have changed (*).
ANNOUNCED: dict[str, tuple[str, Callable[[SyncSession, User], Any]]] = {
    "revoke": ("s", lambda store, user: sessions.revoke(store.row)),
    "revoke_all": ("s", lambda store, user: sessions.revoke_all(user)),
    "sign-out": ("s", lambda store, user: store.flush()),
    "rotation": ("s", lambda store, user: store.store.cycle_key()),
    "shorter expiry": (
        "s",
        lambda store, user: rows(store).update(expires_at=timezone.now()),
    ),
    "longer expiry": (
        "s",
        lambda store, user: rows(store).update(expires_at=timezone.now() + timedelta(days=99)),
    ),
    "another user": ("s", lambda store, user: rows(store).update(user=None)),
    "DELETE": ("s", lambda store, user: sql(f"DELETE FROM {TABLE}")),
    "UPDATE": ("s", lambda store, user: sql(f"UPDATE {TABLE} SET ended_at = now()")),
    "TRUNCATE": ("*", lambda store, user: sql(f"TRUNCATE {TABLE}")),
    "deleted user": ("su", lambda store, user: user.delete()),
    "raw deletion of a user": (
        "u",
        lambda store, user: User.objects.filter(pk=user.pk)._raw_delete("default"),
    ),
    "deactivation": ("u", lambda store, user: User.objects.update(is_active=False)),
    "new name": ("u", lambda store, user: User.objects.update(first_name="Alicia")),
    "UPDATE of the user": ("u", lambda store, user: sql("UPDATE auth_user SET is_staff = true")),
    "last_login": ("u", lambda store, user: User.objects.update(last_login=timezone.now())),
    "new password": ("u", lambda store, user: set_password(user)),
    "TRUNCATE of users": ("*", lambda store, user: sql("TRUNCATE auth_user CASCADE")),
}

SILENT: dict[str, Callable[[SyncSession, User], Any]] = {
    "touch": lambda store, user: rows(store).update(
        last_seen_at=timezone.now(), updated_at=timezone.now(), version=99
    ),
    "data": lambda store, user: save(store),
    "nothing": lambda store, user: sql(f"UPDATE {TABLE} SET user_id = user_id"),
    "new session": lambda store, user: Session.objects.create(
        token_digest="f" * 64, user=user, expires_at=timezone.now()
    ),
    "new user": lambda store, user: User.objects.create_user("eve"),
    "nothing of the user": lambda store, user: user.save(),
}


def set_password(user: User) -> None:
    user.set_password("another")
    user.save()


def save(store: SyncSession) -> None:
    store.set("colour", "red")
    store.save()


def said(kinds: str, store: SyncSession, user_key: Any) -> set[str]:
    return {{"s": f"s {store.row.pk}", "u": f"u {user_key}", "*": "*"}[kind] for kind in kinds}


@pytest.mark.parametrize("name", ANNOUNCED)
def test_what_decides_about_a_session_is_announced(
    name: str, signed_in: SyncSession, alice: User, installed: Ear
):
    kinds, act = ANNOUNCED[name]
    expected = said(kinds, signed_in, alice.pk)
    act(signed_in, alice)
    assert installed() == expected


@pytest.mark.parametrize("name", ANNOUNCED)
def test_a_rollback_announces_nothing(
    name: str, signed_in: SyncSession, alice: User, installed: Ear
):
    with transaction.atomic():
        ANNOUNCED[name][1](signed_in, alice)
        transaction.set_rollback(True)
    assert installed() == set()


@pytest.mark.parametrize("name", ANNOUNCED)
def test_replication_does_not_silence_it(
    name: str, signed_in: SyncSession, alice: User, installed: Ear
):
    kinds, act = ANNOUNCED[name]
    expected = said(kinds, signed_in, alice.pk)
    sql("SET session_replication_role = replica")
    try:
        act(signed_in, alice)
    finally:
        sql("RESET session_replication_role")
    assert installed() == expected


@pytest.mark.parametrize("name", SILENT)
def test_what_decides_nothing_is_silent(
    name: str, signed_in: SyncSession, alice: User, installed: Ear
):
    SILENT[name](signed_in, alice)
    assert installed() == set()


def test_the_purge_is_silent(alice: User, installed: Ear):
    now = timezone.now()
    Session.objects.bulk_create(
        Session(token_digest=f"{number:064x}", user=alice if number % 2 else None, expires_at=then)
        for number, then in enumerate([now - timedelta(days=1), now - timedelta(days=99)] * 4)
    )
    purging.purge(Session.objects.all())
    assert Session.objects.count() < 8
    assert installed() == set()


def test_what_has_just_expired_is_announced_because_clocks_differ(
    signed_in: SyncSession, installed: Ear
):
    rows(signed_in).update(expires_at=timezone.now() - timedelta(minutes=50))
    installed()
    rows(signed_in).delete()
    assert installed() == said("s", signed_in, None)


def test_what_has_ended_already_is_silent(signed_in: SyncSession, installed: Ear):
    sessions.revoke(signed_in.row)
    installed()
    rows(signed_in).delete()
    assert installed() == set()


def test_many_rows_in_one_statement_are_announced_each(alice: User, installed: Ear):
    keys = set()
    for _ in range(20):
        store = SyncSession()
        sign_in(store, alice)
        keys.add(f"s {store.row.pk}")
    sessions.revoke_all(alice)
    assert installed() == keys


# What else there may be


def test_a_model_of_a_project_announces_its_own_columns_too(alice: User, ear: Ear):
    triggers.install(DeviceSession, "default")
    try:
        assert DeviceSession._meta.db_table in triggers.states(DeviceSession, "default")
        row = DeviceSession.objects.create(
            token_digest="f" * 64, user=alice, expires_at=timezone.now() + timedelta(days=1)
        )
        ear()
        DeviceSession.objects.update(note="changed")
        assert ear() == {f"s {row.pk}"}
        DeviceSession.objects.update(session_data="silent")
        assert ear() == set()
    finally:
        triggers.remove(DeviceSession, "default")


class JSONTextField(models.Field):  # type: ignore[type-arg]
    """The type json, which has no operator =."""

    def db_type(self, connection: Any) -> str:
        return "json"


class CaselessField(models.Field):  # type: ignore[type-arg]
    """Text that PostgreSQL takes for equal where only the case differs."""

    def db_type(self, connection: Any) -> str:
        return 'text COLLATE "tests_caseless"'


@pytest.fixture
def _caseless() -> Iterator[None]:
    sql(
        "CREATE COLLATION tests_caseless"
        " (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )
    yield
    sql("DROP COLLATION tests_caseless")


def users_are(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    """Have the triggers take this model for that of users."""
    monkeypatch.setattr(Session._meta.get_field("user"), "related_model", model)


@pytest.mark.usefixtures("_caseless")
@isolate_apps("tests.leasing")
def test_names_that_need_quotes_and_types_without_equality(
    monkeypatch: pytest.MonkeyPatch, ear: Ear
):
    class Odd(models.Model):
        key = models.TextField("key", primary_key=True, db_column="Key's")
        settings = JSONTextField(db_column="select")
        address = CaselessField()

        class Meta:
            app_label = "leasing"
            db_table = "Odd user's"

    users_are(monkeypatch, Odd)
    with table_of(Odd):
        triggers.install(Session, "default")
        assert triggers.states(Session, "default")["Odd user's"] == "installed"
        for key in ("ada", "o'hara %s"):
            rows_of(Odd).create(key=key, settings="{}", address="ada@example.com")
        for change in ({"settings": "[]"}, {"address": "Ada@example.com"}):
            rows_of(Odd).filter(key="ada").update(**change)
            assert ear() == {"u ada"}, change
        rows_of(Odd).filter(key="o'hara %s").delete()
        assert ear() == {"u o'hara %s"}
        triggers.install(Session, "default")
        assert triggers.missing(Session, "default") == []
        triggers.remove(Session, "default")
        assert set(triggers.states(Session, "default").values()) == {"missing"}


@isolate_apps("tests.leasing")
def test_users_by_multi_table_inheritance_are_announced_by_the_key_that_sessions_have(
    monkeypatch: pytest.MonkeyPatch, ear: Ear
):
    class Base(models.Model):
        id = models.BigAutoField(primary_key=True)
        password = models.TextField()

        class Meta:
            app_label = "leasing"

    class Badge(models.Model):
        number = models.BigAutoField(primary_key=True)
        is_valid = models.BooleanField(default=True)

        class Meta:
            app_label = "leasing"

    class Member(Base, Badge):
        is_active = models.BooleanField(default=True)

        class Meta:
            app_label = "leasing"

    class Shown(Member):
        class Meta:
            app_label = "leasing"
            proxy = True

    users_are(monkeypatch, Shown)
    with table_of(Base, Badge, Member):
        triggers.install(Session, "default")
        assert len(triggers.states(Session, "default")) == 4
        # Numbers of badges go their own way.
        rows_of(Badge).create()
        member = rows_of(Member).create(password="a")
        assert member.pk == member.id != member.number
        for change in ({"password": "b"}, {"is_active": False}):
            rows_of(Member).filter(pk=member.pk).update(**change)
            assert ear() == {f"u {member.pk}"}, change
        rows_of(Member).filter(pk=member.pk).update(is_valid=False)
        assert ear() == {"*"}
        triggers.remove(Session, "default")


@isolate_apps("tests.leasing")
def test_migrations_can_change_columns_of_a_table_with_triggers(
    monkeypatch: pytest.MonkeyPatch, ear: Ear
):
    """PostgreSQL refuses to alter the type of a column that the condition of a trigger names."""

    class Person(models.Model):
        name = models.CharField(max_length=10)

        class Meta:
            app_label = "leasing"

    longer: Any = models.TextField()
    longer.set_attributes_from_name("name")
    more: Any = models.IntegerField(default=0)
    more.set_attributes_from_name("more")
    users_are(monkeypatch, Person)
    with table_of(Person):
        triggers.install(Session, "default")
        person = rows_of(Person).create(name="Ada")
        with connection.schema_editor() as editor:
            editor.alter_field(Person, Person._meta.get_field("name"), longer)
            editor.add_field(Person, more)
        assert triggers.states(Session, "default")[Person._meta.db_table] == "installed"
        sql(f"UPDATE {Person._meta.db_table} SET more = 1")
        assert ear() == {f"u {person.pk}"}
        with connection.schema_editor() as editor:
            editor.remove_field(Person, more)
        sql(f"UPDATE {Person._meta.db_table} SET name = 'Eve'")
        assert ear() == {f"u {person.pk}"}


@isolate_apps("tests.leasing")
def test_a_silent_column_may_have_any_name_and_may_be_removed(ear: Ear):
    class Odd(models.Model):
        name = models.TextField()
        quiet = models.TextField(db_column="Quiet one")

        class Meta:
            app_label = "leasing"

    table = triggers._table(Odd, "u", ("quiet",))
    with table_of(Odd):
        for statement in triggers.install_sql(table):
            sql(statement)
        odd = rows_of(Odd).create(name="a", quiet="a")
        rows_of(Odd).update(quiet="b")
        assert ear() == set()
        rows_of(Odd).update(name="b")
        assert ear() == {f"u {odd.pk}"}
        with connection.schema_editor() as editor:
            editor.remove_field(Odd, Odd._meta.get_field("quiet"))
        # The function names that column; the statement must not fail for it.
        sql(f"UPDATE {table.name} SET name = 'c'")
        assert ear() == {"*"}
        for statement in triggers.remove_sql(table):
            sql(statement)


def test_a_schema_of_the_search_path_has_triggers_of_its_own(alice: User, ear: Ear):
    sql("CREATE SCHEMA tests_lease")
    sql("SET search_path TO tests_lease, public")
    try:
        sql(f"CREATE TABLE tests_lease.{TABLE} (LIKE public.{TABLE} INCLUDING ALL)")
        triggers.install(Session, "default")
        assert set(triggers.states(Session, "default").values()) == {"installed"}
        row = Session.objects.create(
            token_digest="f" * 64, user=alice, expires_at=timezone.now() + timedelta(days=1)
        )
        sessions.revoke(row)
        assert ear() == {f"s {row.pk}"}
        sql("SET search_path TO public")
        assert triggers.states(Session, "default") == {TABLE: "missing", "auth_user": "installed"}
    finally:
        sql("SET search_path TO tests_lease, public")
        triggers.remove(Session, "default")
        sql("RESET search_path")
        sql("DROP SCHEMA tests_lease CASCADE")
    assert Session.objects.count() == 0


class UsersElsewhere:
    """A router that keeps users in another database than sessions."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "other" if model is User else None

    db_for_write = db_for_read


class UsersReadElsewhere(UsersElsewhere):
    """A router that reads users from a replica."""

    def db_for_write(self, model: Any, **hints: Any) -> None:
        return None


def test_users_in_another_database_have_no_triggers_here(settings: Any, ear: Ear):
    settings.DATABASE_ROUTERS = [UsersElsewhere()]
    triggers.install(Session, "default")
    assert triggers.states(Session, "default") == {TABLE: "installed"}
    settings.DATABASE_ROUTERS = [UsersReadElsewhere()]
    assert triggers.states(Session, "default")["auth_user"] == "missing"


# How they come, are seen and go


def test_what_is_not_as_it_should_be_is_told_apart(installed: Ear):
    (users,) = [table for table in triggers.tables_of(Session) if table.kind == "u"]
    name = users.triggers["update"]
    assert triggers.states(Session, "default")["auth_user"] == "installed"
    # Without ALWAYS, replication silences it.
    for how in ("DISABLE", "ENABLE", "ENABLE REPLICA"):
        sql(f"ALTER TABLE auth_user {how} TRIGGER {name}")
        assert triggers.states(Session, "default")["auth_user"] == "disabled", how
    sql(f"ALTER TRIGGER {name} ON auth_user RENAME TO sessions_lease_update_00000000")
    assert triggers.states(Session, "default")["auth_user"] == "outdated"
    assert triggers.missing(Session, "default") == ["auth_user"]
    triggers.install(Session, "default")
    assert triggers.missing(Session, "default") == []


def test_the_echo_finds_what_is_missing_and_who_answers(installed: Ear):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()

    def ask(pid: int = pid) -> None:
        with connection.cursor() as cursor:
            cursor.execute(*triggers.echo(Session, "default"))
            triggers.expect_all(cursor.fetchone(), pid)

    ask()
    # A pooler tells each client a number of its own, and its servers answer with theirs.
    with pytest.raises(UnheardError, match="pooler"):
        ask(pid + 1)
    with pytest.raises(UnheardError, match="standby"):
        triggers.expect_all((0, True, pid), pid)
    sql("ALTER TABLE auth_user DISABLE TRIGGER USER")
    with pytest.raises(UnheardError, match="3 triggers"):
        ask()
    triggers.remove(Session, "default")
    with pytest.raises(UnheardError, match="6 triggers"):
        ask()


def test_removed_they_leave_nothing_and_take_nothing_of_others(ear: Ear):
    sql(
        "CREATE FUNCTION tests_of_others() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    )
    sql(
        "CREATE TRIGGER sessionslease_x AFTER INSERT ON auth_user EXECUTE FUNCTION tests_of_others()"
    )
    try:
        for act in (triggers.install, triggers.install, triggers.remove, triggers.remove):
            act(Session, "default")
        with connection.cursor() as cursor:
            cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
            assert cursor.fetchall() == [("sessionslease_x",)]
            names = [table.function for table in triggers.tables_of(Session)]
            cursor.execute("SELECT count(*) FROM pg_proc WHERE proname = ANY(%s)", [names])
            assert cursor.fetchone() == (0,)
    finally:
        sql("DROP FUNCTION tests_of_others() CASCADE")
