"""What may be told of a user outside of the site: in the API, in access tokens, in the schema.

Columns only, so that nothing told costs a query; and never the password's, whatever a setting names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models

from django_sessions_plus.jwt.compact import is_plain


def tellable(model: type[models.Model], names: Iterable[str]) -> dict[str, models.Field[Any, Any]]:
    """Return those of the named fields that ``model`` has as columns, by name and in the order of ``names``."""
    columns = {field.name: field for field in model._meta.concrete_fields}
    return {name: columns[name] for name in names if name in columns and name != "password"}


def values_of(user: models.Model, names: Iterable[str]) -> dict[str, Any]:
    """Return the values of those fields, as text where JSON has no form for them."""
    # Not by type(), which of request.user may be that of a lazy object.
    fields = tellable(user._meta.model, names)
    return {name: _plain(field, user) for name, field in fields.items()}


def _plain(field: models.Field[Any, Any], user: models.Model) -> Any:
    value = field.value_from_object(user)
    return value if is_plain(value) else field.value_to_string(user)
