"""The token is where it must be and nowhere else."""

import logging

import pytest
from django.test import override_settings
from django.views.debug import ExceptionReporter

from django_sessions_plus import tokens
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session
from tests.api.conftest import PASSWORD
from tests.api.test_sign_in_jwt import sign_in

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


def test_by_jwt_tokens_are_told_once_and_the_session_token_never(service, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    made, told = [], []
    secrets = {service.token, service.refresh_token}

    def make_token():
        made.append(real())
        return made[-1]

    real = tokens.make_token
    monkeypatch.setattr(tokens, "make_token", make_token)
    first = service.refresh_token
    for step in (
        *JOURNEY[:4],
        ("post", "token/refresh", {"refresh": "latest"}),
        ("post", "token/refresh", {"refresh": first}),
        ("post", "token/refresh", {"refresh": "not one"}),
        ("get", "session", None),
        *JOURNEY,
        ("post", "token/refresh", {"refresh": "latest"}),
    ):
        method, name, data = step
        body = {"refresh": service.refresh_token} if data == {"refresh": "latest"} else data
        answer = service.send(method, name, body)
        content = answer.json() if answer.content else {}
        if "access" in content:
            service.token, service.refresh_token = content.pop("access"), content.pop("refresh")
            secrets |= {service.token, service.refresh_token}
        assert not {"sessionid", "csrftoken"} & answer.cookies.keys()
        told.append(str(content) + str(answer.headers))
        row = Session.objects.get()
        secrets |= {row.token_digest, row.refresh_digest}
    # Of the rotations by password.
    assert len(made) == 2
    for secret in {*secrets, *made, PASSWORD}:
        assert secret not in "".join(told) + caplog.text


def test_by_refresh_cookie_the_refresh_token_is_in_set_cookie_and_nowhere_else(browser, caplog):
    caplog.set_level(logging.DEBUG)
    told, secrets = [], set()
    answers = [sign_in(browser, refresh_cookie=True)]
    secrets.add(browser.cookies["refresh_token"].value)
    headers = {"X-CSRFToken": browser.cookies["csrftoken"].value}
    for _ in range(3):
        answers.append(browser.send("post", "token/refresh", headers=headers))
        secrets.add(browser.cookies["refresh_token"].value)
        Session.objects.update(refreshed_at=None)
    for answer in answers:
        assert answer.status_code == 200
        told.append(answer.content.decode() + str(answer.headers))
    assert len(secrets) == 4
    for secret in secrets:
        assert secret not in "".join(told) + caplog.text


def test_error_reports_show_no_tokens(service, monkeypatch):
    """A database that fails in the middle of it; everything a report would show of our own frames."""

    def fail(*args, **kwargs):
        raise RuntimeError("a defect")

    monkeypatch.setattr(SessionStore, "open_by_id", fail)
    service.raise_request_exception = False
    for ask in (lambda: service.send("get", "session"), service.refresh):
        with override_settings(DEBUG=False):
            answer = ask()
        assert answer.status_code == 500
        reporter = ExceptionReporter(answer.wsgi_request, *answer.exc_info)
        shown = str(
            [
                frame["vars"]
                for frame in reporter.get_traceback_frames()
                if "django_sessions_plus" in frame["filename"]
            ]
        )
        assert len(shown) > 100
        assert service.token not in shown
        assert service.refresh_token not in shown


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
