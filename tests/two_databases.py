"""A site whose sessions are in another database than its users: ``python -m tests.two_databases``.

In a process of its own, for tables are made where a router says, once.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import django
from django.core.management import call_command

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.two_databases_settings"
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402

from django_sessions_plus import sessions  # noqa: E402
from django_sessions_plus.models import Session  # noqa: E402
from django_sessions_plus.signals import session_ended  # noqa: E402

told: list[Any] = []


def main() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("migrate", database="sessions", verbosity=0)
    session_ended.connect(hear)
    for check in (by_instance, by_queryset, rolled_back, in_the_admin):
        User.objects.all().delete()
        assert not Session.objects.exists()
        told.clear()
        check()
    sys.stdout.write("all is well\n")


def hear(session: Session, user: Any, reason: str, **said: Any) -> None:
    told.append((reason, user.username))


def signed_in(name: str, **more: Any) -> tuple[User, Client]:
    user = User.objects.create_user(name, **more)
    client = Client()
    client.force_login(user)
    return user, client


def by_instance() -> None:
    ada, browser = signed_in("ada")
    bob, _ = signed_in("bob")
    sessions.revoke_all(bob, actor=ada)
    ada.delete()
    (left,) = Session.objects.all()
    assert (left.user_id, left.ended_by_id) == (bob.pk, None)
    assert told == [("revoked", "bob"), ("user_deleted", "ada")]
    assert browser.get("/admin/").status_code == 302


def by_queryset() -> None:
    signed_in("ada")
    signed_in("bob")
    User.objects.all().delete()
    assert not Session.objects.exists()
    assert sorted(told) == [("user_deleted", "ada"), ("user_deleted", "bob")]


def rolled_back() -> None:
    ada, _ = signed_in("ada")
    key = ada.pk
    with transaction.atomic():
        ada.delete()
        transaction.set_rollback(True)
    # Signed out, but nothing that is kept of the user is lost.
    assert Session.objects.get().user_id == key == User.objects.get().pk
    assert told == [("user_deleted", "ada")]


def in_the_admin() -> None:
    ada, _ = signed_in("ada")
    row = Session.objects.get()
    _, boss = signed_in("boss", is_staff=True, is_superuser=True)
    page = reverse("admin:auth_user_delete", args=[ada.pk])
    assert str(row) in boss.get(page).content.decode()
    assert boss.post(page, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(username="ada").exists()
    assert not Session.objects.filter(pk=row.pk).exists()
    assert told == [("user_deleted", "ada")]


if __name__ == "__main__":
    main()
