"""That a transactional test leaves the database as it found it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import TransactionTestCase

from django_sessions_plus.models import Session
from tests.backends.drivers import SyncSession, sign_in
from tests.custom.engine import DeviceSession

pytestmark = pytest.mark.django_db(transaction=True)


def flush() -> None:
    """Do what Django does after a transactional test."""
    case: Any = TransactionTestCase("_fixture_teardown")
    case._fixture_teardown()


def created_by_migrating() -> tuple[list[object], ...]:
    permissions = Permission.objects.order_by("pk").values_list("content_type__model", "codename")
    return list(ContentType.objects.order_by("pk").values_list("model")), list(permissions)


def test_no_row_is_left_but_those_that_migrating_creates():
    before = created_by_migrating()
    assert all(before)
    user = User.objects.create(username="ada")
    group = Group.objects.create(name="staff")
    group.permissions.set(Permission.objects.all()[:3])
    user.groups.add(group)
    user.user_permissions.set(Permission.objects.all()[:3])
    session = SyncSession()
    sign_in(session, user)
    LogEntry.objects.create(
        user=user, content_type=ContentType.objects.get_for_model(user), action_flag=ADDITION
    )
    flush()
    models = [User, Group, LogEntry, Session, DeviceSession]
    assert [model.objects.count() for model in models] == [0] * len(models)
    assert created_by_migrating() == before
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM auth_group_permissions")
        assert cursor.fetchone() == (0,)


def remove_a_permission():
    Permission.objects.first().delete()


def rename_a_permission():
    Permission.objects.filter(codename="add_user").update(name="renamed")


def add_a_content_type():
    ContentType.objects.create(app_label="left", model="behind")


@pytest.mark.parametrize("change", [remove_a_permission, rename_a_permission, add_a_content_type])
def test_what_migrating_creates_is_created_again_when_a_test_has_changed_it(change):
    flush()
    before = set(Permission.objects.values_list("codename", "name"))
    models = set(ContentType.objects.values_list("model", flat=True))
    change()
    flush()
    # More may be there: of models that other tests have defined since.
    assert set(Permission.objects.values_list("codename", "name")) >= before
    assert models <= set(ContentType.objects.values_list("model", flat=True)) - {"behind"}
    # And from now on these rows are the ones that stay.
    keys = set(Permission.objects.values_list("pk", flat=True))
    flush()
    assert set(Permission.objects.values_list("pk", flat=True)) == keys
