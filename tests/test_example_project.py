"""The pages, settings and demo data of the example site."""

import io
import os
import re
import runpy
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import AsyncClient, Client, override_settings
from django.utils import timezone
from django.views.defaults import bad_request

from django_sessions_plus.models import Session
from example_project import demo_data
from example_project import settings as example
from tests.example_site import SETTINGS

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "analytical-engine-1843"


@pytest.fixture(autouse=True)
def _example_site():
    with override_settings(**SETTINGS):
        yield


def people() -> Any:
    return get_user_model()._default_manager


@pytest.fixture
def ada() -> Any:
    return people().create_user("ada", password=PASSWORD, first_name="Ada")


def sign_in(client: Client, **fields: str) -> Any:
    return client.post("/sign-in/", {"username": "ada", "password": PASSWORD, **fields})


@pytest.fixture
def signed_in(client: Client, ada: Any) -> Client:
    sign_in(client)
    return client


# Sign-in and sign-out


@pytest.mark.parametrize("path", ["/", "/devices/", "/password/"])
def test_pages_lead_an_anonymous_visitor_to_sign_in_and_leave_no_row(client, path):
    answer = client.get(path)

    assert answer["Location"] == f"/sign-in/?next={path}"
    assert not Session.objects.exists()


def test_sign_in_goes_on_to_the_page_that_was_asked_for(client, ada):
    answer = sign_in(client, next="/devices/")

    assert answer["Location"] == "/devices/"


def test_a_wrong_password_says_so_to_screen_readers_too_and_starts_nothing(client, ada):
    answer = sign_in(client, password="wrong")

    assert 'role="alert"' in answer.content.decode()
    assert not Session.objects.exists()


def test_remember_me_gives_a_cookie_that_outlives_the_browser(client, ada):
    answer = sign_in(client, remember="on")

    assert answer.cookies["sessionid"]["max-age"] == example.SESSION_COOKIE_AGE
    assert answer.cookies["sessionid"]["httponly"]
    assert Session.objects.get().remember


def test_without_remember_me_the_cookie_ends_with_the_browser(client, ada):
    answer = sign_in(client)

    assert answer.cookies["sessionid"]["max-age"] == ""
    session = Session.objects.get()
    assert not session.remember
    assert session.expires_at <= timezone.now() + timedelta(days=1)


def test_sign_out_takes_a_post(signed_in):
    assert signed_in.get("/sign-out/").status_code == 405
    assert signed_in.get("/").status_code == 200


@pytest.mark.parametrize("path", ["/sign-in/", "/sign-out/", "/devices/end-others/"])
def test_forms_are_protected_against_csrf(ada, path):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)

    answer = client.post(path)

    assert answer.status_code == 403
    assert "This form is out of date" in answer.content.decode()


# The pages


def test_the_home_page_shows_the_session_and_not_its_token(ada):
    client = Client(headers={"user-agent": demo_data.SAFARI_IPAD}, REMOTE_ADDR="192.0.2.9")
    sign_in(client)

    page = client.get("/").content.decode()

    session = Session.objects.get()
    for shown in (
        "Hello, Ada",
        "Safari on iOS",
        "192.0.2.9",
        str(session.pk),
        "devices.svg#tablet",
    ):
        assert shown in page
    assert client.cookies["sessionid"].value not in page
    assert session.token_digest not in page


def test_visits_are_counted_by_page(signed_in):
    for path in ("/", "/devices/", "/devices/", "/password/"):
        signed_in.get(path)

    visits = signed_in.get("/").context["visits"]

    assert [(name, count) for name, _, count in visits] == [
        ("home", 2),
        ("devices", 2),
        ("password", 1),
    ]


@pytest.mark.parametrize("path", ["/", "/devices/", "/password/"])
def test_pages_are_kept_out_of_caches(signed_in, path):
    assert "no-store" in signed_in.get(path)["Cache-Control"]


def test_the_device_in_hand_comes_first_and_is_told_apart(signed_in, ada):
    current = Session.objects.get()
    later = timezone.now() + timedelta(seconds=5)
    seen_later = Client(headers={"user-agent": demo_data.SAFARI_IPHONE})
    sign_in(seen_later)
    Session.objects.exclude(pk=current.pk).update(last_seen_at=later)

    answer = signed_in.get("/devices/")

    assert answer.context["sessions"][0] == current
    assert answer.content.decode().count("This device") == 1


