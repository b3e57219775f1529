"""What becomes of the sessions of a user who is deleted."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.signals import post_save, pre_delete
from django.test.utils import isolate_apps
from django.utils import timezone

from django_sessions_plus.accounts import receivers
from django_sessions_plus.bulk import locking
from django_sessions_plus.models import Session
from tests.accounts.test_receivers import sign_in
from tests.conftest import Told
from tests.running import ROOT


def store(number: int, **columns: Any) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    first = Session.objects.count()
    Session.objects.bulk_create(
        Session(token_digest=f"{at:064x}", expires_at=tomorrow, **columns)
        for at in range(first, first + number)
    )


def test_nothing_cascades_into_another_database():
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.two_databases"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout) == (0, "all is well\n"), run.stderr


@pytest.mark.django_db
def test_rows_of_the_user_go_and_rows_of_others_stay_without_the_name(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(locking, "KEYS_PER_STATEMENT", 2)
    store(5, user=alice, ended_at=timezone.now())
    store(5, user=bob, ended_by=alice, ended_at=timezone.now())
    store(1, user=bob, ended_by=bob, ended_at=timezone.now())
    alice.delete()
    left = Session.objects.values_list("user", "ended_by")
    assert sorted(left, key=str) == sorted([(bob.pk, None)] * 5 + [(bob.pk, bob.pk)], key=str)


@pytest.mark.django_db
@isolate_apps("tests.custom")
def test_a_user_of_a_proxy_model_is_the_same_user(
    alice: User, told: Told, django_capture_on_commit_callbacks: Any
):
    class Proxy(User):
        class Meta:
            proxy = True
            app_label = "custom"

    connected: list[tuple[Any, Any]] = [
        (post_save, receivers.follow_user),
        (pre_delete, receivers.end_with_user),
    ]
    for signal, receiver in connected:
        assert signal.has_listeners(Proxy) is False
        signal.connect(receiver, sender=Proxy)
    sign_in(alice)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            Proxy.objects.get().delete()
    finally:
        for signal, receiver in connected:
            signal.disconnect(receiver, sender=Proxy)
    assert not Session.objects.exists()
    assert [said["reason"] for _, said in told if "reason" in said] == ["user_deleted"]


@isolate_apps("tests.custom")
def test_a_receiver_for_each_class_of_users(monkeypatch: pytest.MonkeyPatch):
    class Child(User):
        class Meta:
            proxy = True
            app_label = "custom"

    monkeypatch.setattr("django.apps.apps.get_models", lambda: [User, Child, Session])
    try:
        receivers.connect()
        assert post_save.has_listeners(Child)
        assert pre_delete.has_listeners(Child)
        assert not pre_delete.has_listeners(Session)
    finally:
        for signal, names in (
            (post_save, ("follow_user", "report_new_password")),
            (pre_delete, ("end_with_user",)),
        ):
            for name in names:
                assert signal.disconnect(sender=Child, dispatch_uid=f"django_sessions_plus.{name}")
    assert not post_save.has_listeners(Child)
    assert not pre_delete.has_listeners(Child)
