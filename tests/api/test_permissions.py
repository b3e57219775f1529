"""FreshSession on a project's own views."""

import pytest
from rest_framework.test import APIClient

from tests.api.conftest import grow_stale

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]


def test_a_fresh_session_passes(signed_in):
    assert signed_in.send("get", "/sensitive").status_code == 200


def test_a_stale_one_is_told_to_reauthenticate_by_rest_frameworks_own_handler(signed_in):
    grow_stale()
    answer = signed_in.send("get", "/sensitive")
    assert answer.status_code == 403
    assert answer.json().keys() == {"code", "detail"}
    assert answer.json()["code"] == "reauthentication_required"


def test_nobody_is_told_to_sign_in(client):
    answer = client.get("/sensitive")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


def test_it_can_be_combined(signed_in):
    grow_stale()
    assert signed_in.send("get", "/either").status_code == 200


def test_somebody_elses_fresh_cookie_does_not_count(by_cookie, eve):
    assert by_cookie.get("/by-key", headers={"X-Key": "ada"}).status_code == 200
    assert by_cookie.get("/by-key", headers={"X-Key": "eve"}).status_code == 403


def test_a_user_without_a_session_is_not_fresh_and_has_no_sessions_to_end(eve):
    client = APIClient()
    client.force_authenticate(eve)
    assert client.get("/sensitive").status_code == 403
    assert client.get("/auth/session").json() == {"session": None, "user": None}
    assert client.get("/auth/sessions").json()["code"] == "permission_denied"
