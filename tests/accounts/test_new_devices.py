"""The sign-in from a new device: which one it is, and the e-mail about it."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from pathlib import Path
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.test import Client, override_settings
from django.urls import path
from django.utils import dateformat, timezone, translation

from django_sessions_plus import sessions
from django_sessions_plus.accounts import issuing, new_devices
from django_sessions_plus.models import Session
from django_sessions_plus.signals import new_device_signed_in
from tests.backends.drivers import SyncSession, sign_in
from tests.backends.racing import racers, shared_database
from tests.conftest import Told
from tests.mailing import sent_by

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
NEWER_FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"
FIREFOX_ON_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; rv:121.0) Gecko/20100101 Firefox/121.0"
DEVICES = "https://example.com/devices/"
SITE = "example.com"


def sign_in_here(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get(username="alice"))
    return HttpResponse()


urlpatterns = [path("sign-in", sign_in_here)]


class DownBackend(BaseEmailBackend):
    """A mail server that is down, and says to whom it did not deliver."""

    def send_messages(self, messages: Any) -> int:
        raise SMTPServerDisconnected(f"no connection for {messages[0].to}")


@pytest.fixture
def _sending(settings: Any) -> None:
    settings.SESSIONS_PLUS_NEW_DEVICE_EMAIL = True
    settings.SESSIONS_PLUS_DEVICES_URL = DEVICES


sending = pytest.mark.usefixtures("_sending")


def enter(user: User, agent: str | None = FIREFOX, address: str = "192.0.2.1") -> Session:
    """Sign ``user`` in from there and return the row."""
    meta = {"REMOTE_ADDR": address} | ({} if agent is None else {"HTTP_USER_AGENT": agent})
    session = SyncSession(None, meta)
    sign_in(session, user)
    row = session.row
    assert isinstance(row, Session)
    return row


class TestWhichIsNew:
    @pytest.mark.parametrize(
        ("agent", "address", "is_new"),
        [
            (FIREFOX, "192.0.2.200", False),
            (NEWER_FIREFOX, "192.0.2.1", False),
            (FIREFOX, "::ffff:192.0.2.1", False),
            (None, "192.0.2.1", False),
            (FIREFOX, "", False),
            (FIREFOX, "198.51.100.1", True),
            (None, "198.51.100.1", True),
            (FIREFOX, "2001:db8::1", True),
            (FIREFOX_ON_WINDOWS, "192.0.2.1", True),
            ("curl/8.6.0", "192.0.2.1", True),
            ("x" * 100_000, "192.0.2.1", True),
        ],
    )
    def test_a_device_is_a_browser_a_system_and_a_network(
        self, alice: User, told: Told, agent: str | None, address: str, is_new: bool
    ):
        enter(alice)
        row = enter(alice, agent, address)
        said = told.of(new_device_signed_in)
        assert [each["session"].pk for each in said] == ([row.pk] if is_new else [])
        assert all(each["user"] == alice for each in said)
        enter(alice, agent, address)
        assert len(told.of(new_device_signed_in)) == len(said)

    def test_the_combination_counts_and_not_each_part(self, alice: User, told: Told):
        enter(alice, FIREFOX, "192.0.2.1")
        enter(alice, "curl/8.6.0", "198.51.100.1")
        told.clear()
        enter(alice, FIREFOX, "198.51.100.1")
        assert len(told.of(new_device_signed_in)) == 1

    def test_nobody_is_told_of_the_first_sign_in_of_all(self, alice: User, bob: User, told: Told):
        enter(bob, "curl/8.6.0", "203.0.113.1")
        enter(alice)
        assert told.of(new_device_signed_in) == []

    def test_sessions_of_which_nothing_is_recorded_say_nothing(
        self, alice: User, told: Told, settings: Any
    ):
        enter(alice, None, "")
        enter(alice)
        settings.SESSIONS_PLUS_RECORD_IP = settings.SESSIONS_PLUS_RECORD_USER_AGENT = "off"
        enter(alice, "curl/8.6.0", "198.51.100.1")
        assert told.of(new_device_signed_in) == []

    @pytest.mark.parametrize("setting", ["IP", "USER_AGENT"])
    def test_who_hides_all_that_would_be_recorded_is_new(
        self, alice: User, told: Told, settings: Any, setting: str
    ):
        """Else an empty header would keep a stranger's sign-in from being told."""
        enter(alice, None, "")
        enter(alice)
        setattr(settings, f"SESSIONS_PLUS_RECORD_{setting}", "off")
        for number in (1, 2):
            enter(alice, None, "")
            assert len(told.of(new_device_signed_in)) == number

    def test_an_ended_session_is_remembered_as_long_as_its_row(self, alice: User, told: Told):
        enter(alice)
        enter(alice, "curl/8.6.0")
        Session.objects.all().end(reason="revoked")
        told.clear()
        enter(alice, "curl/8.6.0")
        assert told.of(new_device_signed_in) == []
        Session.objects.filter(user_agent__startswith="curl").delete()
        enter(alice, "curl/8.6.0")
        assert len(told.of(new_device_signed_in)) == 1

    def test_the_latest_rows_are_looked_at_and_no_more(
        self, alice: User, told: Told, statements: Any, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(new_devices, "RECENT", 3)
        enter(alice, "curl/8.6.0")
        Session.objects.update(expires_at=timezone.now() + timedelta(hours=1))
        for _ in range(3):
            enter(alice)
        told.clear()
        row = enter(alice, "curl/8.6.0")
        assert len(told.of(new_device_signed_in)) == 1
        with statements() as executed:
            assert new_devices.is_new_device(row)
        (sql,) = executed
        assert sql.endswith("LIMIT 3")

    def test_of_sign_ins_at_once_one_is_told_for_sure_and_none_twice(
        self, tmp_path: Path, settings: Any, told: Told
    ):
        with shared_database(tmp_path):
            alice = User.objects.create_user("racing")
            enter(alice)
            told.clear()
            with racers(8) as racing:
                racing.run(*[partial(enter, alice, "curl/8.6.0")] * 8)
        found = [each["session"].pk for each in told.of(new_device_signed_in)]
        assert found
        assert len(set(found)) == len(found)

    def test_a_session_that_was_started_for_a_person_counts_from_its_start(
        self, alice: User, told: Told
    ):
        enter(alice)
        told.clear()
        for number in (1, 1, 2):
            sessions.start(alice, user_agent=f"export{number}/1.0", ip_address="192.0.2.1")
        said = [each["session"].user_agent for each in told.of(new_device_signed_in)]
        assert said == ["export1/1.0", "export2/1.0"]
        enter(alice, "export1/1.0")
        assert len(told.of(new_device_signed_in)) == 2

    def test_a_visit_that_began_before_counts_from_its_sign_in(self, alice: User, told: Told):
        enter(alice)
        visit = SyncSession(None, {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "curl/8.6.0"})
        visit.set("basket", "full")
        visit.save()
        enter(alice, "curl/8.6.0")
        told.clear()
        sign_in(visit, alice)
        assert told.of(new_device_signed_in) == []

    def test_who_commits_together_is_not_taken_for_known(self, alice: User, told: Told):
        enter(alice)
        told.clear()
        with transaction.atomic():
            enter(alice, "curl/8.6.0"), enter(alice, "curl/8.6.0")
        assert len(told.of(new_device_signed_in)) == 1


@sending
class TestEmail:
    def test_it_is_off_unless_it_is_switched_on(self, alice: User, settings: Any, told: Told):
        settings.SESSIONS_PLUS_NEW_DEVICE_EMAIL = False
        enter(alice), enter(alice, "curl/8.6.0")
        assert len(told.of(new_device_signed_in)) == 1
        assert mail.outbox == []

    def test_it_tells_what_happened_in_text_and_html(self, alice: User):
        enter(alice)
        row = enter(alice, FIREFOX_ON_WINDOWS, "198.51.100.1")
        (message,) = mail.outbox
        assert isinstance(message, mail.EmailMultiAlternatives)
        assert message.to == ["alice@example.com"]
        assert message.subject == f"New sign-in to your account at {SITE}"
        assert message.extra_headers["Auto-Submitted"] == "auto-generated"
        ((html, kind),) = message.alternatives
        assert kind == "text/html"
        for text in (str(message.body), str(html)):
            assert "alice" in text
            assert "Firefox on Windows" in text
            assert "198.51.100.1" in text
            assert DEVICES in text
            assert f"your account at {SITE} from a device" in text
            assert str(timezone.localtime(row.authenticated_at).year) in text
        assert "<" not in message.body

    def test_the_site_can_have_a_name_and_need_not(self, alice: User, settings: Any):
        settings.SESSIONS_PLUS_SITE_NAME = "The Shop"
        enter(alice), enter(alice, "curl/8.6.0")
        settings.SESSIONS_PLUS_SITE_NAME = settings.SESSIONS_PLUS_DEVICES_URL = None
        enter(alice, "Wget/1.21")
        named, nameless = mail.outbox
        assert named.subject == "New sign-in to your account at The Shop"
        assert "to your account at The Shop from a device" in str(named.body)
        assert nameless.subject == "New sign-in to your account"
        assert "to your account from a device" in str(nameless.body)

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("/password/", f"https://{SITE}/password/"),
            ("https://sso.example.com/password", "https://sso.example.com/password"),
            (None, None),
        ],
    )
    def test_it_leads_to_the_page_for_a_new_password(self, alice, settings, url, shown):
        settings.SESSIONS_PLUS_PASSWORD_URL = url
        enter(alice), enter(alice, "curl/8.6.0")
        source = source_of(mail.outbox[0])
        assert ("Change your password:" in source) == (shown is not None)
        assert shown is None or source.count(shown) == 2

    def test_without_a_host_an_address_is_left_out(self, alice: User, settings: Any):
        settings.SESSIONS_PLUS_PASSWORD_URL = "/password/"
        settings.SESSIONS_PLUS_DEVICES_URL = None
        enter(alice), enter(alice, "curl/8.6.0")
        assert "/password/" not in source_of(mail.outbox[0])

    @pytest.mark.parametrize(
        ("name", "shown"),
        [("nightly export (2)", True), ("", False), ("see https://evil.example", False)],
    )
    def test_of_a_token_that_was_issued_it_says_that_and_not_that_somebody_signed_in(
        self, alice: User, name: str, shown: bool
    ):
        enter(alice)
        issuing.issue(alice, name=name)
        (message,) = mail.outbox
        assert message.subject == f"A token was issued for your account at {SITE}"
        source = source_of(message)
        assert "signed in" not in source
        assert "change your password" not in source
        assert source.count(name) == 2 if shown else "What it is for" not in source
        assert source.count(DEVICES) == 2

    def test_it_has_no_secret_no_id_and_nothing_that_is_loaded_from_elsewhere(self, alice: User):
        enter(alice)
        row = enter(alice, FIREFOX_ON_WINDOWS)
        source = source_of(mail.outbox[0])
        for secret in (row.token_digest, str(row.pk), row.session_data, alice.password):
            assert secret not in source
        for loaded in ("<img", "<link", "<script", "<iframe", "url(", "src=", "@import"):
            assert loaded not in source.lower()
        # The one link is the project's own.
        assert source.count("href=") == 1

    def test_without_an_address_of_the_page_there_is_no_link(self, alice: User, settings: Any):
        settings.SESSIONS_PLUS_DEVICES_URL = None
        enter(alice), enter(alice, "curl/8.6.0")
        assert "http" not in source_of(mail.outbox[0])

    def test_the_host_header_of_who_signs_in_goes_nowhere(self, alice: User):
        enter(alice)
        Client().get("/sign-in", headers={"Host": "evil.example", "User-Agent": "curl/8"})
        (message,) = mail.outbox
        assert "evil" not in source_of(message)

    @pytest.mark.parametrize(
        "agent",
        [
            "curl/8\r\nBcc: eve@example.com\r\n\r\nHello",
            "Mozilla/5.0 (compatible; http://evil.example/bot; +evil.example) evilbot/1.0",
            "evil.example/1.0 (compatible; visit-evil.example-now-bot/2.1)",
            "<img src=//evil.example/x> on <b>Windows</b> (desktop)",
            "visit evil.example on Windows (desktop)",
            "x" * 100_000,
        ],
    )
    def test_a_user_agent_cannot_put_words_into_it(self, alice: User, agent: str):
        enter(alice)
        enter(alice, agent)
        (message,) = mail.outbox
        source = source_of(message)
        assert "evil.example" not in source
        assert source.count("://") == 2
        assert "eve@" not in source
        assert "Bcc" not in source
        assert len(source) < 6_000

    def test_nobody_can_bury_the_first_under_others(
        self, alice: User, bob: User, settings: Any, told: Told, caplog: pytest.LogCaptureFixture
    ):
        settings.SESSIONS_PLUS_RATES = {"email": "2/d"}
        for user in (alice, bob):
            enter(user)
        for number in range(4):
            enter(alice, f"bot{number}/1.0")
        assert len(mail.outbox) == 2
        assert len(told.of(new_device_signed_in)) == 4
        failures = [vars(r) for r in caplog.records if getattr(r, "event", "").endswith("failed")]
        assert [each["error"] for each in failures] == ["throttled"] * 2
        assert {each["user_id"] for each in failures} == {str(alice.pk)}
        # Somebody else's are counted apart, and nobody's where there is no limit.
        enter(bob, "bot0/1.0")
        assert len(mail.outbox) == 3
        settings.SESSIONS_PLUS_RATES = {"email": None}
        enter(alice, "bot5/1.0")
        assert len(mail.outbox) == 4

    @pytest.mark.parametrize("address", ["", None])
    def test_a_person_without_an_address_gets_none(self, alice: User, address: Any):
        alice.email = address
        enter(alice), enter(alice, "curl/8.6.0")
        assert mail.outbox == []

    def test_the_address_is_in_the_field_the_user_model_names(
        self, alice: User, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(User, "EMAIL_FIELD", "last_name")
        alice.last_name = "other@example.com"
        enter(alice), enter(alice, "curl/8.6.0")
        assert mail.outbox[0].to == ["other@example.com"]

    def test_an_address_with_a_header_in_it_sends_nothing_and_is_logged(
        self, alice: User, caplog: pytest.LogCaptureFixture
    ):
        alice.email = "alice@example.com\nBcc: eve@example.com"
        enter(alice)
        row = enter(alice, "curl/8.6.0")
        assert mail.outbox == []
        (record,) = (r for r in caplog.records if r.levelno == logging.ERROR)
        assert vars(record)["event"] == "new_device_email_failed"
        assert vars(record)["session_id"] == str(row.pk)

    def test_a_mail_server_that_is_down_is_logged_and_breaks_nothing(
        self, alice: User, caplog: pytest.LogCaptureFixture
    ):
        enter(alice)
        client = Client()
        caplog.set_level(logging.DEBUG, logger="django_sessions_plus")
        with override_settings(**sent_by(f"{__name__}.DownBackend")):
            response = client.get("/sign-in", headers={"User-Agent": "curl/8"})
        assert response.status_code == 200
        assert "sessionid" in response.cookies
        (record,) = (r for r in caplog.records if getattr(r, "event", "").endswith("failed"))
        assert vars(record)["error"] == "SMTPServerDisconnected"
        # Whom it was for is in the traceback alone, which is for who looks for a fault.
        traceback = [r for r in caplog.records if r.exc_info]
        assert [r.levelno for r in traceback] == [logging.DEBUG]
        others = [str(vars(r)) for r in caplog.records if not r.exc_info]
        assert "alice@example.com" not in "".join(others)

    @pytest.mark.parametrize("hook", [lambda user: 1 / 0, "no.such.hook"])
    def test_a_hook_that_fails_breaks_nothing(self, alice: User, settings: Any, hook: Any):
        settings.SESSIONS_PLUS_USER_LANGUAGE = hook
        enter(alice)
        assert enter(alice, "curl/8.6.0").is_active()
        assert mail.outbox == []

    def test_it_is_sent_after_the_commit_and_not_after_a_rollback(self, alice: User):
        enter(alice)
        with transaction.atomic():
            enter(alice, "curl/8.6.0")
            assert mail.outbox == []
        assert len(mail.outbox) == 1
        with transaction.atomic():
            enter(alice, "Wget/1.21")
            transaction.set_rollback(True)
        assert len(mail.outbox) == 1

    @pytest.mark.parametrize(
        ("wanted", "language", "direction"),
        [("de", "de", "ltr"), ("ar", "ar", "rtl"), (None, "fr", "ltr"), ("klingon", "fr", "ltr")],
    )
    def test_it_is_in_the_language_of_the_person_and_not_of_who_signs_in(
        self, alice: User, settings: Any, wanted: Any, language: str, direction: str
    ):
        settings.LANGUAGE_CODE = "fr"
        settings.SESSIONS_PLUS_USER_LANGUAGE = lambda user: wanted if user == alice else "es"
        enter(alice)
        with translation.override("ja"):
            enter(alice, "curl/8.6.0")
            assert translation.get_language() == "ja"
        assert f'<html lang="{language}" dir="{direction}">' in html_of(mail.outbox[0])

    @pytest.mark.parametrize("is_aware", [True, False])
    def test_the_time_is_that_of_the_site(self, alice: User, settings: Any, is_aware: bool):
        settings.USE_TZ = is_aware
        settings.TIME_ZONE = "Asia/Tokyo"
        enter(alice)
        with timezone.override("America/New_York"):
            row = enter(alice, "curl/8.6.0")
        moment = row.authenticated_at
        assert moment is not None
        if is_aware:
            moment = timezone.localtime(moment, timezone.get_default_timezone())
        for text in (mail.outbox[0].body, html_of(mail.outbox[0])):
            assert "JST" in text
            # At full hours without minutes, as the format has it.
            assert dateformat.format(moment, "P") in text

    def test_the_templates_can_be_overridden(self, alice: User, settings: Any, tmp_path: Path):
        folder = tmp_path / "django_sessions_plus" / "email"
        folder.mkdir(parents=True)
        (folder / "new_device_subject.txt").write_text("Hello\n{{ name }}\n")
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        enter(alice), enter(alice, "curl/8.6.0")
        assert mail.outbox[0].subject == "Hello alice"

    @pytest.mark.parametrize("name", ["new_device", "token_issued", "credential_changed"])
    @pytest.mark.parametrize("end", ["txt", "html"])
    def test_all_have_one_frame_that_can_be_overridden(
        self, settings: Any, tmp_path: Path, name: str, end: str
    ):
        folder = tmp_path / "django_sessions_plus" / "email"
        folder.mkdir(parents=True)
        (folder / f"base.{end}").write_text("Acme: {% block message %}{% endblock %}")
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        text = render_to_string(f"django_sessions_plus/email/{name}.{end}", {"is_password": True})
        assert text.startswith("Acme: ")
        assert "account" in text

    def test_a_name_is_escaped_where_it_has_to_be(self, alice: User):
        alice.username = "<b>O'Hara</b> & Co"
        enter(alice), enter(alice, "curl/8.6.0")
        assert "<b>O'Hara</b> & Co" in mail.outbox[0].body
        assert "<b>" not in html_of(mail.outbox[0])


def html_of(message: Any) -> str:
    ((html, _),) = message.alternatives
    return str(html)


def source_of(message: Any) -> str:
    """Return all there is of an e-mail, not encoded for its way."""
    return "\n".join([str(message.message().items()), message.body, html_of(message)])


@sending
@override_settings(SESSIONS_PLUS_RECORD_IP="off")
def test_what_is_not_recorded_is_not_in_the_e_mail(alice: User):
    enter(alice, FIREFOX, "192.0.2.1"), enter(alice, "curl/8.6.0", "198.51.100.1")
    assert "198.51.100" not in source_of(mail.outbox[0])


def test_a_sign_in_costs_no_query_more_where_nobody_wants_to_know(alice: User, statements: Any):
    enter(alice)
    with statements() as executed:
        enter(alice, "curl/8.6.0")
    assert not [sql for sql in executed.reads if "user_agent" in sql]
