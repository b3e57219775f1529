"""Every page in every language: what was forgotten in the sources shows up as English."""

from __future__ import annotations

import re
from collections.abc import Set
from datetime import timedelta
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import cache as django_cache
from django.test import Client, override_settings
from django.urls import include
from django.urls import path as url_path
from django.utils import timezone, translation

from django_sessions_plus.accounts import new_devices
from django_sessions_plus.admin import everyone
from django_sessions_plus.bulk import ending
from django_sessions_plus.models import Session
from django_sessions_plus.pages.views import DevicesView
from django_sessions_plus.policy import EndReason
from tests.admin import site as admin_site
from tests.admin.site import CHROME, IPHONE, make_ended, make_session
from tests.translations.catalogs import EACH_LANGUAGE, catalog, forms

urlpatterns = [
    url_path("devices/", include("django_sessions_plus.urls")),
    *admin_site.urlpatterns,
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

PASSWORD = "flow-matic-1955"
ADMIN = "/own/django_sessions_plus/session/"
ODD = "acme/1"

# None is a word of another language, and one of them is in nearly every sentence.
ENGLISH = re.compile(
    r"\b(?:the|this|your|you|signed|sign|ended|seen|again|it|password|device|devices"
    r"|sessions? (?:is|was|ends?)|ago|by an?|not)\b",
    re.IGNORECASE,
)
# In what is written with other letters, these are all that is not.
LATIN = re.compile(r"[A-Za-z]{2,}")
DATA = re.compile(
    "|".join(
        [
            r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",  # an id
            r"https?://\S+",
            r"Mozilla/5\.0 .+?(?=\|)",
            r"\b(?:True|False)\b",  # what Django's admin has for an icon
        ]
    )
)
NAMES = {
    *("chrome", "windows", "safari", "ios", "linux", "firefox", "mobile", "acme", "ada", "bob"),
    *("ip", "api", "jwt", "django", "token", "everyone", "utc", "cst", "cdt", "am", "pm"),
    *("america", "chicago"),
    *("manage", "py", "revoke_sessions", "all", "bearer", "cookie"),
}
_SHOWN = {"title", "aria-label", "alt", "placeholder"}
_NOT_READ = {"script", "style", "code"}


@pytest.fixture(params=EACH_LANGUAGE)
def language(request):
    with translation.override(request.param), override_settings(LANGUAGE_CODE=request.param):
        yield request.param


@pytest.fixture
def ada(language):
    django_cache.clear()
    return User.objects.create_superuser("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def client(ada):
    client = Client(headers={"user-agent": CHROME}, REMOTE_ADDR="192.0.2.9")
    client.force_login(ada)
    return client


@pytest.fixture
def rows(client, ada):
    """Sessions of every kind and state, first an active one of a browser, and an issued token."""
    now = timezone.now()
    browser = make_session(ada, agent=IPHONE, last_seen_at=now - timedelta(minutes=5))
    token = make_session(
        ada, agent=ODD, authenticated_at=None, last_seen_at=now - timedelta(hours=5)
    )
    make_session(ada, refresh_started_at=now, refreshed_at=now, last_seen_at=now)
    make_session(ada, expires_at=now - timedelta(hours=1))
    make_session(ada, created_at=now - timedelta(days=3))
    make_session()
    for reason in EndReason.values:
        make_ended(ada, end_reason=reason)
    make_ended(ada, end_reason=EndReason.REVOKED, ended_by=ada)
    make_ended(
        ada,
        end_reason=EndReason.REVOKED,
        ended_by=User.objects.create_user("bob"),
        agent=None,
    )
    return browser, token


class Reader(HTMLParser):
    """Collects what a person reads or hears of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in _NOT_READ:
            self._within.append(tag)
        shown = _SHOWN | ({"value"} if named.get("type") == "submit" else set())
        self.texts += [text for name, text in attrs if name in shown and text]

    def handle_endtag(self, tag: str) -> None:
        if tag in _NOT_READ:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if not self._within:
            self.texts.append(data)


def read(html: str) -> str:
    """Return what there is to read of a page, or of its part that is not the admin's frame."""
    reader = Reader()
    reader.feed(html)
    return re.sub(r"\s+", " ", " | ".join(text for text in reader.texts if text.strip()))


def ours_of(response: Any) -> str:
    """Return the messages and the content of an admin page, without the frame, which is Django's."""
    html: str = response.content.decode()
    start = html.find('<ul class="messagelist"')
    return html[html.index('<div id="content"') if start < 0 else start :].partition("</main>")[0]


@cache
def english_pieces(language: str) -> list[str]:
    """Return what of the English texts is seen in a page that shows them untranslated."""
    pieces = []
    for entry in catalog(language):
        for text in filter(None, (entry.msgid, entry.msgid_plural)):
            longest = max(re.split(r"%\(\w+\)[sd]|<[^>]+>", text), key=len).strip()
            if " " in longest and all(longest not in form for form in forms(entry)):
                pieces.append(longest)
    return pieces


def latin_words(text: str) -> set[str]:
    return {word.lower() for word in LATIN.findall(DATA.sub("", text))}


def assert_translated(text: str, language: str, untranslated: Set[str] = frozenset()) -> None:
    assert len(text) > 25
    found = [piece for piece in english_pieces(language) if piece in text]
    assert not found, found
    assert not ENGLISH.findall(text), text
    if language in {"ar", "ja", "zh-hans"}:
        assert not latin_words(text) - NAMES - untranslated, text


def grow_stale() -> None:
    Session.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))


