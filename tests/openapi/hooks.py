"""Who Schemathesis is, loaded by it as SCHEMATHESIS_HOOKS.

TRANSPORT says by what means its requests are authenticated. What ends or rotates the
session makes the next request sign in anew, so that not all of them are refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import requests
import schemathesis

SITE = os.environ["SITE"]
TRANSPORT = os.environ["TRANSPORT"]
USER = {"username": os.environ["SITE_USER"], "password": os.environ["SITE_PASSWORD"]}

# After these the credentials may be no good any more.
SPENDING = {"/auth/sign-out", "/auth/reauthenticate", "/auth/sessions/revoke"}
SIGNING_IN = "/auth/sign-in"
REFRESHING = "/auth/token/refresh"
DELETING = "/auth/sessions/{id}"
TAKING_A_TOKEN = {"/oauth/introspect", "/oauth/revoke"}
TIMEOUT = 60

# Every other request that is right in form is right in substance as well.
_turns = cycle([True, False])


@dataclass
class Visit:
    """A session somebody is signed in to."""

    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    id: str = ""


_visit: list[Visit] = []


def sign_in(transport: str, **more: Any) -> tuple[dict[str, Any], requests.Session]:
    """Sign in and return the answer, and a client that has its cookies."""
    client = requests.Session()
    client.get(f"{SITE}/auth/session", timeout=TIMEOUT)
    body = {**USER, "transport": transport, **more}
    headers = {"X-CSRFToken": str(client.cookies["csrftoken"])}
    answer = client.post(f"{SITE}/auth/sign-in", json=body, headers=headers, timeout=TIMEOUT)
    answer.raise_for_status()
    return answer.json(), client


def visit() -> Visit:
    """Return the present visit, or a new one."""
    if not _visit:
        _visit.append(_begin())
    return _visit[0]


def _begin() -> Visit:
    if TRANSPORT == "nobody":
        return Visit()
    body, client = sign_in(TRANSPORT)
    session_id = body["session"]["id"]
    if TRANSPORT == "cookie":
        cookies = {name: str(value) for name, value in client.cookies.items()}
        return Visit({"X-CSRFToken": cookies["csrftoken"]}, cookies, session_id)
    token = body.get("token") or body["access"]
    return Visit({"Authorization": f"Bearer {token}"}, {}, session_id)


@schemathesis.auth(refresh_interval=None)
class Authentication:
    """Puts the credentials of the visit into a request."""

    def get(self, case: Any, context: Any) -> Visit:
        """Return them."""
        return visit()

    def set(self, case: Any, data: Visit, context: Any) -> None:
        """Put them in."""
        case.headers = {**(case.headers or {}), **data.headers}
        case.cookies = {**(case.cookies or {}), **data.cookies}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Make what is right in form right in substance, every other time."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    path = case.operation.path
    if path == REFRESHING or isinstance(case.body, dict):
        # Who refreshes by cookie needs no body.
        case.body = case.body if isinstance(case.body, dict) else {}
        _keep_what_no_schema_can_say(path, case.body)
    if not next(_turns):
        return
    if isinstance(case.body, dict):
        case.body.update({name: text for name, text in USER.items() if name in case.body})
    if path == REFRESHING:
        case.body = {"refresh": sign_in("jwt")[0]["refresh"]}
    if path in TAKING_A_TOKEN:
        case.body["token"] = next(_tokens)()
    if path == DELETING and TRANSPORT != "nobody":
        case.path_parameters["id"] = next(_ids)()


def _keep_what_no_schema_can_say(path: str, body: dict[str, Any]) -> None:
    """A refresh cookie is for one transport, and a refresh without one needs a token."""
    transport = body.get("transport") if path == SIGNING_IN else TRANSPORT
    if transport != "jwt":
        body.pop("refresh_cookie", None)
    if path == REFRESHING:
        body.setdefault("refresh", "rt1.x")


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Sign in anew before the next request, where this one may have ended the session."""
    path = case.operation.path
    if path in SPENDING or path == DELETING or response.status_code == 401:
        _visit.clear()


_ids = cycle([lambda: visit().id, lambda: sign_in("bearer")[0]["session"]["id"]])
_tokens = cycle(
    [
        lambda: sign_in("bearer")[0]["token"],
        lambda: sign_in("jwt")[0]["access"],
        lambda: sign_in("jwt")[0]["refresh"],
    ]
)
