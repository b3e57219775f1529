"""The decorators, on sync and async views."""

from datetime import timedelta

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth import get_user_model
from django.test import Client

from django_sessions_plus.models import Session
from tests import site

User = get_user_model()
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


@pytest.fixture
def client():
    client = Client()
    client.force_login(User.objects.create_user("ada"))
    return client


def age_sign_in(**age: float) -> None:
    row = Session.objects.get()
    assert row.authenticated_at is not None
    Session.objects.update(authenticated_at=row.authenticated_at - timedelta(**age))


@pytest.mark.parametrize("path", ["/sensitive", "/asensitive"])
class TestFreshSessionRequired:
    def test_a_fresh_session_passes(self, client, path):
        assert client.get(path).content == b"ada"

    def test_one_that_is_not_is_sent_to_sign_in_and_comes_back(self, client, path):
        age_sign_in(minutes=15)
        answer = client.get(path + "?page=2")
        assert answer.status_code == 302
        assert answer["Location"] == f"/accounts/login/?next={path}%3Fpage%3D2"

    def test_nobody_is_sent_there_too(self, client, path):
        assert Client().get(path).status_code == 302

    def test_the_age_and_the_place_are_settings(self, client, path, settings):
        age_sign_in(minutes=15)
        settings.SESSIONS_PLUS_FRESH_AGE = timedelta(minutes=16)
        assert client.get(path).status_code == 200
        settings.SESSIONS_PLUS_FRESH_AGE = timedelta(minutes=1)
        settings.SESSIONS_PLUS_REAUTHENTICATE_URL = "/again"
        assert client.get(path)["Location"].startswith("/again?next=")

    def test_after_a_form_one_returns_to_the_page_it_was_on(self, client, path):
        age_sign_in(hours=1)
        answer = client.post(path, headers={"referer": "http://testserver/devices?page=2"})
        assert answer["Location"].endswith("?next=/devices%3Fpage%3D2")

    @pytest.mark.parametrize(
        "referer", ["", "https://evil.example/x", "//evil.example", "javascript:1"]
    )
    def test_a_foreign_referer_leads_nowhere(self, client, path, referer):
        age_sign_in(hours=1)
        answer = client.post(path, headers={"referer": referer})
        assert answer["Location"] == "/accounts/login/?next=/"

    def test_signing_in_again_makes_it_fresh(self, client, path):
        age_sign_in(hours=1)
        client.post("/sign-in", {"user": "ada"})
        assert client.get(path).content == b"ada"


def test_decorated_coroutines_stay_coroutines():
    assert iscoroutinefunction(site.asensitive)
    assert iscoroutinefunction(site.apoll)
    assert not iscoroutinefunction(site.sensitive)
    assert not iscoroutinefunction(site.poll)