def test_the_list_costs_as_many_queries_for_many_devices_as_for_one(
    signed_in, ada, django_assert_num_queries
):
    # Session and user, the list, the visit.
    with django_assert_num_queries(3):
        signed_in.get("/devices/")
    for _ in range(5):
        sign_in(Client())
    with django_assert_num_queries(3):
        signed_in.get("/devices/")


def test_somebody_elses_device_is_not_found(signed_in):
    people().create_user("grace", password=PASSWORD)
    other = Client()
    sign_in(other, username="grace")
    theirs = Session.objects.exclude(user__username="ada").get()

    assert signed_in.post(f"/devices/{theirs.pk}/end/").status_code == 404
    assert other.get("/").status_code == 200


def test_a_device_that_was_ended_already_is_no_error(signed_in, ada):
    other = Client(headers={"user-agent": demo_data.SAFARI_IPHONE})
    sign_in(other)
    session = Session.objects.get(user_agent=demo_data.SAFARI_IPHONE)
    other.post("/sign-out/")

    answer = signed_in.post(f"/devices/{session.pk}/end/", follow=True)

    assert "Safari on iOS was signed out already." in answer.content.decode()


def test_ending_others_when_there_are_none_is_no_error(signed_in):
    answer = signed_in.post("/devices/end-others/", follow=True)

    assert "There was no other device to sign out." in answer.content.decode()


def test_ending_devices_asks_for_the_password_again_when_that_was_long_ago(signed_in, ada):
    sign_in(Client())
    Session.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))

    answer = signed_in.post(
        "/devices/end-others/", headers={"referer": "http://testserver/devices/"}, follow=True
    )

    assert answer.redirect_chain == [("/sign-in/?next=/devices/", 302)]
    page = answer.content.decode()
    assert "Is it still you?" in page
    assert 'value="ada"' in page
    assert re.search(r'<input[^>]*type="password"[^>]*autofocus', page)
    assert Session.objects.active().count() == 2
    assert sign_in(signed_in, next="/devices/")["Location"] == "/devices/"
    signed_in.post("/devices/end-others/")
    assert Session.objects.active().count() == 1


@pytest.mark.parametrize("path", ["/", "/sign-in/", "/devices/", "/password/", "/nothing/"])
def test_pages_run_under_a_strict_policy_and_need_nothing_inline(signed_in, path):
    answer = signed_in.get(path)

    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]
    page = answer.content.decode()
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", page)
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)


def test_pages_are_served_in_async_mode_too():
    answer = async_to_sync(AsyncClient().get)("/sign-in/")

    assert answer.status_code == 200
    assert "default-src 'self'" in answer["Content-Security-Policy"]


def test_an_interrupted_session_gets_a_page_that_explains_it(rf):
    # Django renders it without the request, so there is no user and no message in it.
    answer = bad_request(rf.get("/"), Exception())

    assert "Your session ended" in answer.content.decode()


def test_the_admin_and_the_api_are_mounted(client):
    assert client.get("/admin/login/").status_code == 200
    assert client.get("/auth/session").json() == {"session": None, "user": None}


def test_the_page_of_a_user_in_the_admin_leads_to_the_sessions(client, ada):
    ada.is_staff = ada.is_superuser = True
    ada.save()
    client.force_login(ada)
    page = client.get(f"/admin/auth/user/{ada.pk}/change/").content.decode()
    assert "Sessions of this user" in page
    assert "End all sessions of this user" in page


# Demo data


@pytest.fixture
def guide(settings) -> str:
    settings.DEBUG = True
    output = io.StringIO()
    call_command("add_demo_data", stdout=output)
    return output.getvalue()


def test_demo_people_have_devices_of_every_kind_and_state(guide):
    for person in demo_data.PEOPLE:
        rows = list(Session.objects.filter(user__username=person.username))
        states = [str(row.status()) for row in rows]
        assert states.count("active") >= 2
        assert {"active", "ended", "expired"} <= set(states)
    kinds = {row.device.kind for row in Session.objects.all()}
    assert {"desktop", "phone", "tablet", "other"} <= kinds
    reasons = set(Session.objects.ended().values_list("end_reason", flat=True))
    assert reasons == {"signed_out", "revoked", "password_changed", "limit"}


