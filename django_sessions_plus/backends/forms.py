"""In which form rows are kept in a cache: which columns, and under which keys. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections
from django.db.models import NOT_PROVIDED
from django.utils.crypto import salted_hmac

from django_sessions_plus.backends.building import Maker
from django_sessions_plus.backends.context import NO_CONTEXT_CHANGE

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

FORM = 2
PREFIX = "django_sessions_plus"


class Form(NamedTuple):
    """The columns, what makes rows of them, how keys begin, and whether a row is what was written to it."""

    names: tuple[str, ...]
    maker: Maker
    entries: str
    permits: str
    epoch: str
    is_known_before_insert: bool


_forms: dict[tuple[Any, str], Form] = {}


def form_of(model: type[AbstractSession], alias: str) -> Form:
    """Return how the rows of ``model`` in the database ``alias`` are kept."""
    try:
        return _forms[model, alias]
    except KeyError:
        return _forms.setdefault((model, alias), _made(model, alias))


def _made(model: type[AbstractSession], alias: str) -> Form:
    fields = [field for field in model._meta.concrete_fields if field.name not in NO_CONTEXT_CHANGE]
    names = tuple(field.attname for field in fields)
    database = connections[alias].settings_dict
    place = [alias, *(str(database.get(name)) for name in ("ENGINE", "HOST", "PORT", "NAME"))]
    # All who share a cache share permits, so that every withdrawal reaches all of them. None
    # reads an entry of another kind: of another version of the project while both are
    # running, of another database, of a copy of this one that another site was given.
    what = repr((FORM, settings.USE_TZ, names, place))
    kind = salted_hmac(PREFIX, what, algorithm="sha256").hexdigest()[:16]
    prefix = f"{PREFIX}:{model._meta.label_lower}"
    return Form(
        names=names,
        maker=Maker(model, names),
        entries=f"{prefix}:entry:{kind}:",
        permits=f"{prefix}:permit:",
        epoch=f"{prefix}:epoch",
        is_known_before_insert=not any(map(_is_the_databases, fields)),
    )


def _is_the_databases(field: Any) -> bool:
    """Tell whether the database decides what is in the field."""
    return field.generated or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


def _forget_all(**kwargs: object) -> None:
    _forms.clear()


setting_changed.connect(_forget_all, dispatch_uid="django_sessions_plus.forms")
