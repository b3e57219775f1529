"""The bodies of requests and responses, as components with stable names.

Generated clients use the names for their types. They are long, so that they do not clash with a
``Session`` or ``Device`` of the project in the same schema.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import Direction
from rest_framework import serializers

from django_sessions_plus.api import serializers as bodies
from django_sessions_plus.api.errors import ERRORS
from django_sessions_plus.api.fields import UtcDateTimeField, WordField
from django_sessions_plus.api.schema.users import UserField
from django_sessions_plus.policy import InactiveReason

_NOT_AS_COOKIE = "The refresh token, unless it is a cookie."
_HERE = __name__
_THERE = bodies.__name__
_OAUTH = "django_sessions_plus.api.schema.oauth"


class CodeField(serializers.Field[Any, Any, Any, Any]):
    """A code of the table of errors."""


class FieldErrorsField(serializers.Field[Any, Any, Any, Any]):
    """Error messages by field name."""


class EndedSerializer(serializers.Serializer[Any]):
    """A session that has ended or expired."""

    reason = WordField(choices=list(InactiveReason))


class CurrentSessionSerializer(serializers.Serializer[Any]):
    """The session of a request and its user; both null if nobody is signed in."""

    session = bodies.SessionSerializer(allow_null=True)
    user = UserField(allow_null=True)
    ended = EndedSerializer(
        required=False, help_text="Only with the cookie of a session that has ended or expired."
    )
    refresh_cookie = serializers.BooleanField(
        required=False,
        help_text="True where the request had a refresh cookie, good or not, and no bearer token.",
    )


class SignedInSerializer(serializers.Serializer[Any]):
    """The session after a sign-in or re-authentication."""

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
    refresh_expires_at = UtcDateTimeField(required=False)


class TokenPairSerializer(serializers.Serializer[Any]):
    """An access token, and the refresh token that replaces the presented one."""

    access = serializers.CharField()
    refresh = serializers.CharField(required=False, help_text=_NOT_AS_COOKIE)
    expires_in = serializers.IntegerField(min_value=0, help_text="Seconds until `access` expires.")
    refresh_expires_at = UtcDateTimeField()


class ServiceTokenSerializer(serializers.Serializer[Any]):
    """An access token for another service."""

    access = serializers.CharField()
    expires_in = serializers.IntegerField(min_value=0, help_text="Seconds until `access` expires.")


class KeysSerializer(serializers.Serializer[Any]):
    """A JWK set (RFC 7517)."""

    keys = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()), min_length=1
    )


class SessionPageSerializer(serializers.Serializer[Any]):
    """A page of the user's sessions."""

    next = serializers.URLField(allow_null=True, help_text="The next page.")
    previous = serializers.URLField(allow_null=True, help_text="The page before.")
    results = bodies.SessionSerializer(many=True)


class ErrorSerializer(serializers.Serializer[Any]):
    """An error."""

    code = CodeField(help_text="For programs. It is stable.")
    detail = serializers.CharField(help_text="For people, in the language of the request.")


class SessionEndedSerializer(ErrorSerializer):
    """The error for a token without an active session."""

    reason = WordField(
        choices=list(InactiveReason),
        required=False,
        help_text="Why the session has ended or expired; only with its current token.",
    )


class InvalidSerializer(ErrorSerializer):
    """The error for an invalid body or parameter."""

    fields_ = FieldErrorsField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields. A method, because ``fields`` is a property of serializers."""
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
    f"{_THERE}.TokenSerializer": "ServiceTokenRequest",
    f"{_HERE}.ServiceTokenSerializer": "ServiceToken",
    f"{_HERE}.SessionPageSerializer": "UserSessionPage",
    f"{_THERE}.RevokedSessionsSerializer": "RevokedUserSessions",
    f"{_THERE}.UnsettledSerializer": "UnsettledEnd",
    f"{_THERE}.UnsettledRevocationSerializer": "UnsettledEnds",
    f"{_HERE}.ErrorSerializer": "SessionError",
    f"{_HERE}.InvalidSerializer": "SessionInvalidError",
    f"{_HERE}.SessionEndedSerializer": "SessionEndedError",
    f"{_HERE}.EndedSerializer": "EndedUserSession",
    f"{_OAUTH}.TokenSerializer": "PresentedTokenRequest",
    f"{_OAUTH}.IntrospectionSerializer": "TokenIntrospection",
    f"{_OAUTH}.OAuthErrorSerializer": "OAuthError",
}
"""The serializers that become components, with the names of the components."""


class NamedComponent(OpenApiSerializerExtension):
    """The base class of serializer extensions that set the name of the component."""

    component = ""

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        """Return the component's name; a setting of drf-spectacular may add ``Request`` to it."""
        if spectacular_settings.COMPONENT_SPLIT_REQUEST:
            return self.component.removesuffix("Request")
        return self.component

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return drf-spectacular's schema of the serializer."""
        found: dict[str, Any] = auto_schema._map_serializer(
            self.target, direction, bypass_extensions=True
        )
        return found


for _path, _name in COMPONENTS.items():
    # drf-spectacular registers an extension when its class is defined.
    type(f"{_name}Component", (NamedComponent,), {"target_class": _path, "component": _name})


class CodeComponent(OpenApiSerializerFieldExtension):
    """All error codes. Each operation lists its own."""

    target_class = f"{_HERE}.CodeField"

    def get_name(self) -> str:
        """Return the component's name."""
        return "SessionErrorCode"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the codes, with status and message of each."""
        lines = [f"* `{code}` ({error.status}): {error.detail}" for code, error in ERRORS.items()]
        return {"type": "string", "enum": list(ERRORS), "description": "\n".join(lines)}


class FieldErrorsComponent(OpenApiSerializerFieldExtension):
    """Error messages by field."""

    target_class = f"{_HERE}.FieldErrorsField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema."""
        return {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "What is wrong with each field; `non_field_errors` is the whole body.",
        }


class WordFieldComponent(OpenApiSerializerFieldExtension):
    """An enum as a component of its own, named by serializer and field.

    drf-spectacular would name it by the field alone, and warn if a project has a field of the same
    name with other values.
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
