"""Use the table of operations instead of what drf-spectacular would guess."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework.permissions import AllowAny
from rest_framework.serializers import Serializer
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from django_sessions_plus.api.authentication import CookieAuthentication
from django_sessions_plus.api.schema import oauth
from django_sessions_plus.api.schema.authentication import cookie_schemes
from django_sessions_plus.api.schema.operation import Operation
from django_sessions_plus.api.schema.operations import OPERATIONS
from django_sessions_plus.conf import config

_API = "django_sessions_plus.api"

_CHALLENGE = OpenApiParameter(
    "WWW-Authenticate",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    required=True,
    response=[401],
    description='The challenge (RFC 6750), with `error="invalid_token"` where a token was no good.',
)
_WAIT = OpenApiParameter(
    "Retry-After",
    OpenApiTypes.INT,
    OpenApiParameter.HEADER,
    required=True,
    response=[429],
    description="Seconds to wait.",
)


class DescribedSchema(AutoSchema):
    """The schema of a view in the table; mixed into the schema class that the project has configured."""

    operations: dict[str, Operation]

    @property
    def operation(self) -> Operation:
        """The operation of the current method."""
        return self.operations[self.method.lower()]

    def is_excluded(self) -> bool:
        """Exclude the sign-in if the project has switched it off."""
        is_left_out = config.SIGN_IN is False and self.operation.id == "sign_in"
        return is_left_out or super().is_excluded()

    def get_operation_id(self) -> str:
        """Return the id in the table; it does not depend on the path."""
        return self.operation.id

    def get_tags(self) -> list[str]:
        """Return the heading."""
        return [self.operation.tag]

    def get_summary(self) -> str:
        """Return the title."""
        return self.operation.summary

    def get_description(self) -> str:  # type: ignore[override]
        """Return the description."""
        return self.operation.description

    def get_auth(self) -> list[dict[str, Any]]:
        """Return the requirement in the table, or else that of the authentication classes."""
        if self.operation.auth is None:
            return super().get_auth()
        for name in {name for needed in self.operation.auth for name in needed}:
            scheme = ResolvedComponent(
                name=name,
                type=ResolvedComponent.SECURITY_SCHEMA,
                object=CookieAuthentication,
                schema=cookie_schemes()[name],
            )
            self.registry.register_on_missing(scheme)
        return self.operation.auth

    def get_request_serializer(self) -> Any:
        """Return the serializer of the request; None for no body."""
        return self.operation.request_body

    def get_response_serializers(self) -> Any:
        """Return the serializers of responses, by status."""
        operation = self.operation
        answers: dict[int, Any] = {
            operation.status: OpenApiResponse(operation.response_body, operation.summary)
        }
        if operation.accepted_body is not None:
            text = "Done, but processes that could not be told yet go on for a bounded time."
            answers[202] = OpenApiResponse(operation.accepted_body, text)
        if operation.may_be_unchanged:
            answers[304] = OpenApiResponse(description="As it was.")
        for status, codes in operation.errors_by_status().items():
            answers[status] = OpenApiResponse(
                self._refusal(codes), description=" ".join(f"`{code}`" for code in codes)
            )
        return answers

    def get_override_parameters(self) -> list[Any]:
        """Return the parameters, and the headers of responses."""
        found = [*self.operation.parameters, _CHALLENGE, _WAIT, self._cache_header()]
        if self.operation.cookie:
            found.append(
                OpenApiParameter(
                    "Set-Cookie",
                    OpenApiTypes.STR,
                    OpenApiParameter.HEADER,
                    response=self.operation.success_statuses(),
                    description=self.operation.cookie,
                )
            )
        return found

    def get_examples(self) -> list[OpenApiExample]:
        """Return an example of each body and of each error."""
        error_example = [
            OpenApiExample(
                code,
                self.operation.error_example(status, code),
                response_only=True,
                status_codes=[str(status)],
            )
            for status, codes in self.operation.errors_by_status().items()
            for code in codes
        ]
        return [*self.operation.examples, *error_example]

    def _cache_header(self) -> OpenApiParameter:
        operation = self.operation
        answers = [] if operation.may_be_unchanged else operation.success_statuses()
        return OpenApiParameter(
            "Cache-Control",
            {"type": "string", "enum": ["no-store"]},
            OpenApiParameter.HEADER,
            required=True,
            response=[*answers, *operation.errors_by_status()],
            description="The answer is kept nowhere.",
        )

    def _refusal(self, codes: list[str]) -> dict[str, Any]:
        """Return the schema of an error with one of ``codes``."""
        by_serializer: dict[type[Serializer[Any]], list[str]] = {}
        for code in codes:
            by_serializer.setdefault(self.operation.serializer_of(code), []).append(code)
        kinds = [self._with_codes(kind, those) for kind, those in by_serializer.items()]
        return kinds[0] if len(kinds) == 1 else {"oneOf": kinds}

    def _with_codes(self, serializer: type[Serializer[Any]], codes: list[str]) -> dict[str, Any]:
        component = self.resolve_serializer(serializer, "response")
        member = self.operation.code_member
        narrowed = {
            "type": "object",
            "properties": {member: {"type": "string", "enum": codes}},
            "required": [member],
        }
        return {"allOf": [component.ref, narrowed]}


class DescribedView(OpenApiViewExtension):
    """The base class of extensions for the views in the table."""

    operations: dict[str, Operation]

    def view_replacement(self) -> type[APIView]:
        """Return the view with the schema of the table."""
        configured: Any = api_settings.DEFAULT_SCHEMA_CLASS
        base = configured if issubclass(configured, AutoSchema) else AutoSchema
        schema = type("Schema", (DescribedSchema, base), {"operations": self.operations})
        is_open = any(operation.is_open for operation in self.operations.values())
        permissions = [AllowAny] if is_open else self.target.permission_classes
        replaced = {"schema": schema(), "permission_classes": permissions}
        return type(self.target.__name__, (self.target,), replaced)


for _view, _operations in (OPERATIONS | oauth.OPERATIONS).items():
    # drf-spectacular registers an extension when its class is defined.
    type(
        f"{_view.rpartition('.')[2]}Description",
        (DescribedView,),
        {"target_class": f"{_API}.{_view}", "operations": _operations},
    )
