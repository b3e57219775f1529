"""A project with columns of its own on the session, and one whose users have UUIDs for keys."""

import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.management import call_command
from django.test import AsyncClient, Client
from django.utils import timezone

from django_sessions_plus import sessions, tokens
from django_sessions_plus.exceptions import InactiveSessionError, StaleSessionError
from django_sessions_plus.jwt.refresh import refresh
from django_sessions_plus.models import Session
from tests.custom.engine import DeviceSession, SessionStore

ROOT = Path(__file__).resolve().parent.parent
User = get_user_model()


@pytest.fixture(autouse=True)
def custom_engine(settings):
    settings.SESSION_ENGINE = "tests.custom.engine"
    settings.ROOT_URLCONF = "tests.custom.urls"


@pytest.fixture
def ada(db):
    return User.objects.create_user("ada", "ada@example.com", "lovelace")


def sign_in(path="sign_in"):
    client = Client(REMOTE_ADDR="203.0.113.7", headers={"user-agent": "curl/8.6.0"})
    client.get(f"/{path}?email=ada@example.com")
    return client


def test_the_model_in_use_is_the_configured_engine_s(settings):
    assert sessions.session_model() is DeviceSession
    assert SessionStore.get_model_class() is DeviceSession
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    assert sessions.session_model() is Session


def test_the_model_keeps_the_columns_indexes_and_manager_of_the_abstract_one():
    assert {field.name for field in Session._meta.fields} < {
        field.name for field in DeviceSession._meta.fields
    }
    assert len(DeviceSession._meta.indexes) == len(Session._meta.indexes)
    ours, theirs = ({i.name for i in m._meta.indexes} for m in (Session, DeviceSession))
    assert not ours & theirs
    assert type(DeviceSession.objects) is type(Session.objects)


def test_the_checks_of_django_have_nothing_against_it():
    assert checks.run_checks(app_configs=[apps.get_app_config("custom")]) == []


@pytest.mark.django_db
def test_our_migrations_are_complete():
    out = StringIO()
    with suppress(SystemExit):
        call_command("makemigrations", "django_sessions_plus", check=True, dry_run=True, stdout=out)
    assert out.getvalue() == "No changes detected in app 'django_sessions_plus'\n"


@pytest.mark.parametrize("path", ["sign_in", "asign_in"])
def test_a_sign_in_is_a_row_of_the_custom_model(ada, path):
    sign_in(path)
    row = DeviceSession.objects.get()
    assert (row.user, row.ip_address, row.user_agent) == (ada, "203.0.113.7", "curl/8.6.0")
    assert row.is_active()
    assert not Session.objects.exists()
    assert row.get_decoded()["_auth_user_id"] == str(ada.pk)


@pytest.mark.parametrize("put", ["put", "aput"])
def test_columns_follow_the_data(ada, put):
    client = sign_in()
    client.get(f"/{put}?tenant=acme&account=7")
    row = DeviceSession.objects.get()
    assert (row.tenant, row.account_id) == ("acme", 7)
    client.get(f"/{put}?tenant=other")
    row.refresh_from_db()
    assert (row.tenant, row.account_id) == ("other", 7)


@pytest.mark.django_db
def test_a_new_session_has_its_columns_at_once(statements):
    store = SessionStore()
    store["tenant"] = "acme"
    with statements() as executed:
        store.save()
    assert [sql.partition(" ")[0] for sql in executed] == ["INSERT"]
    assert DeviceSession.objects.get().tenant == "acme"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_save_resets_no_column_it_does_not_mean(ada, is_async):
    client = sign_in()
    client.get("/put?tenant=acme")
    DeviceSession.objects.update(note="kept", ip_address="198.51.100.4")
    # A store without a request knows neither address nor user agent.
    store = SessionStore(client.cookies["sessionid"].value)
    if is_async:
        async_to_sync(store.aset)("cart", 1)
        async_to_sync(store.asave)()
    else:
        store["cart"] = 1
        store.save()
    row = DeviceSession.objects.get()
    assert (row.note, row.tenant, row.user) == ("kept", "acme", ada)
    assert (row.ip_address, row.user_agent) == ("198.51.100.4", "curl/8.6.0")
    assert row.get_decoded()["cart"] == 1


def test_a_save_writes_a_column_only_when_it_differs(ada):
    client = sign_in()
    client.get("/put?tenant=acme")
    store = SessionStore(client.cookies["sessionid"].value)
    store["cart"] = 1
    # Changed by somebody else and for good: the row the store knows still says what the data says.
    store.load_if_needed()
    DeviceSession.objects.update(tenant="moved")
    store.save()
    assert DeviceSession.objects.get().tenant == "moved"


def test_parallel_changes_are_merged_columns_included(ada):
    token = sign_in().cookies["sessionid"].value
    one, other = SessionStore(token), SessionStore(token)
    one["tenant"], other["account"] = "acme", 7
    one.save()
    other.save()
    row = DeviceSession.objects.get()
    assert (row.tenant, row.account_id) == ("acme", 7)
    assert row.get_decoded().items() >= {"tenant": "acme", "account": 7}.items()


