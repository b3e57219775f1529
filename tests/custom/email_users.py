"""Sessions of users whose keys are e-mail addresses; run by test_custom_model.py, in a process of its own."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import AsyncClient, Client

from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session

pytestmark = pytest.mark.django_db

User = get_user_model()
# Without a top-level domain, as in many companies: EmailValidator refuses it.
ADDRESS = "ada@intranet"


@pytest.fixture
def ada():
    user = User(email=ADDRESS)
    user.set_password("lovelace")
    user.save()
    return user


def test_the_validator_refuses_the_key(ada):
    with pytest.raises(ValidationError):
        User._meta.pk.run_validators(ada.pk)


@pytest.mark.parametrize("path", ["sign_in", "asign_in"])
@pytest.mark.parametrize("who", ["who", "awho"])
def test_the_row_names_the_user_whom_the_request_has(ada, path, who):
    client = Client()
    client.get(f"/{path}?email={ADDRESS}")
    assert Session.objects.get().user == ada
    assert client.get(f"/{who}").content == ADDRESS.encode()
    assert sessions.list_for(ada).count() == 1
    assert sessions.revoke_all(ada) == 1
    assert client.get(f"/{who}").content == b"nobody"


def test_the_api_serves_such_a_user_by_every_transport(ada):
    for transport in ("cookie", "bearer", "jwt"):
        client = Client()
        body = json.dumps({"username": ADDRESS, "password": "lovelace", "transport": transport})
        answer = client.post("/auth/sign-in", body, content_type="application/json").json()
        token = answer.get("token") or answer.get("access")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        assert client.get("/auth/session", headers=headers).json()["user"]["id"] == ADDRESS
    assert sessions.list_for(ada).count() == 3


LONG = "a" * 60 + "@intranet"


def test_a_key_the_database_has_no_room_for_is_nobody_s(ada):
    """Where the database would store it, as SQLite does, it is used as it is."""
    if connection.vendor == "sqlite":
        User.objects.filter(pk=ADDRESS).update(email=LONG)
    store = SessionStore()
    store.update(signed_in(LONG))
    store.save()
    client = Client(headers={"cookie": f"sessionid={store.session_key}"})
    row = Session.objects.get()
    if connection.vendor == "sqlite":
        assert row.user_id == LONG
        assert client.get("/who").content == LONG.encode()
    else:
        assert row.user_id is None
        assert client.get("/who").content == b"nobody"


@pytest.mark.parametrize("value", ["\ud800@intranet", "nul\0@intranet"], ids=["surrogate", "NUL"])
def test_text_no_database_takes_is_nobody_s_and_no_error(ada, value):
    store = SessionStore()
    store.update(signed_in(value))
    store.save()
    headers = {"cookie": f"sessionid={store.session_key}"}
    assert Client(headers=headers).get("/who").content == b"nobody"

    @async_to_sync
    async def ask():
        return (await AsyncClient(headers=headers).get("/awho")).content

    assert ask() == b"nobody"


def signed_in(key):
    user = User(email=key, password=User.objects.get().password)
    return {
        "_auth_user_id": key,
        "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
        "_auth_user_hash": user.get_session_auth_hash(),
    }
