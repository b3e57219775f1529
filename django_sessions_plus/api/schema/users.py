"""The user in the schema: the key, and the fields that the project chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, get_type_hints, is_typeddict

from django.contrib.auth import get_user_model
from django.db import models
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import append_meta, build_basic_type, resolve_type_hint
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction
from rest_framework import serializers

from django_sessions_plus.api.fields import UserKeyField
from django_sessions_plus.conf import callables
from django_sessions_plus.presentation.user_fields import shown_columns

# By class of the serializer field. The last match counts, because some are subclasses of others.
_TYPES: dict[type[models.Field[Any, Any]], Any] = {
    models.BooleanField: OpenApiTypes.BOOL,
    models.IntegerField: OpenApiTypes.INT,
    models.FloatField: OpenApiTypes.FLOAT,
    models.DecimalField: OpenApiTypes.STR,
    models.DateField: OpenApiTypes.DATE,
    models.DateTimeField: OpenApiTypes.DATETIME,
    models.UUIDField: OpenApiTypes.UUID,
    models.JSONField: OpenApiTypes.ANY,
}


class UserField(serializers.Field[Any, Any, Any, Any]):
    """The user; the project chooses the fields."""


class UserComponent(OpenApiSerializerFieldExtension):
    """The user: the id, and the fields of ``SESSIONS_PLUS_USER_FIELDS``.

    If that is a callable that is annotated to return a ``TypedDict``, its fields; else any fields.
    """

    target_class = f"{__name__}.UserField"

    def get_name(self) -> str:
        """Return the component's name."""
        return "UserSessionUser"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema of the result of ``user_body()``."""
        model = get_user_model()
        key = {"id": column_type(model._meta.pk)}
        source = callables.user_fields()
        if callable(source):
            return _computed(source, key)
        fields = shown_columns(model, source).items()
        columns = {**key, **{name: column_type(field) for name, field in fields}}
        return {"type": "object", "properties": columns, "required": list(columns)}


class UserKeyType(OpenApiSerializerFieldExtension):
    """The key of a user, with the type of the user model's primary key."""

    target_class = f"{UserKeyField.__module__}.UserKeyField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema of the column."""
        return column_type(get_user_model()._meta.pk)


def _computed(source: Callable[..., Any], key: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a callable's result, with the user's key."""
    try:
        returned = get_type_hints(source).get("return")
    except (NameError, TypeError):
        # The annotation uses a name that exists for type checkers only, or the callable has none.
        returned = None
    if not is_typeddict(returned):
        return {
            "type": "object",
            "properties": key,
            "required": list(key),
            "additionalProperties": {},
        }
    found = resolve_type_hint(returned)
    required = [*key, *(name for name in found.get("required", ()) if name not in key)]
    return {"type": "object", "properties": found["properties"] | key, "required": required}


def column_type(field: models.Field[Any, Any]) -> dict[str, Any]:
    """Return the schema of a column's value in JSON; for a foreign key, that of the key."""
    is_nullable, column = field.null, cast(Any, field)
    while column.is_relation:
        column = column.target_field
    fitting = [kind for cls, kind in _TYPES.items() if isinstance(column, cls)]
    found: dict[str, Any] = build_basic_type(fitting[-1] if fitting else OpenApiTypes.STR) or {}
    return append_meta(found, {"nullable": True}) if is_nullable else found
