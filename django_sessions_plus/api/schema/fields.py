"""Schemas of fields that are the same in every body."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction

from django_sessions_plus.api.fields import AttemptField, TextField, UtcDateTimeField
from django_sessions_plus.jwt.refresh_token import ATTEMPT_PATTERN

# No text may contain the null character.
_NOT_EMPTY = r"^[^\x00]+$"
_NOT_BLANK = r"^[^\x00]*[^\x00\s][^\x00]*$"


class TextFieldSchema(OpenApiSerializerFieldExtension):
    """A text that must not be empty; a field that trims whitespace must not be blank either."""

    target_class = TextField
    match_subclasses = True

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema."""
        found = {"type": "string", "minLength": 1, "pattern": _NOT_EMPTY}
        if self.target.trim_whitespace:
            found["pattern"] = _NOT_BLANK
        longest = self.target.max_length
        return found if longest is None else {**found, "maxLength": longest}


class AttemptFieldSchema(OpenApiSerializerFieldExtension):
    """An attempt of a refresh."""

    target_class = AttemptField
    priority = 1

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema."""
        return {
            "type": "string",
            "pattern": f"^{ATTEMPT_PATTERN.pattern}$",
            "description": "128 random bits, new for each refresh and the same for its retries.",
        }


class UtcDateTimeFieldSchema(OpenApiSerializerFieldExtension):
    """A datetime, always in UTC."""

    target_class = UtcDateTimeField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema."""
        return {"type": "string", "format": "date-time", "pattern": "Z$"}