def test_rotation_keeps_the_row_and_its_columns(ada):
    client = sign_in()
    client.get("/put?tenant=acme")
    DeviceSession.objects.update(note="kept")
    before, old = DeviceSession.objects.get(), client.cookies["sessionid"].value
    client.get("/rotate")
    client.get("/sign_in?email=ada@example.com")
    after, new = DeviceSession.objects.get(), client.cookies["sessionid"].value
    assert new != old
    assert after.token_digest == tokens.digest(new)
    assert (after.pk, after.created_at) == (before.pk, before.created_at)
    assert (after.note, after.tenant) == ("kept", "acme")
    assert SessionStore(old).load_if_needed() == {}


def test_devices_are_listed_and_one_revoked_is_signed_out_at_once(ada):
    here, there = sign_in(), sign_in()
    listed = list(sessions.list_for(ada))
    assert len(listed) == 2
    assert all(type(row) is DeviceSession for row in listed)
    digest = tokens.digest(there.cookies["sessionid"].value)
    (other,) = (row for row in listed if row.token_digest == digest)
    assert sessions.revoke(other.pk, actor=ada) is True
    assert sessions.revoke(other.pk) is False
    assert (here.get("/who").content, there.get("/who").content) == (b"ada", b"nobody")
    ended = DeviceSession.objects.ended().get()
    assert (ended.end_reason, ended.ended_by, ended.session_data) == ("revoked", ada, "")


def test_refresh_tokens_are_on_the_custom_row(ada):
    token = sign_in().cookies["sessionid"].value
    row = DeviceSession.objects.get()
    first = refresh(sessions.issue_tokens(row).refresh)
    row.refresh_from_db()
    assert row.refreshed_at is not None
    assert refresh(first.refresh).refresh != first.refresh
    sessions.revoke(row)
    with pytest.raises(InactiveSessionError):
        refresh(first.refresh)
    assert SessionStore(token).load_if_needed() == {}


def test_revoke_others_keeps_the_current_session(ada):
    here, there = sign_in(), sign_in()
    keep = SessionStore(here.cookies["sessionid"].value)
    keep.load_if_needed()
    assert sessions.revoke_others(ada, keep=keep.row) == 1
    assert (here.get("/who").content, there.get("/who").content) == (b"ada", b"nobody")


def test_an_ended_session_is_never_written_again(ada):
    store = SessionStore(sign_in().cookies["sessionid"].value)
    store["tenant"] = "late"
    sessions.revoke_all(ada)
    with pytest.raises(StaleSessionError):
        store.save()
    assert DeviceSession.objects.get().tenant == ""


def test_signing_out_ends_the_row(ada):
    @async_to_sync
    async def story():
        client = AsyncClient()
        await client.get("/asign_in?email=ada@example.com")
        await client.get("/asign_out")
        return (await client.get("/awho")).content

    assert story() == b"nobody"
    assert DeviceSession.objects.get().end_reason == "signed_out"


def test_a_changed_password_ends_the_custom_rows(ada, django_capture_on_commit_callbacks):
    client = sign_in()
    with django_capture_on_commit_callbacks(execute=True):
        ada.set_password("byron")
        ada.save()
    assert client.get("/who").content == b"nobody"
    assert DeviceSession.objects.get().end_reason == "password_changed"


def test_the_limit_counts_custom_rows(ada, settings, django_capture_on_commit_callbacks):
    settings.SESSIONS_PLUS_MAX_PER_USER = 2
    for _ in range(4):
        with django_capture_on_commit_callbacks(execute=True):
            sign_in()
    assert DeviceSession.objects.active().count() == 2
    assert set(DeviceSession.objects.ended().values_list("end_reason", flat=True)) == {"limit"}


@pytest.mark.parametrize("is_async", [False, True])
def test_the_purge_takes_the_custom_rows_and_no_others(ada, settings, is_async):
    settings.SESSIONS_PLUS_RETENTION = timedelta(0)
    now = timezone.now()
    sign_in()
    DeviceSession.objects.update(expires_at=now - timedelta(days=1))
    alive = sign_in()
    Session.objects.create(token_digest="0" * 64, expires_at=now - timedelta(days=1))
    if is_async:
        async_to_sync(SessionStore.aclear_expired)()
    else:
        call_command("clearsessions")
    assert DeviceSession.objects.count() == 1
    assert alive.get("/who").content == b"ada"
    assert Session.objects.count() == 1


def test_deleting_a_user_takes_the_rows_along(ada):
    client = sign_in()
    ada.delete()
    assert not DeviceSession.objects.exists()
    assert client.get("/who").content == b"nobody"


def test_a_store_of_the_custom_engine_opens_no_row_of_another(ada, settings):
    token = sign_in().cookies["sessionid"].value
    settings.SESSION_ENGINE = "django_sessions_plus.backends.db"
    client = Client()
    client.cookies["sessionid"] = token
    assert client.get("/who").content == b"nobody"
    assert DeviceSession.objects.count() == 1


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uuid", "email"])
def test_users_may_have_other_keys_than_integers(kind):
    """In a process of its own, for a site has one user model: see tests/custom/*_users.py."""
    options = [f"--ds=tests.custom.{kind}_settings", "--noconftest", "-q", "-p", "no:cacheprovider"]
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"tests/custom/{kind}_users.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
