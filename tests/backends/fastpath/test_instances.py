"""Instances that are made of columns are those that ``from_db()`` makes; where they might not be, it makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps.registry import Apps
from django.contrib.auth.models import User
from django.db import models
from django.db.models import base, query_utils
from django.db.models.fields import related_descriptors
from django.test import override_settings

from django_sessions_plus.backends.fastpath import internals
from django_sessions_plus.models import Session

APPS = Apps()


class Meta:
    app_label = "custom"
    apps = APPS


class Document(models.Model):
    """Its file is set by a descriptor."""

    file = models.FileField()
    Meta = type("Meta", (Meta,), {})


class Remembering(models.Model):
    """Its instances know what they were."""

    name = models.CharField(max_length=9)
    Meta = type("Meta", (Meta,), {})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.former_name = self.name


class Counted(models.Model):
    name = models.CharField(max_length=9)
    Meta = type("Meta", (Meta,), {})

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        vars(made)["is_counted"] = True
        return made


class Upper(query_utils.DeferredAttribute):
    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)[self.field.attname] = value.upper()


class UpperField(models.CharField):  # type: ignore[type-arg]  # takes none at run time
    descriptor_class = Upper


class Shouted(models.Model):
    name = UpperField(max_length=9)
    Meta = type("Meta", (Meta,), {})


class OwnFromDb(models.Model):
    name = models.CharField(max_length=9)
    Meta = type("Meta", (Meta,), {})

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().from_db(*args, **kwargs)
        vars(made)["is_read"] = True
        return made


@pytest.fixture(autouse=True)
def _unjudged() -> Iterator[None]:
    internals._has_only_columns.cache_clear()
    yield
    internals._has_only_columns.cache_clear()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """Return the models that ``from_db()`` was asked for since then, but for the comparison."""
    found: list[type] = []
    real: Any = models.Model.from_db.__func__  # type: ignore[attr-defined]

    def from_db(cls: Any, db: Any, *args: Any, **kwargs: Any) -> Any:
        if db != "x":
            found.append(cls)
        return real(cls, db, *args, **kwargs)

    monkeypatch.setattr(models.Model, "from_db", classmethod(from_db))
    return found


def made(model: Any, *without: str) -> Any:
    names = tuple(f.attname for f in model._meta.concrete_fields if f.attname not in without)
    values = tuple(f"value of {name}" for name in names)
    ours = internals.instance_of(model, names, values, "other")
    djangos = model.from_db("other", names, values)
    assert ours is not djangos
    assert internals._content(ours) == internals._content(djangos)
    assert ours.get_deferred_fields() == {*without}
    return ours


@pytest.mark.parametrize(
    ("model", "without"),
    [(User, []), (User, ["email"]), (Session, ["session_data"]), (Counted, [])],
)
def test_an_instance_is_the_one_that_django_makes(asked, model, without):
    ours = made(model, *without)
    assert asked == [model]
    ours._state.fields_cache["user"] = None
    assert "user" not in made(model)._state.fields_cache


@pytest.mark.parametrize("model", [Document, Remembering, Shouted, OwnFromDb])
def test_django_makes_those_that_are_more_than_their_columns(asked, model):
    made(model)
    assert asked == [model, model]


def test_django_makes_them_while_somebody_observes_that(asked):
    seen: list[Any] = []

    def receiver(instance: Any = None, **kwargs: Any) -> None:
        seen.append(instance)

    for signal in (models.signals.pre_init, models.signals.post_init):
        made(User)
        assert asked.pop() is User
        assert asked == []
        signal.connect(receiver, sender=User)
        try:
            seen.clear()
            made(User)
            assert len(seen) == 2
        finally:
            signal.disconnect(receiver, sender=User)
        asked.clear()


def test_django_makes_them_without_the_fast_path(asked):
    with override_settings(SESSIONS_PLUS_FAST_PATH=False):
        made(User)
    assert asked == [User, User]


def _refuse(*args: Any, **kwargs: Any) -> Any:
    raise TypeError("changed")


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no DeferredAttribute": lambda m: m.delattr(query_utils, "DeferredAttribute"),
    "no ForeignKeyDeferredAttribute": lambda m: m.delattr(
        related_descriptors, "ForeignKeyDeferredAttribute"
    ),
    "another state": lambda m: m.setattr(
        internals, "base", type("Base", (), {"ModelState": staticmethod(_refuse)})
    ),
    "more in the state": lambda m: m.setattr(
        internals,
        "base",
        type("Base", (), {"ModelState": type("State", (base.ModelState,), {"__init__": _more})}),
    ),
    "no state": lambda m: m.setattr(internals, "base", object()),
}


def _more(self: Any) -> None:
    self.more = True


@pytest.mark.parametrize("change", CHANGES)
def test_django_makes_them_if_it_has_changed(asked, change, monkeypatch):
    CHANGES[change](monkeypatch)
    made(User)
    assert asked == [User, User]