def test_the_devices_page_and_its_messages(client, rows, language):
    browser, token = rows
    page = client.get("/devices/")
    direction = "rtl" if language == "ar" else "ltr"
    assert f'<html lang="{language}" dir="{direction}">' in page.content.decode()
    assert_translated(read(page.content.decode()), language)
    assert_translated(read(client.get(f"/devices/{token.pk}/end/").content.decode()), language)
    assert_translated(read(client.get(f"/devices/{browser.pk}/end/").content.decode()), language)
    page = client.post(f"/devices/{browser.pk}/end/", follow=True)
    assert "dsp-success" in page.content.decode()
    assert_translated(read(page.content.decode()), language)
    page = client.post(f"/devices/{browser.pk}/end/", follow=True)
    assert "dsp-info" in page.content.decode()
    assert_translated(read(page.content.decode()), language)


def test_ending_the_others(client, rows, language):
    assert_translated(read(client.get("/devices/end-others/").content.decode()), language)
    for _ in range(2):
        page = client.post("/devices/end-others/", follow=True)
        assert "dsp-message" in page.content.decode()
        assert_translated(read(page.content.decode()), language)


def test_the_pages_of_the_list(client, rows, language, monkeypatch):
    monkeypatch.setattr(DevicesView, "page_size", 1)
    first = client.get("/devices/")
    second = client.get(f"/devices/?cursor={first.context['next_page']}")
    for page in (first, second):
        assert "dsp-pages" in page.content.decode()
        assert_translated(read(page.content.decode()), language)


def test_the_password_once_more(client, ada, language):
    grow_stale()
    confirm = "/devices/confirm-password/"
    assert_translated(read(client.get(confirm).content.decode()), language)
    for password in ("", "wrong", *["wrong"] * 20):
        page = client.post(confirm, {"password": password})
    assert page.status_code == 429
    assert_translated(read(page.content.decode()), language)
    ada.set_unusable_password()
    ada.save()
    client.force_login(ada)
    assert_translated(read(client.get(confirm).content.decode()), language)


@pytest.mark.parametrize("agent", [CHROME, None])
def test_the_email_about_a_new_device(ada, language, settings, agent):
    settings.TIME_ZONE = "UTC"
    settings.SESSIONS_PLUS_DEVICES_URL = "https://192.0.2.1/1"
    session = make_session(ada, agent=agent)
    message = new_devices.email_about(session, ada)
    assert message is not None
    ((html, _),) = message.alternatives
    for text in (f"{message.subject} {message.body}", read(str(html))):
        assert_translated(text, language)


@pytest.fixture
def of_django(client):
    """What lists of the admin have that Django's translators have not come to yet."""
    Group.objects.create(name="1")
    return latin_words(read(ours_of(client.get("/admin/auth/group/"))))


def test_the_list_of_the_admin(client, rows, language, of_django):
    for state in ("active", "ended", "expired", "anonymous", "all"):
        page = client.get(f"{ADMIN}?state={state}")
        assert_translated(read(ours_of(page)), language, of_django)


def test_a_session_in_the_admin(client, rows, language):
    for row in Session.objects.all():
        assert_translated(read(ours_of(client.get(f"{ADMIN}{row.pk}/change/"))), language)


def test_ending_in_the_admin(client, ada, rows, language, of_django):
    over = Session.objects.ended()[0]
    for path in (f"{rows[0].pk}/end/", f"{over.pk}/end/", f"end-all/{ada.pk}/"):
        assert_translated(read(ours_of(client.get(ADMIN + path))), language)
    chosen = {"action": "end_selected", "_selected_action": [str(rows[0].pk)], "index": "0"}
    page = client.post(ADMIN, chosen, follow=True)
    assert "messagelist" in ours_of(page)
    assert_translated(read(ours_of(page)), language, of_django)


def test_signing_everyone_out(client, rows, language, monkeypatch):
    page = f"{ADMIN}everyone/"
    assert_translated(read(ours_of(client.get(page))), language)
    answer = client.post(page, {"consent": "everybody"})
    assert_translated(read(ours_of(answer)).replace("everybody", ""), language)
    monkeypatch.setattr(everyone, "BUDGET", 0.0)
    monkeypatch.setattr(ending, "KEYS_PER_STATEMENT", 1)
    answer = client.post(page, {"consent": "everyone"})
    assert_translated(read(ours_of(answer)), language)


def test_issuing_a_token(client, ada, rows, language):
    page = f"{ADMIN}issue-token/{ada.pk}/"
    answer = client.get(page)
    assert_translated(read(ours_of(answer)), language)
    fields = {"name": ODD, "transport": "bearer", "days": "", "once": answer.context["once"]}
    fields[answer.context["once_field"]] = answer.context["once"]
    assert_translated(read(ours_of(client.post(page, fields))), language)
    assert_translated(read(ours_of(client.post(page, fields))), language)
    grow_stale()
    assert_translated(read(ours_of(client.get(page))), language)


def test_the_page_of_a_user_in_the_admin(client, ada, rows, language):
    html = ours_of(client.get(f"/own/auth/user/{ada.pk}/change/"))
    ours = html[html.index('<fieldset class="module dsp-user-sessions"') :]
    assert_translated(read(ours[: ours.index("</fieldset>")]), language)
