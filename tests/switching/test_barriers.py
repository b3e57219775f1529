"""Whatever ends all sessions of a user, or everybody's, also reaches those that were not imported yet."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone

from django_sessions_plus import privacy, sessions
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.models import Session
from django_sessions_plus.switching import importing
from django_sessions_plus.switching.models import ImportBarrier
from tests.switching.conftest import after_switch, browser

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.admin.site"),
]

ADMIN = "/admin/django_sessions_plus/session/"


def who(client: Client) -> str:
    """Return the primary key of the user who is signed in, as text."""
    store = new_store(client.cookies["sessionid"].value)
    return str(store.get("_auth_user_id", ""))


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", "boss@example.com"))
    return client


def end_all_of_users(boss: Client, user: User) -> None:
    row = sessions.start(user).row
    assert row is not None
    boss.post(ADMIN, {"action": "end_all_of_users", "_selected_action": [str(row.pk)]})


ENDS: dict[str, Any] = {
    "admin page of a user": lambda boss, user: boss.post(f"{ADMIN}end-all/{user.pk}/"),
    "admin action": end_all_of_users,
    "admin, everyone": lambda boss, user: boss.post(f"{ADMIN}everyone/", {"consent": "everyone"}),
    "command, user": lambda boss, user: call_command(
        "revoke_sessions", users=[user.username], verbosity=0
    ),
    "command, everyone": lambda boss, user: call_command(
        "revoke_sessions", all=True, interactive=False, verbosity=0
    ),
    "erasure": lambda boss, user: privacy.erase(user, active=True),
    "deletion": lambda boss, user: User.objects.filter(pk=user.pk).delete(),
    "new password": lambda boss, user: (user.set_password("another"), user.save()),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_every_way_to_end_all_sessions_reaches_those_that_were_not_imported_yet(
    boss, alice, before, end
):
    with before:
        client = browser(alice)
    with after_switch():
        end(boss, alice)
        assert ImportBarrier.objects.count() == 1
        assert who(client) == ""
    assert not Session.objects.active().filter(user__username="alice").exists()


@pytest.mark.parametrize("nobody", [None, AnonymousUser()])
def test_to_end_the_sessions_of_nobody_forbids_nobody_s_import(alice, before, nobody):
    with before:
        client = browser(alice)
    with after_switch():
        assert sessions.revoke_all(nobody) == 0
        assert not ImportBarrier.objects.exists()
        assert who(client) == str(alice.pk)


@pytest.mark.parametrize("end", [sessions.revoke_all, lambda user: sessions.revoke_everyone()])
def test_an_import_that_began_earlier_and_is_committed_while_all_end_in_a_transaction(
    alice, before, end
):
    """Neither side sees what the other has written: the commit of the end has to look again."""
    with before:
        browser(alice)
    with after_switch():
        began = timezone.now() - timedelta(seconds=5)
        with transaction.atomic():
            end(alice)
            # As if another connection had inserted it, which had read the barriers before.
            late = Session.objects.create(
                token_digest="f" * 64,
                user=alice,
                imported_at=began,
                created_at=began,
                expires_at=timezone.now() + timedelta(1),
            )
            signed_in_again = Session.objects.create(
                token_digest="e" * 64,
                user=alice,
                imported_at=began,
                authenticated_at=timezone.now(),
                expires_at=timezone.now() + timedelta(1),
            )
        late.refresh_from_db()
        signed_in_again.refresh_from_db()
        assert late.ended_at is not None
        assert signed_in_again.ended_at is None


def test_everyone_is_signed_out_while_one_is_imported(alice, before):
    """The import is done between the first statements of the end."""
    with before:
        client = browser(alice)
    with after_switch():
        forbid = importing.forbid_earlier

        def forbid_late(*args: Any, **options: Any) -> Any:
            who(client)
            return forbid(*args, **options)

        with patch.object(importing, "forbid_earlier", forbid_late):
            sessions.revoke_everyone()
        assert who(client) == ""


def test_a_primary_key_may_be_given_in_any_form(alice, before):
    with before:
        client = browser(alice)
    with after_switch():
        sessions.revoke_all(f" {alice.pk}")
        assert who(client) == ""


@pytest.mark.parametrize("is_all", [True, False])
def test_a_package_whose_app_is_missing_keeps_no_session_from_ending(alice, settings, is_all):
    settings.SESSIONS_PLUS_IMPORT_FROM = ["knox"]
    sessions.start(alice)
    if is_all:
        sessions.revoke_everyone()
    else:
        alice.set_password("another")
        alice.save()
    assert not sessions.list_for(alice).exists()
