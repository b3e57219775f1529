"""Instances are made without Django's constructor only where nobody could tell the difference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.db.models.signals import post_init, pre_init
from django.test.utils import isolate_apps

from django_sessions_plus.backends.building import Maker
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session
from tests.backends.drivers import identity

MODELS = (User, Session)


def names_of(model: type[models.Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


@contextmanager
def listener(signal: Any, sender: type[models.Model]) -> Iterator[list[Any]]:
    told: list[Any] = []

    def receive(**kwargs: Any) -> None:
        told.append(kwargs.get("instance") or kwargs["args"])

    signal.connect(receive, sender=sender)
    try:
        yield told
    finally:
        signal.disconnect(receive, sender=sender)


@pytest.mark.parametrize("model", MODELS)
def test_an_instance_is_what_django_makes(model):
    maker = Maker(model, names_of(model))
    values = [field.get_default() for field in model._meta.concrete_fields]
    ours, djangos = maker.make("other", values), model.from_db("other", maker.names, values)
    assert maker.is_light
    assert vars(ours).keys() == vars(djangos).keys()
    assert {**vars(ours), "_state": None} == {**vars(djangos), "_state": None}
    assert vars(ours._state) == vars(djangos._state)
    assert ours.get_deferred_fields() == set()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("signal", [pre_init, post_init])
def test_who_listens_is_told(signal, model):
    maker = Maker(model, names_of(model))
    values = [field.get_default() for field in model._meta.concrete_fields]
    with listener(signal, model) as told:
        maker.make("default", values)
        assert len(told) == 1


@pytest.mark.django_db
def test_who_listens_to_users_is_told_of_that_of_the_session(alice):
    store = SessionStore()
    store.update(identity(alice))
    store.save()

    def user() -> Any:
        again = SessionStore(store.session_key)
        again.wants_user = True
        again.load_if_needed()
        assert again.row is not None
        return again.row.user

    assert user() == alice
    with listener(post_init, User) as told:
        assert user() == alice
    assert told == [alice]


@isolate_apps("tests.custom")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("__init__", None),
        ("__new__", None),
        ("__setattr__", None),
        ("from_db", classmethod),
        ("from_db", staticmethod),
        ("from_db", None),
    ],
)
def test_a_model_with_ways_of_its_own_is_made_by_them(name, kind):
    class Own(models.Model):
        number = models.IntegerField(primary_key=True)

        class Meta:
            app_label = "custom"

    def own(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    assert Maker(Own, ["number"]).is_light
    setattr(Own, name, own if kind is None else kind(own))
    maker = Maker(Own, ["number"])
    assert not maker.is_light
    with pytest.raises(NotImplementedError):
        maker.make("default", [1])


@isolate_apps("tests.custom")
def test_an_attribute_with_ways_of_its_own_is_set_by_them():
    class Own(models.Model):
        number = models.IntegerField(primary_key=True)
        picture = models.FileField()

        class Meta:
            app_label = "custom"

    maker = Maker(Own, names_of(Own))
    assert not maker.is_light
    assert maker.make("default", [1, "a.png"]).picture.name == "a.png"
