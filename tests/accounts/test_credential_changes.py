"""What a user is told of a changed password or factor."""

import logging

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core import mail
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from django_sessions_plus import signals
from django_sessions_plus.accounts.credential_changes import (
    areport_changed_credential,
    report_changed_credential,
)
from tests.api.conftest import connected

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "a new password"


@pytest.fixture(autouse=True)
def _on(settings, caplog):
    settings.SESSIONS_PLUS_CREDENTIAL_EMAIL = True
    settings.SESSIONS_PLUS_DEVICES_URL = "https://example.com/devices/"
    settings.SESSIONS_PLUS_PASSWORD_URL = "/password/"
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": "tests.accounts.test_credential_changes",
        }
    }
    # Of other tests in this process, whose users may have had the same key.
    cache.clear()
    caplog.set_level(logging.INFO, logger="django_sessions_plus")


def events(caplog):
    found = [vars(r) for r in caplog.records if hasattr(r, "event")]
    return [event for event in found if event["event"].startswith("credential")]


def change(user):
    user.set_password(SECRET)
    user.save()


def test_a_new_password_is_told_by_e_mail_signal_and_log(alice, caplog):
    received = []
    with connected(signals.credential_changed, lambda **said: received.append(said)):
        change(alice)
    (message,) = mail.outbox
    assert message.to == ["alice@example.com"]
    assert message.subject == "Your password was changed (example.com)"
    html = message.alternatives[0][0]
    for text in (message.body, html):
        assert "The password of your account was changed." in text
        assert "https://example.com/devices/" in text
        assert "https://example.com/password/" in text
        assert SECRET not in text
    (said,) = received
    assert (said["user"], said["credential"]) == (alice, "password")
    (event,) = events(caplog)
    assert (event["event"], event["user_id"]) == ("credential_changed", str(alice.pk))
    assert event["credential"] == "password"
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "report", [report_changed_credential, async_to_sync(areport_changed_credential)]
)
def test_what_the_project_reports_is_told_too(alice, caplog, report):
    report(alice, "totp")
    assert mail.outbox[0].subject == "How you sign in was changed (example.com)"
    assert "added, changed or removed" in mail.outbox[0].body
    assert [event["credential"] for event in events(caplog)] == ["totp"]


def test_it_waits_for_the_commit_and_says_nothing_of_what_is_rolled_back(alice):
    with transaction.atomic():
        change(alice)
        assert mail.outbox == []
    assert len(mail.outbox) == 1
    with transaction.atomic():
        change(alice)
        transaction.set_rollback(True)
    assert len(mail.outbox) == 1


def test_the_form_of_the_admin_and_of_django_is_noticed(alice):
    alice.is_staff = alice.is_superuser = True
    alice.save()
    client = Client()
    client.force_login(alice)
    form = {"old_password": "wonderland", "new_password1": SECRET, "new_password2": SECRET}
    assert client.post("/admin/password_change/", form).status_code == 302
    assert len(mail.outbox) == 1


def test_no_change_is_told_where_there_is_none(alice):
    alice.first_name = "Alice"
    alice.save()
    User.objects.create_user("new", "new@example.com", SECRET)
    assert mail.outbox == []


def test_an_upgrade_of_how_a_password_is_stored_is_no_change(alice, settings):
    md5 = "django.contrib.auth.hashers.MD5PasswordHasher"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher", md5]
    before = alice.password
    assert alice.check_password("wonderland")
    assert User.objects.get(pk=alice.pk).password != before
    assert mail.outbox == []


def test_without_the_setting_there_is_no_e_mail_and_the_log_has_it(alice, settings, caplog):
    settings.SESSIONS_PLUS_CREDENTIAL_EMAIL = False
    change(alice)
    assert mail.outbox == []
    assert len(events(caplog)) == 1


def test_a_mail_server_that_is_down_breaks_no_change(alice, monkeypatch, caplog):
    def fail(message):
        raise OSError("alice@example.com: down")

    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", fail)
    change(alice)
    assert User.objects.get(pk=alice.pk).check_password(SECRET)
    assert [event["event"] for event in events(caplog)][-1] == "credential_email_failed"
    assert "alice@example.com" not in caplog.text


def test_a_receiver_that_fails_breaks_no_change(alice):
    def fail(**said):
        raise RuntimeError("a defect")

    with connected(signals.credential_changed, fail):
        change(alice)
    assert len(mail.outbox) == 1


def test_e_mails_are_limited(alice, settings, caplog):
    settings.SESSIONS_PLUS_RATES = {"email": "2/d"}
    for _ in range(3):
        report_changed_credential(alice, "limited")
    assert len(mail.outbox) == 2
    assert events(caplog)[-1]["error"] == "throttled"


def test_a_user_without_an_address_gets_none(bob):
    bob.email = ""
    change(bob)
    assert mail.outbox == []
