"""The token is where it must be and nowhere else."""

import logging

import pytest

from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

JOURNEY = [
    ("get", "session", None),
    ("get", "sessions", None),
    ("post", "reauthenticate", {"password": PASSWORD}),
    ("post", "reauthenticate", {"password": "wrong"}),
    ("get", "session", None),
    ("delete", "sessions/x", None),
    ("post", "sessions/revoke", {"scope": "nobody"}),
    ("post", "sessions/revoke", {"scope": "others"}),
    ("get", "/mine", None),
    ("post", "sign-out", None),
    ("get", "sessions", None),
]


def test_by_cookie_the_token_is_in_set_cookie_and_nowhere_else(client, caplog):
    caplog.set_level(logging.DEBUG)
    told = []
    tokens, digests = set(), set()
    for step in (("post", "sign-in", {"username": "ada", "password": PASSWORD}), *JOURNEY):
        answer = client.send(*step)
        told.append(answer.content.decode() + str(answer.headers))
        if value := client.cookies["sessionid"].value:
            tokens.add(value)
        digests |= set(Session.objects.values_list("token_digest", flat=True))
    everything = "".join(told) + caplog.text
    assert len(tokens) == 2
    for secret in tokens | digests | {PASSWORD}:
        assert secret not in everything


def test_by_bearer_the_token_is_told_once(app, caplog):
    caplog.set_level(logging.DEBUG)
    told, secrets = [], {app.token}
    for step in JOURNEY:
        answer = app.send(*step)
        body = answer.json() if answer.content else {}
        if "token" in body:
            app.token = body.pop("token")
            secrets.add(app.token)
        assert not answer.cookies
        told.append(str(body) + str(answer.headers))
    secrets |= set(Session.objects.values_list("token_digest", flat=True))
    assert len(secrets) == 3
    for secret in secrets:
        assert secret not in "".join(told) + caplog.text
