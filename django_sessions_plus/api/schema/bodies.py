"""What comes in and goes out, as components with names that stay.

The names are what generated clients call their types. They are long enough not to meet a
``Session`` or ``Device`` of the project's own in one schema.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db import models
from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import append_meta, build_basic_type
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction
from rest_framework import serializers

from django_sessions_plus.api import serializers as bodies
from django_sessions_plus.api.errors import ERRORS
from django_sessions_plus.api.fields import MomentField, TextField, WordField
from django_sessions_plus.conf import config
from django_sessions_plus.policy import OverReason
from django_sessions_plus.user_fields import tellable

_NOT_AS_COOKIE = "The refresh token, unless it is a cookie."
# Without the null character, which no text may have.
_NOT_EMPTY = r"^[^\x00]+$"
_NOT_BLANK = r"^[^\x00]*[^\x00\s][^\x00]*$"
_HERE = __name__
_THERE = bodies.__name__
_OAUTH = "django_sessions_plus.api.schema.oauth"

# By the field of a serializer; the last that fits, for they are subclasses of each other.
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
    """The user, whose fields are the project's to choose."""


class CodeField(serializers.Field[Any, Any, Any, Any]):
    """A code of the table of errors."""


class FieldErrorsField(serializers.Field[Any, Any, Any, Any]):
    """What is wrong, by the name of the field."""


class EndedSerializer(serializers.Serializer[Any]):
    """A session that is over."""

    reason = WordField(choices=list(OverReason))


class CurrentSessionSerializer(serializers.Serializer[Any]):
    """The session of a request, both null where nobody is signed in."""

    session = bodies.SessionSerializer(allow_null=True)
    user = UserField(allow_null=True)
    ended = EndedSerializer(
        required=False, help_text="Only for who came with the cookie of a session that is over."
    )


class SignedInSerializer(serializers.Serializer[Any]):
    """The session somebody has just authenticated for."""

    session = bodies.SessionSerializer()
    user = UserField()
    token = serializers.CharField(
        required=False, help_text="The session token. With the transport `bearer` only."
    )
    access = serializers.CharField(
        required=False, help_text="The access token. With the transport `jwt` only, as the rest."
    )
    refresh = serializers.CharField(required=False, help_text=_NOT_AS_COOKIE)
    expires_in = serializers.IntegerField(
        required=False, min_value=0, help_text="Seconds until `access` expires."
    )
    refresh_expires_at = MomentField(required=False)


class TokenPairSerializer(serializers.Serializer[Any]):
    """An access token, and the refresh token that takes the place of the one presented."""

    access = serializers.CharField()
    refresh = serializers.CharField(required=False, help_text=_NOT_AS_COOKIE)
    expires_in = serializers.IntegerField(min_value=0, help_text="Seconds until `access` expires.")
    refresh_expires_at = MomentField()


class KeysSerializer(serializers.Serializer[Any]):
    """A JWK set (RFC 7517)."""

    keys = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()), min_length=1
    )


class SessionPageSerializer(serializers.Serializer[Any]):
    """A page of one's sessions."""

    next = serializers.URLField(allow_null=True, help_text="The next page.")
    previous = serializers.URLField(allow_null=True, help_text="The page before.")
    results = bodies.SessionSerializer(many=True)


class RevokedSessionsSerializer(serializers.Serializer[Any]):
    """What revoking came to."""

    revoked = serializers.IntegerField(min_value=0, help_text="How many sessions this has ended.")


class ErrorSerializer(serializers.Serializer[Any]):
    """A refusal."""

    code = CodeField(help_text="For programs. It is stable.")
    detail = serializers.CharField(help_text="For people, in the language of the request.")


class SessionEndedSerializer(ErrorSerializer):
    """A refusal of a token that opens nothing."""

    reason = WordField(
        choices=list(OverReason),
        required=False,
        help_text="Why, for who has the very token of a session that is over.",
    )


