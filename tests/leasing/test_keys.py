"""The keys of users, by which triggers announce them and by which the memory knows them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db import connection, models
from django.test.utils import isolate_apps
from django.utils import timezone

from django_sessions_plus.backends.leasing.snapshots import is_plain_user, snapshot_of
from django_sessions_plus.models import Session


class Obscured(models.BigAutoField):  # type: ignore[type-arg]
    """A number that Python code knows by another name, as hashids are."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> str:
        return f"user-{value}"


KEYS: dict[str, tuple[Any, bool]] = {
    "number": (models.BigAutoField(primary_key=True), True),
    "uuid": (models.UUIDField(primary_key=True), True),
    "address": (models.EmailField(primary_key=True), True),
    "another user": (models.OneToOneField(User, models.CASCADE, primary_key=True), True),
    "converted": (Obscured(primary_key=True), False),
    "time": (models.DateTimeField(primary_key=True), False),
}


@pytest.mark.parametrize("name", KEYS)
@isolate_apps("tests.leasing")
def test_only_users_whose_key_is_announced_as_python_writes_it_are_kept(name: str):
    field, is_kept = KEYS[name]

    class Person(AbstractBaseUser):
        key = field
        is_active = models.BooleanField(default=True)

        class Meta:
            app_label = "leasing"

    assert is_plain_user(Person) is is_kept


def test_a_user_is_known_by_the_key_that_is_announced():
    """Where case makes no difference to the database, the row may have it in another."""
    user = User(pk=7, password="x")
    row = Session(user=user, expires_at=timezone.now() + timedelta(days=1))
    row._state.db = connection.alias
    row.user_id = "007"
    row._state.fields_cache["user"] = user
    snapshot = snapshot_of(row, {"_auth_user_hash": user.get_session_auth_hash()}, 0.0)
    assert snapshot is not None
    assert snapshot.user_key == "7"
