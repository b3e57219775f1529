"""One request to each view, with secrets in it, to be sent while the database fails.

Used by the test of local variables, and by the one that runs an error reporter (tests/neighbours).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.test import Client
from django.urls import include, path

from django_sessions_plus import sessions, tokens
from django_sessions_plus.jwt import access
from django_sessions_plus.jwt.refresh_token import RefreshToken

PASSWORD = "correct-horse-battery"
WRONG = "incorrect-horse-battery"
ATTEMPT = "0123456789abcdef0123456789abcdef"
AUDIENCE = "a service"
NOBODYS = "00000000-0000-7000-8000-000000000000"
FORM = "application/x-www-form-urlencoded"

urlpatterns = [
    path("auth/", include("django_sessions_plus.api.urls")),
    path("oauth/", include("django_sessions_plus.api.oauth_urls")),
    path("account/devices/", include("django_sessions_plus.urls")),
    path("admin/", admin.site.urls),
]


@dataclass
class Attempt:
    """A request that is about to be sent, and every secret that must not be found."""

    client: Client
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)

    def send(self) -> Any:
        client, headers = self.client, self.headers
        if isinstance(self.body, dict):
            return client.post(self.path, self.body, "application/json", headers=headers)
        if isinstance(self.body, str):
            return client.post(self.path, self.body, FORM, headers=headers)
        return client.generic(self.method, self.path, headers=headers)


def attempt(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Attempt:
    """Return a request with the secrets that a client of this kind sends."""
    secrets = {client.cookies[name].value for name in client.cookies}
    secrets |= {value.removeprefix("Bearer ") for value in headers.values()}
    for value in body.values() if isinstance(body, dict) else ():
        # What follows a word is no secret: a user's name, a transport.
        if isinstance(value, str) and len(value) > 15:
            secrets.add(value)
    return Attempt(client, method, path, body, headers, secrets - {""})


def by_cookie() -> tuple[Client, dict[str, str]]:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.get("/auth/session")
    headers = {"X-CSRFToken": client.cookies["csrftoken"].value}
    answer = client.post("/auth/sign-in", credentials(), "application/json", headers=headers)
    assert answer.status_code == 200
    return client, {"X-CSRFToken": client.cookies["csrftoken"].value}


def by_token(transport: str) -> tuple[Client, dict[str, str], dict[str, Any]]:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    body = credentials(transport=transport)
    answer = client.post("/auth/sign-in", body, "application/json").json()
    token = answer["access" if transport == "jwt" else "token"]
    return client, {"Authorization": f"Bearer {token}"}, answer


def credentials(**more: Any) -> dict[str, Any]:
    return {"username": "ada", "password": PASSWORD, **more}


Make = Callable[[], Attempt]


def sign_in(**more: Any) -> Make:
    def make() -> Attempt:
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        client.get("/auth/session")
        headers = {"X-CSRFToken": client.cookies["csrftoken"].value}
        return attempt(client, "post", "/auth/sign-in", credentials(**more), **headers)

    return make


def signed_in(kind: str, method: str, path: str, body: Any = None) -> Make:
    """Return what makes a request of somebody signed in by cookie or by a token."""

    def make() -> Attempt:
        if kind == "cookie":
            client, headers = by_cookie()
        else:
            client, headers, _ = by_token(kind)
        return attempt(client, method, path, body, **headers)

    return make


def refresh_by_body() -> Attempt:
    client, _, pair = by_token("jwt")
    body = {"refresh": pair["refresh"], "attempt": ATTEMPT}
    return attempt(client, "post", "/auth/token/refresh", body)


def refresh_by_cookie() -> Attempt:
    make = sign_in(transport="jwt", refresh_cookie=True)()
    answer = make.send()
    assert answer.status_code == 200
    headers = {"X-CSRFToken": make.client.cookies["csrftoken"].value}
    return attempt(make.client, "post", "/auth/token/refresh", {"attempt": ATTEMPT}, **headers)


def sign_out_by_refresh_cookie() -> Attempt:
    """What a page sends that has lost its access token."""
    made = refresh_by_cookie()
    return attempt(made.client, "POST", "/auth/sign-out", **made.headers)


def refresh_again() -> Attempt:
    """The token that was used before, which ends the session."""
    client, _, pair = by_token("jwt")
    body = {"refresh": pair["refresh"]}
    for _ in range(2):
        latest = client.post("/auth/token/refresh", body, "application/json").json()
        sessions.session_model().objects.update(refreshed_at=None)
        body = {"refresh": latest["refresh"]}
    return attempt(
        client, "post", "/auth/token/refresh", {"refresh": pair["refresh"], "attempt": ATTEMPT}
    )


def of_oauth(name: str, kind: str) -> Make:
    def make() -> Attempt:
        user = User.objects.get(username="ada")
        user.user_permissions.set(Permission.objects.filter(codename="introspect_token"))
        client, headers, _ = by_token("bearer")
        _, held, pair = by_token("bearer" if kind == "session" else "jwt")
        token = pair["refresh"] if kind == "refresh" else held["Authorization"][len("Bearer ") :]
        made = attempt(client, "post", f"/oauth/{name}", f"token={token}", **headers)
        made.secrets.add(token)
        return made

    return make


def page(method: str, name: str, stale: bool = False, **body: str) -> Make:
    def make() -> Attempt:
        client, headers = by_cookie()
        if stale:
            sessions.session_model().objects.update(authenticated_at=None)
        text = "&".join(f"{key}={value}" for key, value in body.items())
        made = attempt(client, method, f"/account/devices/{name}", text or None, **headers)
        made.secrets |= {value for value in body.values() if len(value) > 15}
        return made

    return make


def issue_in_admin(transport: str) -> Make:
    def make() -> Attempt:
        User.objects.filter(username="ada").update(is_staff=True, is_superuser=True)
        client, _ = by_cookie()
        bob, _ = User.objects.get_or_create(username="bob")
        address = f"/admin/django_sessions_plus/session/issue-token/{bob.pk}/"
        form = client.get(address).context
        csrf = form["csrf_token"]
        body = (
            f"csrfmiddlewaretoken={csrf}&once={form['once']}&name=job&transport={transport}&days="
        )
        made = attempt(client, "post", address, body)
        made.secrets |= {str(csrf)}
        return made

    return make


REQUESTS: dict[str, Make] = {
    "sign-in by cookie": sign_in(),
    "sign-in by bearer": sign_in(transport="bearer"),
    "sign-in by jwt": sign_in(transport="jwt"),
    "sign-in by refresh cookie": sign_in(transport="jwt", refresh_cookie=True),
    "sign-in with a wrong password": sign_in(password=WRONG),
    "refresh by body": refresh_by_body,
    "refresh by cookie": refresh_by_cookie,
    "refresh again": refresh_again,
    **{
        f"{name} by {kind}": signed_in(kind, method, address, body)
        for kind in ("cookie", "bearer", "jwt")
        for name, method, address, body in (
            ("session", "GET", "/auth/session", None),
            ("sessions", "GET", "/auth/sessions", None),
            ("end one", "DELETE", f"/auth/sessions/{NOBODYS}", None),
            ("revoke", "post", "/auth/sessions/revoke", {"scope": "all"}),
            ("sign-out", "POST", "/auth/sign-out", None),
            ("reauthenticate", "post", "/auth/reauthenticate", {"password": PASSWORD}),
        )
    },
    "sign-out by refresh cookie": sign_out_by_refresh_cookie,
    "token for a service": signed_in("cookie", "post", "/auth/token", {"audience": AUDIENCE}),
    "reauthenticate wrongly": signed_in(
        "bearer", "post", "/auth/reauthenticate", {"password": WRONG}
    ),
    **{
        f"{name} {kind}": of_oauth(name, kind)
        for name in ("introspect", "revoke")
        for kind in ("session", "access", "refresh")
    },
    "devices page": page("GET", ""),
    "end one on the page": page("post", f"{NOBODYS}/end/", x="1"),
    "end others": page("post", "end-others/", x="1"),
    "sign out on the page": page("post", "sign-out/", x="1"),
    "confirm password": page("post", "confirm-password/", stale=True, password=PASSWORD),
    "confirm wrongly": page("post", "confirm-password/", stale=True, password=WRONG),
    "issue a token": issue_in_admin("bearer"),
    "issue a pair": issue_in_admin("jwt"),
}
"""By what they do; each makes a new request, with a session of its own."""

# Each of these is tried by one transport; those that send a password, by all.
REPEATED = {
    *("session by bearer", "session by jwt", "sessions by cookie", "sessions by jwt"),
    *("end one by cookie", "end one by bearer", "revoke by bearer", "revoke by jwt"),
    *("sign-out by cookie", "sign-out by jwt"),
}
"""Those that say nothing new of what another one does by another transport."""


class Unplugged:
    """Fail the statement of this number, and all that follow, as a database that went away."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.has_failed = False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if self.left > 0:
            self.left -= 1
            return execute(sql, params, many, context)
        self.has_failed = True
        raise OperationalError("the database went away")


@contextmanager
def made_tokens(monkeypatch: Any) -> Iterator[set[str]]:
    """Collect every token that is made within the block."""
    made: set[str] = set()
    make_token, text, sign = tokens.make_token, RefreshToken.text, access._sign

    def note() -> str:
        made.add(token := make_token())
        return token

    def note_text(token: RefreshToken) -> str:
        made.add(spelled := text(token))
        return spelled

    def note_access(*args: Any) -> str:
        made.add(token := sign(*args))
        return token

    with monkeypatch.context() as patched:
        patched.setattr(access, "_sign", note_access)
        patched.setattr(tokens, "make_token", note)
        patched.setattr(RefreshToken, "text", note_text)
        yield made


def send_with_failure(made: Attempt, number: int) -> bool:
    """Send the request with the database failing from that statement on; tell whether it did fail."""
    fail = Unplugged(number)
    with connection.execute_wrapper(fail):
        made.send()
    return fail.has_failed