class InvalidSerializer(ErrorSerializer):
    """A refusal of a body or a parameter."""

    fields_ = FieldErrorsField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields; a serializer has another use for the name ``fields``."""
        found = super().get_fields()
        found["fields"] = found.pop("fields_")
        return found


COMPONENTS = {
    f"{_THERE}.SessionSerializer": "UserSession",
    f"{_THERE}.DeviceSerializer": "UserSessionDevice",
    f"{_THERE}.SignInSerializer": "SignInRequest",
    f"{_THERE}.ReauthenticateSerializer": "ReauthenticateRequest",
    f"{_THERE}.RevokeSerializer": "RevokeSessionsRequest",
    f"{_HERE}.CurrentSessionSerializer": "CurrentUserSession",
    f"{_HERE}.SignedInSerializer": "SignedInUserSession",
    f"{_HERE}.TokenPairSerializer": "SessionTokenPair",
    f"{_THERE}.RefreshSerializer": "RefreshTokensRequest",
    f"{_HERE}.KeysSerializer": "SessionKeys",
    f"{_HERE}.SessionPageSerializer": "UserSessionPage",
    f"{_HERE}.RevokedSessionsSerializer": "RevokedUserSessions",
    f"{_HERE}.ErrorSerializer": "SessionError",
    f"{_HERE}.InvalidSerializer": "SessionInvalidError",
    f"{_HERE}.SessionEndedSerializer": "SessionEndedError",
    f"{_HERE}.EndedSerializer": "EndedUserSession",
    f"{_OAUTH}.TokenSerializer": "PresentedTokenRequest",
    f"{_OAUTH}.IntrospectionSerializer": "TokenIntrospection",
    f"{_OAUTH}.OAuthErrorSerializer": "OAuthError",
}
"""The serializers that become components, and the components' names."""


class NamedComponent(OpenApiSerializerExtension):
    """A serializer whose component has a name of its own."""

    component = ""

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        """Return the component's name, to which drf-spectacular may be set to add ``Request``."""
        if spectacular_settings.COMPONENT_SPLIT_REQUEST:
            return self.component.removesuffix("Request")
        return self.component

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return what drf-spectacular makes of the serializer."""
        found: dict[str, Any] = auto_schema._map_serializer(
            self.target, direction, bypass_extensions=True
        )
        return found


for _path, _name in COMPONENTS.items():
    # Registered by being defined.
    type(f"{_name}Component", (NamedComponent,), {"target_class": _path, "component": _name})


class UserComponent(OpenApiSerializerFieldExtension):
    """The user: the id, and those fields of ``SESSIONS_PLUS_USER_FIELDS`` that there are."""

    target_class = f"{_HERE}.UserField"

    def get_name(self) -> str:
        """Return the component's name."""
        return "UserSessionUser"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema of what ``user_body`` makes."""
        model = get_user_model()
        columns = {"id": model._meta.pk, **tellable(model, config.USER_FIELDS)}
        return {
            "type": "object",
            "properties": {name: column_type(field) for name, field in columns.items()},
            "required": list(columns),
        }


class CodeComponent(OpenApiSerializerFieldExtension):
    """Every code there is. What an operation can answer with is said at the operation."""

    target_class = f"{_HERE}.CodeField"

    def get_name(self) -> str:
        """Return the component's name."""
        return "SessionErrorCode"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the codes, with status and words of each."""
        lines = [f"* `{code}` ({error.status}): {error.detail}" for code, error in ERRORS.items()]
        return {"type": "string", "enum": list(ERRORS), "description": "\n".join(lines)}


class FieldErrorsComponent(OpenApiSerializerFieldExtension):
    """Messages by field."""

    target_class = f"{_HERE}.FieldErrorsField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema."""
        return {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "What is wrong with each field; `non_field_errors` is the whole body.",
        }


class TextFieldSchema(OpenApiSerializerFieldExtension):
    """A text that must not be empty, nor, where its ends are trimmed, blank."""

    target_class = TextField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema."""
        found = {"type": "string", "minLength": 1, "pattern": _NOT_EMPTY}
        if self.target.trim_whitespace:
            found["pattern"] = _NOT_BLANK
        longest = self.target.max_length
        return found if longest is None else {**found, "maxLength": longest}


class WordFieldComponent(OpenApiSerializerFieldExtension):
    """One of a few words: a component of its own, named by where it stands.

    drf-spectacular would name it by the field alone, and warn where a project has a field
    of that name with other words.
    """

    target_class = WordField

    def get_name(self) -> str:
        """Return the component's name."""
        parent = type(self.target.parent)
        component = COMPONENTS[f"{parent.__module__}.{parent.__name__}"]
        field = str(self.target.field_name).title().replace("_", "")
        return f"{component.removesuffix('Request')}{field}"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema."""
        return {"type": "string", "enum": list(self.target.choices)}


class MomentFieldSchema(OpenApiSerializerFieldExtension):
    """A moment, always in UTC."""

    target_class = MomentField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema."""
        return {"type": "string", "format": "date-time", "pattern": "Z$"}


def column_type(field: models.Field[Any, Any]) -> dict[str, Any]:
    """Return the schema of a column's value in JSON; of a foreign key it is the key's."""
    is_nullable = field.null
    while field.is_relation:
        field = field.target_field  # type: ignore[attr-defined]
    fitting = [kind for cls, kind in _TYPES.items() if isinstance(field, cls)]
    found: dict[str, Any] = build_basic_type(fitting[-1] if fitting else OpenApiTypes.STR) or {}
    return append_meta(found, {"nullable": True}) if is_nullable else found
