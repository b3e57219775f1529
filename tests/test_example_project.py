"""The pages, settings and demo data of the example site."""

import io
import os
import re
import runpy
import subprocess
import sys
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import AsyncClient, Client, override_settings
from django.urls import clear_script_prefix, set_script_prefix
from django.utils import timezone
from django.views.defaults import bad_request

from django_sessions_plus import sessions
from django_sessions_plus.api.schema import servers
from django_sessions_plus.models import Session
from example_project import demo_data
from example_project import settings as example
from tests.example_site import SETTINGS
from tests.translations.catalogs import LANGUAGES

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "analytical-engine-1843"
UNSET = (
    *("DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"),
    *("EMAIL_HOST", "SITE_URL", "PORT"),
)


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


@pytest.mark.parametrize("path", ["/", "/devices/"])
def test_whoever_was_signed_out_reads_why_once(signed_in, ada, path):
    sessions.revoke_all(ada)
    page = signed_in.get(path, follow=True).content.decode()
    assert page.count("Your session was ended. Sign in again.") == 1
    assert "Your session was ended" not in signed_in.get("/sign-in/").content.decode()


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


def test_a_sign_in_from_a_new_device_is_told_by_mail(
    client, guide, mailoutbox, django_capture_on_commit_callbacks
):
    person = demo_data.PEOPLE[1]
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/sign-in/", {"username": person.username, "password": person.password})
    (mail,) = mailoutbox
    assert mail.to == ["grace@example.com"]
    assert "http://127.0.0.1:8000/devices/" in mail.body
    page = client.get("/").content.decode()
    assert "it is in the terminal" in page
    with override_settings(MAIL_IS_IN_TERMINAL=False):
        assert "it is in the terminal" not in client.get("/").content.decode()


def test_from_another_network_a_sensitive_act_asks_for_the_password(signed_in, client):
    sign_in(Client())
    there = {"REMOTE_ADDR": "198.51.100.7"}
    assert client.get("/devices/end-others/").status_code == 200
    answer = client.get("/devices/end-others/", **there)
    assert answer["Location"].startswith("/devices/confirm-password/")
    assert client.get("/", **there).status_code == 200


def test_sign_out_takes_a_post(signed_in):
    assert signed_in.get("/sign-out/").status_code == 405
    assert signed_in.get("/").status_code == 200


@pytest.mark.parametrize(
    "path", ["/sign-in/", "/sign-out/", "/devices/end-others/", "/devices/confirm-password/"]
)
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
    ):
        assert shown in page
    assert client.cookies["sessionid"].value not in page
    assert session.token_digest not in page


def test_visits_are_counted_by_page(signed_in):
    for path in ("/", "/password/", "/password/"):
        signed_in.get(path)

    visits = signed_in.get("/").context["visits"]

    assert [(name, count) for name, _, count in visits] == [
        ("home", 2),
        ("password", 2),
    ]


@pytest.mark.parametrize("path", ["/", "/devices/", "/password/"])
def test_pages_are_kept_out_of_caches(signed_in, path):
    assert "no-store" in signed_in.get(path)["Cache-Control"]


def test_the_page_of_devices_is_the_packages_in_the_frame_of_the_site(signed_in):
    page = signed_in.get("/devices/").content.decode()

    assert '<a class="brand"' in page
    assert "django_sessions_plus/devices.css" in page
    assert "example_project/devices.css" in page
    assert re.search(r'href="/devices/" aria-current="page"', page)


def test_it_leads_to_the_page_for_a_new_password_which_leads_back(signed_in):
    link = re.search(r'href="(/password/[^"]*)">Change your', get_html(signed_in, "/devices/"))
    assert link is not None
    new = "difference-engine-1822"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    answer = signed_in.post(unescape(link[1]), form, follow=True)
    assert [address for address, _ in answer.redirect_chain] == ["/devices/"]
    assert "Your password is changed." in answer.content.decode()


def get_html(client: Client, path: str) -> str:
    return client.get(path).content.decode()


def test_ending_devices_asks_for_the_password_again_when_that_was_long_ago(signed_in):
    sign_in(Client())
    Session.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))

    answer = signed_in.get("/devices/end-others/")

    assert answer["Location"] == "/devices/confirm-password/?next=/devices/end-others/"
    signed_in.post(answer["Location"], {"password": PASSWORD})
    signed_in.post("/devices/end-others/")
    assert Session.objects.active().count() == 1


def test_the_pages_of_the_package_may_run_no_script_at_all(signed_in):
    policy = signed_in.get("/devices/")["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "default-src 'self'" in signed_in.get("/")["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/sign-in/", "/devices/", "/password/", "/nothing/"])
def test_pages_run_under_a_strict_policy_and_need_nothing_inline(signed_in, path):
    answer = signed_in.get(path)

    assert answer["Content-Security-Policy"].startswith(
        ("default-src 'self'", "default-src 'none'")
    )
    assert "unsafe" not in answer["Content-Security-Policy"]
    page = answer.content.decode()
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", page)
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)


@pytest.fixture
def subpath():
    # As the server's handler does, which the test client has none of.
    set_script_prefix("/sub/")
    with override_settings(FORCE_SCRIPT_NAME="/sub"):
        yield
    clear_script_prefix()


