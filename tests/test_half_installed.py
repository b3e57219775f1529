"""The app and its addresses are there, and something else is not: nothing answers falsely, and checks say why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import NoReverseMatch, clear_script_prefix, include, path, set_script_prefix

from django_sessions_plus import sessions
from django_sessions_plus.accounts import sign_in_page
from django_sessions_plus.models import Session
from tests import site

ROOT = Path(__file__).resolve().parent.parent
DEVICES = "/account/devices/"
PASSWORD = "flow-matic-1955"
# Needs no table, so that it stands for every engine of somebody else.
STOCK = override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")

urlpatterns = [
    path("account/devices/", include("django_sessions_plus.urls")),
    path("auth/", include("django_sessions_plus.api.urls")),
    path("oauth/", include("django_sessions_plus.api.oauth_urls")),
    path("admin/", admin.site.urls),
    *site.urlpatterns,
]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password=PASSWORD)


def sign_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


# Another engine is in use


@pytest.mark.parametrize(
    "address", ["", "end-others/", "confirm-password/", "00000000-0000-7000-8000-000000000000/end/"]
)
@STOCK
def test_the_pages_say_that_they_are_not_in_use(ada, address):
    answer = sign_in(ada).get(DEVICES + address)
    assert answer.status_code == 503
    text = answer.content.decode()
    assert "This page is not in use on this site yet." in text
    assert "nowhere else" not in text
    assert "SESSION_ENGINE" not in text
    assert "no-store" in answer["Cache-Control"]


@STOCK
def test_staff_reads_what_is_missing(ada):
    ada.is_staff = True
    ada.save()
    text = sign_in(ada).get(DEVICES).content.decode()
    assert "django.contrib.sessions.backends.signed_cookies" in text
    assert "manage.py check" in text


@STOCK
def test_to_sign_out_from_the_page_works_all_the_same(ada):
    client = sign_in(ada)
    assert client.post(f"{DEVICES}sign-out/").status_code == 302
    assert client.get("/who").content == b""


CALLS: list[tuple[str, str, Any]] = [
    ("get", "/auth/session", None),
    ("post", "/auth/sign-in", {"username": "ada", "password": PASSWORD}),
    ("post", "/auth/sign-in", {"username": "ada", "password": PASSWORD, "transport": "bearer"}),
    ("post", "/auth/sign-out", {}),
    ("get", "/auth/sessions", None),
    ("delete", "/auth/sessions/00000000-0000-7000-8000-000000000000", None),
    ("post", "/auth/sessions/revoke", {"scope": "all"}),
    ("post", "/auth/reauthenticate", {"password": PASSWORD}),
    ("post", "/auth/token/refresh", {"refresh": "rt1.x"}),
]


@pytest.mark.parametrize(("method", "address", "body"), CALLS)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer " + "a" * 32}])
@STOCK
def test_the_api_answers_503_with_its_code_and_signs_nobody_in(ada, method, address, body, headers):
    client = Client()
    answer = getattr(client, method)(
        address, body, content_type="application/json", headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "not_in_use")
    assert answer["Cache-Control"] == "no-store"
    assert not client.cookies


@pytest.mark.parametrize("address", ["introspect", "revoke"])
@STOCK
def test_services_that_ask_are_told_to_come_back(address):
    form = "application/x-www-form-urlencoded"
    answer = Client().post(f"/oauth/{address}", "token=x", content_type=form)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


@override_settings(
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
@pytest.mark.parametrize(("method", "address", "body"), CALLS)
def test_requests_without_a_session_are_answered_the_same(ada, method, address, body):
    answer = getattr(Client(), method)(address, body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_in_use")


@pytest.mark.urls("tests.admin.site")
@STOCK
def test_the_page_of_a_user_in_the_admin_says_nothing_of_sessions(ada):
    boss = sign_in(User.objects.create_superuser("boss"))
    page = boss.get(f"/own/auth/user/{ada.pk}/change/").content.decode()
    assert "No session is active." not in page
    assert "dsp-user-sessions" not in page
    assert "End all sessions" not in boss.get("/own/auth/user/").content.decode()


# The engine does not import


TYPO = """
from tests.settings import *
SESSION_ENGINE = "django_sessions_plus.backends.bd"
ROOT_URLCONF = "tests.test_half_installed"
# The server of the suite has no database that is not a test's.
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""


def test_a_typo_in_the_engine_is_reported_by_a_check_with_the_admin_installed(tmp_path):
    (tmp_path / "typo_settings.py").write_text(TYPO)
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--settings", "typo_settings"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "(django_sessions_plus.E008) SESSION_ENGINE is" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


# The engine keeps its rows in another model


@pytest.mark.parametrize("address", ["", "everyone/"])
def test_the_admin_hides_the_model_whose_table_stays_empty(monkeypatch, address):
    staff = sign_in(User.objects.create_superuser("root"))
    assert staff.get(f"/admin/django_sessions_plus/session/{address}").status_code == 200
    monkeypatch.setattr("django_sessions_plus.admin.session_model", lambda: User)
    assert staff.get(f"/admin/django_sessions_plus/session/{address}").status_code == 403
    assert "django_sessions_plus" not in staff.get("/admin/").content.decode()
    assert sessions.session_model() is Session


# No sign-in page of the site's own


def test_a_fresh_project_leads_to_the_admins_sign_in(ada):
    answer = Client().get(DEVICES)
    assert answer["Location"] == f"/admin/login/?next={DEVICES}"
    assert sign_in(ada).post(f"{DEVICES}sign-out/")["Location"] == "/admin/login/"


@override_settings(LOGIN_URL="/by-the-server-before/")
def test_a_path_that_was_chosen_is_used_as_it_is(ada):
    assert Client().get(DEVICES)["Location"] == f"/by-the-server-before/?next={DEVICES}"
    assert sign_in(ada).post(f"{DEVICES}sign-out/")["Location"] == "/by-the-server-before/"


@override_settings(LOGIN_URL="mistyped")
def test_a_name_of_nothing_leads_to_the_admins_sign_in_too():
    assert Client().get("/sensitive")["Location"] == "/admin/login/?next=/sensitive"


@pytest.mark.urls("tests.pages_urls")
@override_settings(LOGIN_URL="mistyped")
def test_without_an_admin_a_name_of_nothing_is_the_error_it_is_in_django():
    with pytest.raises(NoReverseMatch):
        Client().get(DEVICES)


@pytest.mark.urls("tests.pages_urls")
def test_where_the_default_is_a_page_it_is_used():
    assert Client().get(DEVICES)["Location"] == f"/accounts/login/?next={DEVICES}"


@override_settings(FORCE_SCRIPT_NAME="/sub", LOGIN_URL="/sub/admin/login/")
def test_below_a_subpath_the_way_back_leads_there_too():
    assert Client().get(DEVICES)["Location"] == f"/sub/admin/login/?next=/sub{DEVICES}"


@override_settings(LOGIN_URL="/sub/admin/login/")
@pytest.mark.parametrize("prefix", ["/sub/", "/other/"])
def test_what_another_app_serves_is_not_judged(prefix):
    assert sign_in_page.is_sign_in_url_broken()
    set_script_prefix(prefix)
    try:
        assert not sign_in_page.is_sign_in_url_broken()
    finally:
        clear_script_prefix()
