"""Introspection and revocation in the table of operations: bodies are forms, and errors are those of OAuth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiExample, OpenApiParameter
from rest_framework import serializers

from django_sessions_plus.api import oauth
from django_sessions_plus.api.fields import WordField
from django_sessions_plus.api.schema.operation import Operation

_TAG = "OAuth"
_FORM = "application/x-www-form-urlencoded"
_TOKEN = "k3v9x0q2m7c1z8b4n6d5s0a1f2g3h4j5"
_NOTHING = {"type": "object", "maxProperties": 0}

_SCOPE_CHALLENGE = OpenApiParameter(
    "WWW-Authenticate",
    {"type": "string", "enum": [oauth.SCOPE_CHALLENGE]},
    OpenApiParameter.HEADER,
    required=True,
    response=[403],
    description="The challenge (RFC 6750 section 3.1).",
)


class AudienceField(serializers.Field[Any, Any, Any, Any]):
    """The audience of an access token: one or several."""


class OAuthCodeField(serializers.Field[Any, Any, Any, Any]):
    """An error code of OAuth."""


class TokenSerializer(serializers.Serializer[Any]):
    """The form of both endpoints."""

    token = serializers.CharField(min_length=1, help_text="A token of whatever kind.")
    token_type_hint = serializers.CharField(
        required=False, allow_blank=True, help_text="Not needed: each kind has a form of its own."
    )


class IntrospectionSerializer(serializers.Serializer[Any]):
    """The description of a token (RFC 7662). If it is not active, nothing else is included."""

    active = serializers.BooleanField()
    token_type = WordField(
        choices=sorted(set(oauth.TOKEN_TYPES.values())),
        required=False,
        help_text="Whoever takes tokens for an API must accept `Bearer` alone.",
    )
    sub = serializers.CharField(required=False, help_text="The user's primary key.")
    username = serializers.CharField(required=False)
    sid = serializers.UUIDField(required=False, help_text="The session's id, which opens nothing.")
    iss = serializers.CharField(required=False)
    iat = serializers.IntegerField(required=False, help_text="When it was issued.")
    exp = serializers.IntegerField(required=False, help_text="When it expires.")
    aud = AudienceField(required=False)
    nbf = serializers.IntegerField(required=False, help_text="Of an access token, as `aud`, `jti`.")
    jti = serializers.CharField(required=False)


class OAuthErrorSerializer(serializers.Serializer[Any]):
    """An error (RFC 6749 section 5.2)."""

    error = OAuthCodeField(help_text="For programs. It is stable.")
    error_description = serializers.CharField(help_text="For people, in English.")


class AudienceFieldSchema(OpenApiSerializerFieldExtension):
    """A text or a list of texts, as in ``SESSIONS_PLUS_JWT_AUDIENCE``."""

    target_class = AudienceField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the schema."""
        text = {"type": "string"}
        return {"oneOf": [text, {"type": "array", "items": text}]}


class OAuthCodeComponent(OpenApiSerializerFieldExtension):
    """All errors. Each operation lists those of each status."""

    target_class = OAuthCodeField

    def get_name(self) -> str:
        """Return the component's name."""
        return "OAuthErrorCode"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """Return the errors, with the message of each."""
        lines = [f"* `{error}`: {words}" for error, words in oauth.ERRORS.items()]
        return {"type": "string", "enum": list(oauth.ERRORS), "description": "\n".join(lines)}


@dataclass(frozen=True)
class OAuthOperation(Operation):
    """An operation with the errors of OAuth, which are chosen by status."""

    code_member: ClassVar[str] = "error"
    statuses: tuple[int, ...] = ()
    """Every status of its errors."""

    def errors_by_status(self) -> dict[int, list[str]]:
        """Return the error of each status."""
        return {status: [oauth.body_of(status)["error"]] for status in self.statuses}

    def serializer_of(self, code: str) -> type[serializers.Serializer[Any]]:
        """Return the serializer of error bodies."""
        return OAuthErrorSerializer

    def error_example(self, status: int, code: str) -> dict[str, Any]:
        """Return an error body."""
        return oauth.body_of(status)


_FORMS = (OpenApiExample("A token", {"token": _TOKEN}, request_only=True, media_type=_FORM),)
_INTROSPECTED = tuple(
    OpenApiExample(name, body, response_only=True, status_codes=["200"])
    for name, body in {
        "A session token": {
            "active": True,
            "token_type": "Bearer",
            "sub": "1",
            "username": "ada",
            "sid": "01980c1e-5f0a-7c3e-9d52-0c1f5a3b7e11",
            "iss": "django-sessions-plus",
            "iat": 1767603600,
            "exp": 1768813200,
        },
        "None that is good": {"active": False},
    }.items()
)

OPERATIONS: dict[str, dict[str, Operation]] = {
    "oauth.IntrospectView": {
        "post": OAuthOperation(
            id="introspect_token",
            tag=_TAG,
            summary="What a token is good for",
            description=(
                "For services that get tokens of this site presented (RFC 7662). The caller needs the "
                f"permission `{oauth.PERMISSION}`. To ask changes nothing."
            ),
            request_body=TokenSerializer,
            response_body=IntrospectionSerializer,
            statuses=(400, 401, 403, 413, 415, 429, 503),
            parameters=(_SCOPE_CHALLENGE,),
            examples=(*_FORMS, *_INTROSPECTED),
        )
    },
    "oauth.RevokeTokenView": {
        "post": OAuthOperation(
            id="revoke_token",
            tag=_TAG,
            summary="Give a token up",
            description=(
                "Ends the session of the token (RFC 7009), which is all the authority this takes. The "
                "answer is the same for a token that was no good."
            ),
            request_body=TokenSerializer,
            response_body=_NOTHING,
            statuses=(400, 413, 415, 429, 503),
            examples=(
                *_FORMS,
                OpenApiExample("Done", {}, response_only=True, status_codes=["200"]),
            ),
            auth=[],
        )
    },
}
"""By the path of the view below ``django_sessions_plus.api``, and the method."""