@pytest.mark.usefixtures("subpath")
def test_below_a_subpath_every_address_of_a_page_begins_with_it(signed_in):
    for path in ("/", "/devices/", "/password/", "/api/", "/client/", "/client/react/"):
        html = signed_in.get(path).content.decode()
        addresses = re.findall(r'(?:href|src|action|data-api|data-schema)="(/[^"]*)"', html)
        assert addresses
        # Those of static files Django makes when it starts.
        assert [each for each in addresses if not each.startswith(("/sub/", "/static/"))] == [], (
            path
        )
    hooks = example.SPECTACULAR_SETTINGS["POSTPROCESSING_HOOKS"]
    assert f"{servers.__name__}.name_server" in hooks


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


# Languages


@pytest.mark.parametrize(
    ("accepted", "language", "direction", "title"),
    [
        ("de-AT, en;q=0.5", "de", "ltr", "Ihre Geräte"),
        ("ar", "ar", "rtl", None),
        ("zh-CN", "zh-hans", "ltr", None),
        ("tlh", "en", "ltr", "Your devices"),
    ],
)
def test_the_packages_pages_are_in_the_visitors_language(
    signed_in, accepted, language, direction, title
):
    answer = signed_in.get("/devices/", headers={"accept-language": accepted})

    page = answer.content.decode()
    assert f'<html lang="{language}" dir="{direction}">' in page
    assert title is None or f"<h1>{title}</h1>" in page
    assert answer["Content-Language"] == language
    assert "Accept-Language" in answer["Vary"]


def test_the_admin_is_too(client, ada):
    ada.is_staff = ada.is_superuser = True
    ada.save()
    client.force_login(ada)

    page = client.get("/admin/", headers={"accept-language": "de"}).content.decode()

    assert "Sitzungen" in page


def test_the_visitors_language_is_that_of_pages_in_async_mode_too():
    get = async_to_sync(AsyncClient().get)
    page = get("/admin/login/", headers={"accept-language": "de"}).content.decode()

    assert '<html lang="de"' in page


@pytest.mark.parametrize("path", ["/", "/sign-in/", "/password/", "/auth/session", "/nothing/"])
def test_what_is_not_translated_stays_english_and_varies_by_no_language(ada, path):
    client = Client()
    client.force_login(ada)

    answer = client.get(path, headers={"accept-language": "de"})

    assert "Accept-Language" not in answer.get("Vary", "")
    page = answer.content.decode()
    assert 'lang="de"' not in page
    assert not re.search("Passwort|Benutzer|zuvor", page)


def test_the_frame_says_that_it_is_english(signed_in):
    page = signed_in.get("/devices/", headers={"accept-language": "ar"}).content.decode()

    for part in ('<a class="skip" lang="en"', '<header class="top" lang="en"', '<footer lang="en"'):
        assert part in page


def test_the_language_switch_is_remembered_by_the_browser_and_not_by_the_session(signed_in):
    before = Session.objects.values().get()

    answer = signed_in.post("/language/", {"language": "fr", "next": "/devices/"})

    assert answer["Location"] == "/devices/"
    assert set(answer.cookies) == {"django_language"}
    assert Session.objects.values().get() == before
    page = signed_in.get("/devices/", headers={"accept-language": "de"}).content.decode()
    assert "<h1>Vos appareils</h1>" in page
    assert '<option value="fr" lang="fr" selected>Français</option>' in page


def test_the_language_switch_leads_back_into_this_site_alone(signed_in):
    answer = signed_in.post("/language/", {"language": "de", "next": "https://evil.example/"})

    assert answer["Location"] == "/"


def test_the_language_switch_offers_what_the_package_speaks(signed_in):
    page = signed_in.get("/devices/").content.decode()

    assert re.findall(r'<option value="([^"]+)"', page) == [code for code, _ in example.LANGUAGES]
    assert {code for code, _ in example.LANGUAGES} == {"en", *LANGUAGES}


def test_a_visitor_who_is_not_signed_in_gets_no_session_for_a_language(client):
    answer = client.get("/devices/", headers={"accept-language": "de"})

    assert answer.status_code == 302
    assert not answer.cookies
    assert not Session.objects.exists()


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
    for name in UNSET:
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


def test_mails_go_to_the_terminal_unless_the_environment_names_a_server(monkeypatch):
    def mailer(found: dict[str, Any]) -> tuple[str, Any]:
        if "MAILERS" in found:
            default = found["MAILERS"]["default"]
            return default["BACKEND"].split(".")[-2], default["OPTIONS"].get("timeout")
        return found["EMAIL_BACKEND"].split(".")[-2], found["EMAIL_TIMEOUT"]

    found = settings_under(monkeypatch, PORT="8765")
    assert mailer(found)[0] == "console"
    assert found["SESSIONS_PLUS_DEVICES_URL"] == "http://127.0.0.1:8765/devices/"
    found = settings_under(monkeypatch, EMAIL_HOST="mail", SITE_URL="https://example.com")
    assert mailer(found) == ("smtp", 5)
    assert found["SESSIONS_PLUS_DEVICES_URL"] == "https://example.com/devices/"


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
