"""Holds answers of the API to its own OpenAPI schema."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from django.urls import include, path
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator, FormatChecker

from django_sessions_plus.api import (
    oauth,
    oauth_urls,
    schema,  # noqa: F401 - registers itself, as it does where drf_spectacular is installed
    urls,
)
from django_sessions_plus.api.errors import ERRORS
from django_sessions_plus.conf import callables

# Version 3.1 is JSON Schema, which a validator understands as it is.
VERSION = "3.1.1"
MOUNTED: dict[str, Any] = {"/auth/": urls, "/oauth/": oauth_urls}
"""The addresses of the package, by where the tests have them."""


def document(version: str = VERSION) -> dict[str, Any]:
    """Return the schema of all endpoints under the present settings."""
    return document_of(*MOUNTED, version=version)


def document_of(*prefixes: str, version: str = VERSION) -> dict[str, Any]:
    """Return the schema where no more than these are mounted, made without a warning and valid."""
    return _document(prefixes, version, _user_fields())


def _user_fields() -> Any:
    source = callables.user_fields()
    return source if callable(source) else tuple(source)


@cache
def _document(prefixes: tuple[str, ...], version: str, user_fields: Any) -> dict[str, Any]:
    GENERATOR_STATS.reset()
    with patched_settings({"OAS_VERSION": version, "TITLE": "The API"}):
        patterns = [path(prefix.removeprefix("/"), include(MOUNTED[prefix])) for prefix in prefixes]
        made: dict[str, Any] = SchemaGenerator(patterns=patterns).get_schema(public=True)
        validate_schema(made)
    assert not GENERATOR_STATS._warn_cache
    assert not GENERATOR_STATS._error_cache
    return made


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the operations by method and path."""
    return {
        (method, address): operation
        for address, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def check(answer: Any) -> None:
    """Hold an answer to the schema: status, headers, content type and body.

    What has no operation is left alone, such as a wrong method; and so is a refusal that
    is not the package's, since a project's receivers have their own words.
    """
    operation = _operation_of(answer.request)
    if operation is None or _is_foreign(answer):
        return
    said = f"{answer.request['REQUEST_METHOD']} {answer.request['PATH_INFO']}: {answer.content}"
    assert str(answer.status_code) in operation["responses"], said
    described = operation["responses"][str(answer.status_code)]
    for name, header in described.get("headers", {}).items():
        if header.get("required"):
            assert name in answer.headers, (name, said)
    if "content" not in described:
        assert answer.content == b"", said
        return
    assert list(described["content"]) == [answer["Content-Type"]], said
    validator(described["content"][answer["Content-Type"]]["schema"]).validate(answer.json())


def _operation_of(request: dict[str, Any]) -> dict[str, Any] | None:
    method, address = request["REQUEST_METHOD"].lower(), request["PATH_INFO"]
    exact = operations().get((method, address))
    if exact is not None:
        return exact
    for (described, template), operation in operations().items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if described == method and re.fullmatch(pattern, address):
            return operation
    return None


def _is_foreign(answer: Any) -> bool:
    if answer.status_code >= 500:
        # Of a defect that a test has made: any other is an exception in the test.
        return True
    if answer.status_code < 400 or answer["Content-Type"] != "application/json":
        return False
    body = answer.json()
    return body.get("code") not in ERRORS and body.get("error") not in oauth.ERRORS


def validator(body: dict[str, Any]) -> Draft202012Validator:
    """Return what holds a body to its schema, closed."""
    components = _closed_components(_user_fields())
    return Draft202012Validator({**body, "components": components}, format_checker=FormatChecker())


@cache
def _closed_components(user_fields: Any) -> Any:
    return _closed(document()["components"])


def _closed(node: Any) -> Any:
    """Return components in which an object has no properties but the described ones.

    A client may not rely on that, but here an answer must not say more than it ought to.
    """
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {name: _closed(value) for name, value in node.items()}
    if node.get("type") == "object" and isinstance(node.get("properties"), dict):
        found["unevaluatedProperties"] = False
    return found
