"""Sign in to the hostile project by both transports and use every endpoint."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import django
from django.core.management import call_command

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.api.hostile_site.settings"
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.test import Client  # noqa: E402
from drf_spectacular.drainage import GENERATOR_STATS  # noqa: E402
from drf_spectacular.generators import SchemaGenerator  # noqa: E402

from django_sessions_plus.api import schema  # noqa: E402, F401 - registers itself

SECRET = "correct horse"


class Json(Client):
    token = ""

    def send(self, method: str, name: str, body: Any = None, expect: int = 200) -> Any:
        headers = {"Accept": "application/xml; version=7"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        text = "" if body is None else json.dumps(body)
        answer = self.generic(
            method, f"/a/b/{name}", text, content_type="application/json", headers=headers
        )
        shown = (method, name, answer.status_code, answer.content)
        assert answer.status_code == expect, shown
        assert answer["Cache-Control"] == "no-store", shown
        if answer.status_code == 204:
            return None
        assert answer["Content-Type"] == "application/json", shown
        return answer.json()


def main() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    model = get_user_model()
    person = model(email="ada@example.com")
    person.set_password(SECRET)
    person.save()
    for transport in ("cookie", "bearer", "jwt"):
        visit(person, transport)
    check_schema()
    sys.stdout.write("all is well\n")


def visit(person: Any, transport: str) -> None:
    client = Json()
    nobody = {"session": None, "user": None}
    assert client.send("GET", "session") == nobody
    assert client.send("GET", "sessions", expect=401)["code"] == "not_authenticated"
    assert client.send("OPTIONS", "session", expect=405)["code"] == "method_not_allowed"
    assert client.send("POST", "sign-in", [], expect=400)["fields"].keys() == {"non_field_errors"}
    body = {"email": "ada@example.com", "password": "wrong", "transport": transport}
    assert client.send("POST", "sign-in", body, expect=401)["code"] == "invalid_credentials"
    signed_in = client.send("POST", "sign-in", body | {"password": SECRET})
    client.token = token_in(signed_in)
    check_user(signed_in["user"], person)
    moment = datetime.fromisoformat(signed_in["session"]["authenticated_at"])
    assert moment.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
    again = client.send("POST", "reauthenticate", {"password": SECRET})
    client.token = token_in(again)
    if transport == "jwt":
        refresh(client, again)
    assert len(client.send("GET", "sessions")["results"]) == 1
    assert client.send("DELETE", "sessions/x", expect=404)["code"] == "not_found"
    assert client.send("POST", "sessions/revoke", {"scope": "others"}) == {"revoked": 0}
    client.send("POST", "sign-out", expect=204)
    client.send("POST", "sign-out", expect=204)
    client.token = ""
    assert client.send("GET", "session") == nobody


def token_in(body: dict[str, Any]) -> str:
    return str(body.get("access", body.get("token", "")))


def refresh(client: Json, pair: dict[str, Any]) -> None:
    expires_at = datetime.fromisoformat(pair["refresh_expires_at"])
    assert abs(expires_at - datetime.now(UTC) - timedelta(days=14)) < timedelta(minutes=1)
    following = client.send("POST", "token/refresh", {"refresh": pair["refresh"]})
    assert following["refresh"] != pair["refresh"]
    assert client.send("POST", "token/refresh", {}, expect=400)["code"] == "invalid"
    assert client.send("GET", ".well-known/jwks.json", expect=404)["code"] == "not_found"
    client.token = following["access"]


def check_user(user: dict[str, Any], person: Any) -> None:
    assert user["id"] == str(person.pk)
    assert user["email"] == "ada@example.com"
    assert (user["portrait"], user["friend"], user["birthday"]) == ("", None, None)
    assert user["last_login"]
    assert not {"password", "nickname", "friends"} & user.keys()


def check_schema() -> None:
    made = SchemaGenerator().get_schema(public=True)
    assert not GENERATOR_STATS._warn_cache, GENERATOR_STATS._warn_cache
    user = made["components"]["schemas"]["UserSessionUser"]["properties"]
    key = {"type": "string", "format": "uuid"}
    assert (user["id"], user["friend"]) == (key, {**key, "nullable": True})
    assert user["portrait"] == {"type": "string"}
    assert user["birthday"] == {"type": "string", "format": "date", "nullable": True}
    assert not {"password", "nickname", "friends"} & user.keys()


main()
