"""From columns to instances of models.

Nothing here knows a statement. What does not have the form that is needed is refused,
and the query is left to the ORM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init


class RefusedError(Exception):
    """The compiled statement has not the form that is needed here."""


class Maker:
    """Make instances of one model from all columns that are ever read with it.

    Without Django's constructor, where that would do no more than this: it looks at each field
    to see what it was given, and here that is known. What is not is read when it is asked for.
    """

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        self.model = model
        self.names = names
        methods = ("__init__", "__new__", "__setattr__")
        is_own = any(getattr(model, one) is not getattr(models.Model, one) for one in methods)
        is_own |= _function(model.from_db) is not _function(models.Model.from_db)
        # What Django's constructor leaves out of the instance: it is read through a descriptor.
        is_plain = all(
            type(getattr(model, name)) in (DeferredAttribute, ForeignKeyDeferredAttribute)
            for name in names
        )
        self.is_light = is_plain and not is_own

    def make(self, alias: str, values: Sequence[Any]) -> Any:
        """Return the instance with these values, as read from the database ``alias``."""
        if not self.is_light or self._is_told():
            return self.model.from_db(alias, self.names, values)
        instance = self.model.__new__(self.model)
        state = models.base.ModelState()
        state.adding, state.db = False, alias
        instance.__dict__ = dict(zip(self.names, values, strict=True), _state=state)
        return instance

    def _is_told(self) -> bool:
        """Tell whether somebody listens for new instances."""
        # Most projects have nobody who listens for any, which is quicker to see.
        return bool(
            (pre_init.receivers and pre_init.has_listeners(self.model))
            or (post_init.receivers and post_init.has_listeners(self.model))
        )


class Builder:
    """Make instances of one model from a row of the compiled query."""

    def __init__(self, compiler: Any, info: dict[str, Any]) -> None:
        model: Any = info["model"]
        # A model made of several tables needs more than its own columns in their order.
        expect(not model._meta.parents)
        positions = list(info["select_fields"])
        self.start, self.stop = positions[0], positions[-1] + 1
        expect(positions == list(range(self.start, self.stop)))
        names = [compiler.select[position][0].target.attname for position in positions]
        self.key = self.start + names.index(model._meta.pk.attname)
        self.maker = Maker(model, names)

    def build(self, alias: str, values: list[Any]) -> Any:
        """Return the instance in ``values``; None where the join found none."""
        if values[self.key] is None:
            return None
        return self.maker.make(alias, values[self.start : self.stop])


def _function(method: Any) -> Any:
    """Return what a class method calls; anything else, such as a static method, is itself."""
    return getattr(method, "__func__", method)


def expect(is_expected: bool) -> None:
    """Refuse the statement unless it has come out as expected."""
    if not is_expected:
        raise RefusedError
