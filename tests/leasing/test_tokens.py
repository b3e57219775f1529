"""Session tokens and access tokens in a header ride on the same memory."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.models import Session
from tests.api.conftest import ApiClient

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.urls")]


@pytest.fixture(params=["bearer", "jwt"])
def app(request: Any, memory: Memory, ada: User) -> ApiClient:
    app = ApiClient()
    assert app.take(app.sign_in(transport=request.param)).status_code == 200
    assert mine(app).status_code == 200
    return app


def mine(app: ApiClient) -> Any:
    return app.send("get", "/mine")


def queries(app: ApiClient) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert mine(app).status_code == 200
    return len(captured)


def test_the_second_request_takes_no_query(app):
    assert queries(app) == 0


def test_an_ended_session_is_refused_once_that_is_heard(app, memory):
    Session.objects.update(ended_at=timezone.now())
    memory.hear(f"s {Session.objects.get().pk}")
    assert mine(app).status_code == 401


def test_an_inactive_user_is_refused_once_that_is_heard(app, memory, ada):
    User.objects.update(is_active=False)
    memory.hear(f"u {ada.pk}")
    assert mine(app).status_code == 401


def test_a_changed_password_ends_it_once_that_is_heard(app, memory, ada):
    ada.set_password("another")
    ada.save()
    memory.hear(f"u {ada.pk}")
    assert mine(app).status_code == 401


def test_the_data_of_the_session_is_there(app, memory):
    answer = mine(app)
    session = answer.wsgi_request.session
    assert session.identity is not None
    session["n"] = 1
    session.save()
    again = mine(app).wsgi_request.session
    assert again["n"] == 1
    assert again.identity is None


def test_a_refresh_and_a_sign_out_take_effect_at_once(app, memory):
    if app.refresh_token is not None:
        before = app.token
        assert app.take(app.refresh()).status_code == 200
        assert app.token != before
        assert mine(app).status_code == 200
    assert app.send("post", "sign-out").status_code in (200, 204)
    assert mine(app).status_code == 401