@pytest.mark.django_db(transaction=True)
def test_demo_data_can_be_added_again_and_puts_things_back(guide, settings):
    """With real commits: a password that is put back ends sessions only then."""
    count = Session.objects.count()
    ada = people().get(username="ada")
    ada.set_password("forgotten")
    ada.is_staff = False
    ada.save()
    Session.objects.active().end(reason="revoked")

    call_command("add_demo_data", stdout=io.StringIO())

    ada.refresh_from_db()
    assert ada.check_password(demo_data.PEOPLE[0].password)
    assert ada.is_staff
    assert Session.objects.count() == count
    assert Session.objects.active().for_user(ada).count() >= 2


def test_demo_data_leaves_the_sessions_of_those_who_try_the_demo(guide, client):
    client.post("/sign-in/", {"username": "ada", "password": demo_data.PEOPLE[0].password})

    call_command("add_demo_data", stdout=io.StringIO())

    assert client.get("/").status_code == 200


def test_demo_data_is_refused_when_debug_is_off_unless_forced(db):
    with pytest.raises(CommandError, match="--force"):
        call_command("add_demo_data")
    assert not people().exists()

    call_command("add_demo_data", force=True, stdout=io.StringIO())
    assert people().count() == 2


def test_the_guide_names_address_people_and_passwords(monkeypatch, settings):
    monkeypatch.setenv("PORT", "8765")
    settings.DEBUG = True
    output = io.StringIO()

    call_command("add_demo_data", stdout=output)

    assert "http://127.0.0.1:8765/\n" in output.getvalue()
    for person in demo_data.PEOPLE:
        assert re.search(rf"{person.username} +{person.password}", output.getvalue())


def test_the_demo_passwords_are_ones_the_site_would_accept(client, guide):
    for person in demo_data.PEOPLE:
        answer = client.post(
            "/sign-in/", {"username": person.username, "password": person.password}
        )
        assert answer.status_code == 302


# Settings


def settings_under(monkeypatch, **environment: str) -> dict[str, Any]:
    for name in ("DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "example_project" / "settings.py"))


def test_without_debug_the_published_key_is_refused(monkeypatch):
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY"):
        settings_under(monkeypatch, DEBUG="0")


def test_without_debug_cookies_and_pages_travel_by_https_alone(monkeypatch):
    found = settings_under(
        monkeypatch, DEBUG="0", SECRET_KEY="x" * 50, ALLOWED_HOSTS="a.example, b"
    )

    assert found["ALLOWED_HOSTS"] == ["a.example", "b"]
    assert found["SESSION_COOKIE_SECURE"]
    assert found["CSRF_COOKIE_SECURE"]
    assert found["SECURE_SSL_REDIRECT"]


def test_the_database_is_a_file_in_the_checkout_unless_the_environment_names_another(monkeypatch):
    assert settings_under(monkeypatch)["DATABASES"]["default"]["NAME"] == str(ROOT / "db.sqlite3")
    found = settings_under(monkeypatch, DATABASE_URL="postgres://ada@127.0.0.1:5432/demo")
    assert found["DATABASES"]["default"]["ENGINE"] == "django.db.backends.postgresql"
    assert "init_command" not in found["DATABASES"]["default"].get("OPTIONS", {})


def test_redis_is_the_cache_when_the_environment_names_one(monkeypatch):
    assert "locmem" in settings_under(monkeypatch)["CACHES"]["default"]["BACKEND"]
    found = settings_under(monkeypatch, REDIS_URL="redis://127.0.0.1:6379/0")
    assert found["CACHES"]["default"]["BACKEND"].endswith("RedisCache")


@pytest.mark.slow
def test_a_deployment_check_leaves_only_what_is_a_decision_about_the_domain():
    # Of the site alone: no database or cache is asked for.
    foreign = ("DJANGO_", "DATABASE_URL", "REDIS_URL")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "DEBUG": "0",
        "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR",
        "ALLOWED_HOSTS": "example.com",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "check", "--deploy"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    named = re.findall(r"\((\w+\.[EW]\d+)\)", done.stderr)
    assert named == ["security.W005", "security.W021"]
