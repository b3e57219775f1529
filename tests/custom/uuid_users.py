"""Sessions of people whose keys are UUIDs; run by test_custom_model.py, in a process of its own."""

import json
from io import StringIO
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import AsyncClient, Client

from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.fastpath import compiled
from django_sessions_plus.jwt.refresh import refresh
from django_sessions_plus.models import Session

pytestmark = pytest.mark.django_db

User = get_user_model()


@pytest.fixture
def ada():
    user = User(email="ada@example.com")
    user.set_password("lovelace")
    user.save()
    return user


def sign_in(path="sign_in"):
    client = Client()
    client.get(f"/{path}?email=ada@example.com")
    return client


def test_the_key_is_a_uuid():
    assert User._meta.pk.get_internal_type() == "UUIDField"


def test_our_migrations_fit_any_user_model():
    out = StringIO()
    call_command("makemigrations", "django_sessions_plus", check=True, dry_run=True, stdout=out)
    assert "No changes" in out.getvalue()


@pytest.mark.parametrize("path", ["sign_in", "asign_in"])
def test_a_sign_in_is_a_row_of_its_user_and_one_query_reads_both(
    ada, path, django_assert_num_queries
):
    client = sign_in(path)
    row = Session.objects.get()
    assert row.user == ada
    assert isinstance(row.user_id, UUID)
    with django_assert_num_queries(1):
        assert client.get("/who").content == b"ada@example.com"


def test_signing_in_again_and_saving_keep_the_user(ada):
    client = sign_in()
    client.get("/put?cart=1")
    client.get("/sign_in?email=ada@example.com")
    row = Session.objects.get()
    assert row.user == ada
    assert row.get_decoded()["cart"] == "1"


def test_list_revoke_and_sign_out_work(ada):
    here, there = sign_in(), sign_in()
    assert sessions.list_for(ada).count() == sessions.list_for(str(ada.pk)).count() == 2
    here.get("/sign_out")
    assert here.get("/who").content == b"nobody"
    assert Session.objects.ended().get().ended_by == ada
    assert sessions.revoke_all(ada, actor=ada) == 1
    assert there.get("/who").content == b"nobody"


def test_a_changed_password_and_a_deactivation_end_sessions(
    ada, django_capture_on_commit_callbacks
):
    for change in ("set_password", "deactivate"):
        client = sign_in()
        with django_capture_on_commit_callbacks(execute=True):
            if change == "set_password":
                ada.set_password("byron")
            else:
                ada.is_active = False
            ada.save()
        assert client.get("/who").content == b"nobody"
    reasons = Session.objects.values_list("end_reason", flat=True)
    assert sorted(reasons) == ["password_changed", "user_deactivated"]


@pytest.mark.parametrize("value", ["1", "nobody", "", 10**40, -1, 1.5, [], {}])
def test_what_is_no_uuid_is_nobody_s_session(value):
    """As after a change of the user model, when sessions still name people by number."""
    store = SessionStore()
    store["_auth_user_id"] = value
    store.save()
    assert Session.objects.get().user_id is None
    assert Client(headers={"cookie": f"sessionid={store.session_key}"}).get("/untouched")


def test_the_api_signs_in_lists_and_signs_out(ada):
    client = Client()
    body = json.dumps({"username": "ada@example.com", "password": "lovelace"})
    signed_in = client.post("/auth/sign-in", body, content_type="application/json")
    assert signed_in.status_code == 200, signed_in.content
    assert client.get("/auth/session").json()["user"]["id"] == str(ada.pk)
    (listed,) = client.get("/auth/sessions").json()["results"]
    assert listed["id"] == str(Session.objects.get().pk)
    assert client.post("/auth/sign-out").status_code == 204
    assert client.get("/auth/session").json()["user"] is None


def test_coroutines_know_their_user_too(ada):
    @async_to_sync
    async def story():
        client = AsyncClient()
        await client.get("/asign_in?email=ada@example.com")
        return (await client.get("/awho")).content

    assert story() == b"ada@example.com"


def test_refresh_tokens_know_people_by_a_uuid(ada):
    sign_in()
    row = Session.objects.get()
    pair = refresh(sessions.issue_tokens(row).refresh)
    assert refresh(pair.refresh).refresh != pair.refresh
    row.refresh_from_db()
    assert (row.user, row.is_active()) == (ada, True)
    # By statements that were compiled once, in which the session's key and the user's are told apart.
    names = {key[3].__name__ for key, kept in compiled._statements.items() if kept is not None}
    assert {"still_signed_in", "unrefreshed"} <= names
