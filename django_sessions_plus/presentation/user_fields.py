"""Which fields of a user the API, access tokens and the schema contain.

Of the fields that a setting names, only columns are used, because those cost no query, and never
the password. A callable of the project may return anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models

from django_sessions_plus.conf import PREFIX, callables
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.jwt.compact import is_plain

SECRET_FIELD = re.compile(
    r"(.*_)?(password|passwd|passphrase|secret|token|otp|salt|hash|pin|(api|private|secret|access|session)_?key)",
    re.IGNORECASE,
)
"""Names that suggest a secret."""


def user_body(user: Any) -> dict[str, Any]:
    """Return the id of a user and the fields of ``SESSIONS_PLUS_USER_FIELDS``.

    Raises:
        ConfigurationError: the path cannot be imported, or the callable returns no dictionary.
    """
    source = callables.user_fields()
    fields: Mapping[str, Any]
    if not callable(source):
        fields = values_of(user, source)
    elif not is_named(fields := source(user)):
        raise ConfigurationError(f"{PREFIX}USER_FIELDS must give a dictionary with texts as keys.")
    # Clients need the id to see that another user has signed in.
    return {"id": user.pk} | {name: value for name, value in fields.items() if name != "id"}


def shown_columns(
    model: type[models.Model], names: Iterable[str]
) -> dict[str, models.Field[Any, Any]]:
    """Return those of the named fields that ``model`` has as columns, by name and in the order of ``names``."""
    columns = {field.name: field for field in model._meta.concrete_fields}
    return {name: columns[name] for name in names if name in columns and name != "password"}


def values_of(user: models.Model, names: Iterable[str]) -> dict[str, Any]:
    """Return the values of these fields, as text where JSON has no type for them."""
    # Not type(user): request.user may be a lazy object.
    fields = shown_columns(user._meta.model, names)
    return {name: _plain(field, user) for name, field in fields.items()}


def is_named(fields: object) -> bool:
    """Return whether what a callable of the project returned is a dictionary with texts as keys."""
    return isinstance(fields, Mapping) and all(isinstance(name, str) for name in fields)


def _plain(field: models.Field[Any, Any], user: models.Model) -> Any:
    value = field.value_from_object(user)
    return value if is_plain(value) else field.value_to_string(user)
