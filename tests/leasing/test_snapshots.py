"""What is kept of a row and its user, and what is not: pure, but for models that are never stored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps.registry import Apps
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from django_sessions_plus.backends.leasing.snapshots import (
    Columns,
    is_plain,
    is_plain_user,
    snapshot_of,
)
from django_sessions_plus.models import Session

DAY = timedelta(days=1)
# Of its own, so that no check and no migration sees these models.
APPS = Apps()


class Profile(models.Model):
    tags = models.JSONField(default=list)

    class Meta:
        app_label = "custom"
        apps = APPS


class OwnColumns(AbstractBaseUser):
    """A user model that reads its columns in its own way."""

    class Meta:
        app_label = "custom"
        apps = APPS

    @classmethod
    def from_db(cls, db: Any, field_names: Any, values: Any) -> Any:  # type: ignore[override]
        return super().from_db(db, field_names, values)


class OwnHash(AbstractBaseUser):
    class Meta:
        app_label = "custom"
        apps = APPS

    def get_session_auth_hash(self) -> str:
        return "the same for all"


class OwnActivity(AbstractBaseUser):
    class Meta:
        app_label = "custom"
        apps = APPS

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        return False


class Plain(AbstractBaseUser):
    class Meta:
        app_label = "custom"
        apps = APPS


@pytest.fixture
def user() -> User:
    found = User.from_db(
        "default",
        [field.attname for field in User._meta.concrete_fields],
        [field.get_default() for field in User._meta.concrete_fields],
    )
    found.pk, found.username, found.password = 7, "ada", "x"
    return found


def row_of(user: User | None, **changes: Any) -> Session:
    now = timezone.now()
    known = {
        "token_digest": "d" * 64,
        "expires_at": now + DAY,
        "created_at": now,
        "last_seen_at": now,
    }
    row = Session(user=user, **(known | {"authenticated_at": now} | changes))
    row._state.db = "default"
    return row


def data_of(user: User) -> dict[str, Any]:
    return {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: user.get_session_auth_hash(),
        "basket": [1, 2],
    }


def test_who_is_signed_in_is_kept_and_nothing_else_of_the_data(user):
    found = snapshot_of(row_of(user, session_data="secret"), data_of(user), 1.0)
    assert found is not None
    assert found.identity == {k: v for k, v in data_of(user).items() if k != "basket"}
    assert (found.user_key, found.digest, found.read_at) == ("7", "d" * 64, 1.0)
    assert "secret" not in repr(found)


def test_an_instance_is_as_the_database_returned_it(user):
    row = row_of(user)
    found = snapshot_of(row, data_of(user), 1.0)
    assert found is not None
    one, two = found.instance(), found.instance()
    assert one is not two
    assert one.user is not two.user
    for each in (one, two):
        assert each == row
        assert (each._state.db, each._state.adding) == ("default", False)
        assert each.user.username == "ada"
        assert "session_data" in each.get_deferred_fields()
        assert each.expires_at == row.expires_at


def test_a_value_that_can_be_changed_in_place_is_copied_for_each():
    loaded = Profile(pk=1, tags=["a"])
    columns = Columns.of(loaded)
    loaded.tags.append("later")
    one, two = columns.instance("default"), columns.instance("default")
    one.tags.append("b")
    assert (one.tags, two.tags) == (["a", "b"], ["a"])


@pytest.mark.parametrize(
    "changes",
    [
        {"ended_at": timezone.now()},
        {"expires_at": timezone.now() - DAY},
    ],
    ids=["ended", "expired"],
)
def test_what_nobody_can_use_is_not_kept(user, changes):
    assert snapshot_of(row_of(user, **changes), data_of(user), 1.0) is None


def test_users_who_are_not_active_or_not_loaded_are_not_kept(user):
    user.is_active = False
    assert snapshot_of(row_of(user), data_of(user), 1.0) is None
    row = row_of(user)
    del row._state.fields_cache["user"]
    assert snapshot_of(row, data_of(user), 1.0) is None


def test_a_session_whose_password_was_changed_is_left_to_django(user):
    data = data_of(user)
    user.password = "another"
    assert snapshot_of(row_of(user), data, 1.0) is None
    assert snapshot_of(row_of(user), {SESSION_KEY: "7"}, 1.0) is None


def test_an_anonymous_session_is_kept():
    found = snapshot_of(row_of(None), {"basket": [1], "_session_expiry": 300}, 1.0)
    assert found is not None
    assert (found.user_key, found.identity) == (None, {"_session_expiry": 300})
    assert found.instance().user_id is None


@pytest.mark.parametrize("model", [OwnColumns, OwnHash, OwnActivity, Profile])
def test_models_with_ways_of_their_own_are_looked_up(model):
    assert not is_plain_user(model)


def test_usual_models_are_kept():
    assert is_plain_user(User)
    assert is_plain_user(Plain)
    assert is_plain(Session)
    assert not is_plain(OwnColumns)
