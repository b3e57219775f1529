"""The OpenAPI schema: complete, valid without a warning, and true down to the last code."""

import inspect
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pytest
import yaml
from django.contrib.auth.models import Permission, User
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connection
from django.urls import path
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.test import APIClient
from rest_framework.views import APIView

from django_sessions_plus.accounts import reauthentication
from django_sessions_plus.accounts.second_factors import (
    SECOND_FACTOR_REQUIRED,
    VERIFICATION_REQUIRED,
)
from django_sessions_plus.api import authentication, errors, oauth, oauth_urls, urls, views
from django_sessions_plus.api.authentication import CookieAuthentication
from django_sessions_plus.api.schema import oauth as oauth_table
from django_sessions_plus.api.schema import operations as table
from django_sessions_plus.api.schema.operation import Operation
from django_sessions_plus.conf import config
from django_sessions_plus.models import Session
from tests.api import conformance
from tests.api.conftest import PASSWORD, ApiClient, code, connected, grow_stale

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

ROOT = Path(__file__).resolve().parent.parent.parent

JSON = "application/json"

# What is answered outside of any operation.
NOT_OF_AN_OPERATION = {"method_not_allowed", "not_in_use"}

# One request for each operation, by its id.
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "get_session": ("get", "session", None),
    "sign_in": ("post", "sign-in", {"username": "ada", "password": PASSWORD}),
    "sign_out": ("post", "sign-out", {}),
    "reauthenticate": ("post", "reauthenticate", {"password": PASSWORD}),
    "list_sessions": ("get", "sessions", None),
    "end_session": ("delete", "sessions/00000000-0000-7000-8000-000000000000", None),
    "revoke_sessions": ("post", "sessions/revoke", {"scope": "others"}),
    "get_token": ("post", "token", {"audience": "https://reports.example"}),
    "refresh_tokens": ("post", "token/refresh", {"refresh": "rt1.x"}),
    "get_keys": ("get", ".well-known/jwks.json", None),
    "introspect_token": ("post", "introspect", "token=x"),
    "revoke_token": ("post", "revoke", "token=x"),
}
FORM = "application/x-www-form-urlencoded"
# Both tables as one.
OPERATIONS = table.OPERATIONS | oauth_table.OPERATIONS
PATTERNS = [
    (prefix, pattern)
    for prefix, mounted in conformance.MOUNTED.items()
    for pattern in mounted.urlpatterns
]


def all_operations() -> Iterator[Operation]:
    for methods in OPERATIONS.values():
        yield from methods.values()


REFUSALS = [
    (operation.id, status, refusal)
    for operation in all_operations()
    for status, codes in operation.errors_by_status().items()
    for refusal in codes
]
OF_OAUTH = {
    operation.id for methods in oauth_table.OPERATIONS.values() for operation in methods.values()
}


# Complete


def test_every_address_of_the_api_has_its_operations():
    described = {
        (method, address.replace("{id}", "<str:id>"))
        for method, address in conformance.operations()
    }
    served = {
        (method, f"{prefix}{pattern.pattern}")
        for prefix, pattern in PATTERNS
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(pattern.callback.view_class, method)
    }
    assert described == served


def test_every_view_is_in_the_table_and_none_that_is_not_there():
    classes = [pattern.callback.view_class for _, pattern in PATTERNS]
    served = {f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}" for cls in classes}
    assert OPERATIONS.keys() == served


def test_every_authentication_class_is_described():
    for name, cls in inspect.getmembers(authentication, inspect.isclass):
        is_ours = issubclass(cls, BaseAuthentication) and cls.__module__ == authentication.__name__
        if is_ours and cls is not authentication.BearerAuthentication:
            assert OpenApiAuthenticationExtension.get_match(cls()) is not None, name


@pytest.mark.docs
def test_the_page_lists_each_operation_with_what_it_answers():
    documented = {
        (
            row[0],
            *row[1].replace("`", "").split(),
            frozenset(re.findall(r"`(\w+)`", "".join(row[2:]))),
        )
        for row in rows_of_the_page("operation")
    }
    made = {
        (
            operation["operationId"],
            method.upper(),
            address.removeprefix("/auth/").removeprefix("/oauth/"),
            components_of(operation),
        )
        for (method, address), operation in conformance.operations().items()
    }
    assert {(name.strip("`"), *rest) for name, *rest in documented} == made


@pytest.mark.docs
def test_the_page_lists_each_scheme():
    schemes = conformance.document()["components"]["securitySchemes"]
    assert {row[0].strip("`") for row in rows_of_the_page("scheme")} == set(schemes)


def rows_of_the_page(header: str) -> list[list[str]]:
    lines = (ROOT / "docs" / "openapi.md").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {header} |")) + 2
    table_lines = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table_lines]


def components_of(operation: dict[str, Any]) -> frozenset[str]:
    """Return the components that the answers of an operation are made of."""
    return frozenset(re.findall(r"#/components/schemas/(\w+)", str(operation["responses"])))


def test_operation_ids_are_unique_and_stay():
    ids = [operation["operationId"] for operation in conformance.operations().values()]
    assert sorted(ids) == sorted(REQUESTS)


def test_each_component_has_one_of_the_names_that_stay():
    assert set(conformance.document()["components"]["schemas"]) == {
        "CurrentUserSession",
        "OAuthError",
        "OAuthErrorCode",
        "PresentedTokenRequest",
        "ReauthenticateRequest",
        "RefreshTokensRequest",
        "RevokeSessionsRequest",
        "RevokeSessionsScope",
        "RevokedUserSessions",
        "SessionError",
        "SessionErrorCode",
        "SessionInvalidError",
        "SessionKeys",
        "ServiceToken",
        "ServiceTokenRequest",
        "SessionTokenPair",
        "SignInRequest",
        "SignInTransport",
        "SignedInUserSession",
        "EndedUserSession",
        "EndedUserSessionReason",
        "SessionEndedError",
        "SessionEndedErrorReason",
        "TokenIntrospection",
        "TokenIntrospectionTokenType",
        "UnsettledEnd",
        "UnsettledEnds",
        "UserSession",
        "UserSessionDevice",
        "UserSessionDeviceKind",
        "UserSessionPage",
        "UserSessionUser",
    }


def test_views_import_nothing_of_the_extra():
    importing = {
        path.relative_to(ROOT / "django_sessions_plus").as_posix()
        for path in (ROOT / "django_sessions_plus").rglob("*.py")
        if re.search(r"^\s*(from|import) (drf_spectacular|.*api\.schema)", path.read_text(), re.M)
    }
    assert {name for name in importing if not name.startswith("api/schema/")} == set()


# Valid


@pytest.mark.parametrize("version", ["3.0.3", "3.1.1"])
def test_it_is_valid_and_made_without_a_warning_in_both_versions(version):
    assert conformance.document(version)["openapi"] == version


@pytest.mark.parametrize("prefix", conformance.MOUNTED)
def test_it_is_also_where_only_some_of_the_endpoints_are_mounted(prefix):
    made = conformance.document_of(prefix)
    assert {address for address in made["paths"] if not address.startswith(prefix)} == set()
    named = {name for name in made["components"]["schemas"] if "OAuth" in name}
    assert bool(named) == (prefix == "/oauth/")


def run(*arguments: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": "sqlite://:memory:", **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.slow
@pytest.mark.thorough
def test_the_example_project_serves_it_without_a_warning_and_with_every_operation():
    said = run(
        "manage.py",
        "spectacular",
        "--validate",
        "--fail-on-warn",
        DJANGO_SETTINGS_MODULE="example_project.settings",
    )
    paths = yaml.safe_load(said)["paths"]
    served = {(method, address) for address, methods in paths.items() for method in methods}
    assert served == set(conformance.operations())


WITHOUT_THE_EXTRA = """
import sys
sys.modules["drf_spectacular"] = None
import django
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("check", fail_level="WARNING", stderr=sys.stderr, stdout=sys.stderr)
assert Client().get("/auth/session").status_code == 200
print(sorted(name for name in sys.modules if "spectacular" in name or "api.schema" in name))
"""


# The process has SQLite, where leases are impossible, and a check says so.
@pytest.mark.db_engine
@pytest.mark.slow
def test_without_the_extra_nothing_is_missed_and_nothing_is_said():
    script = WITHOUT_THE_EXTRA.replace("/auth/session", "/auth/session")
    said = run("-c", script, DJANGO_SETTINGS_MODULE="tests.api.bare_settings")
    assert said == "['drf_spectacular']\n"


# True


def codes_in(schema: dict[str, Any], member: str = "code") -> set[str]:
    """Return the codes that the schema of a refusal leaves."""
    found: set[str] = set()
    for kind in schema.get("oneOf", [schema]):
        found |= set(kind["allOf"][1]["properties"][member]["enum"])
    return found


def test_every_code_is_named_with_its_status():
    component = conformance.document()["components"]["schemas"]["SessionErrorCode"]
    assert component["enum"] == list(errors.ERRORS)
    for name, error in errors.ERRORS.items():
        assert f"`{name}` ({error.status})" in component["description"]


def test_every_code_is_at_some_operation_under_the_status_of_the_table():
    found: dict[str, set[int]] = {}
    for operation in conformance.operations().values():
        for status, response in operation["responses"].items():
            if int(status) >= 400 and operation["operationId"] not in OF_OAUTH:
                for name in codes_in(response["content"][JSON]["schema"]):
                    found.setdefault(name, set()).add(int(status))
    expected = {
        name: {error.status}
        for name, error in errors.ERRORS.items()
        if name not in NOT_OF_AN_OPERATION
    }
    expected["invalid_credentials"] |= {errors.WrongPasswordError.status}
    assert found == expected


def test_each_error_of_oauth_is_named_with_its_words():
    component = conformance.document()["components"]["schemas"]["OAuthErrorCode"]
    assert component["enum"] == list(oauth.ERRORS)
    for name, words in oauth.ERRORS.items():
        assert f"`{name}`: {words}" in component["description"]


def test_each_status_of_oauth_leaves_the_one_error_it_is_answered_with():
    for operation in conformance.operations().values():
        if operation["operationId"] in OF_OAUTH:
            for status, response in operation["responses"].items():
                if status != "200":
                    error = oauth.body_of(int(status))["error"]
                    assert codes_in(response["content"][JSON]["schema"], "error") == {error}


def test_who_may_not_ask_about_tokens_is_told_so_by_a_challenge():
    operation = conformance.operations()["post", "/oauth/introspect"]
    header = operation["responses"]["403"]["headers"]["WWW-Authenticate"]
    assert (header["required"], header["schema"]["enum"]) == (True, [oauth.SCOPE_CHALLENGE])


def test_every_answer_but_that_with_the_keys_is_kept_nowhere():
    for operation in conformance.operations().values():
        kept = {
            status
            for status, response in operation["responses"].items()
            if not response.get("headers", {}).get("Cache-Control", {}).get("required")
        }
        assert kept == ({"200", "304"} if operation["operationId"] == "get_keys" else set())


def test_every_401_has_a_challenge_and_every_429_says_how_long_to_wait():
    for operation in conformance.operations().values():
        for status, name in (("401", "WWW-Authenticate"), ("429", "Retry-After")):
            if status in operation["responses"]:
                assert operation["responses"][status]["headers"][name]["required"]


def test_no_password_is_empty():
    found = [
        body["properties"]["password"]
        for body in conformance.document()["components"]["schemas"].values()
        if "password" in body.get("properties", {})
    ]
    assert len(found) == 2
    assert all((password["minLength"], password["type"]) == (1, "string") for password in found)


def test_examples_keep_to_their_schemas():
    for operation in conformance.operations().values():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (content for body in bodies for content in body.get("content", {}).values()):
            assert content["examples"]
            for example in content["examples"].values():
                conformance.validator(content["schema"]).validate(example["value"])


@pytest.fixture(autouse=True)
def _tokens_for_a_service(settings: Any) -> None:
    settings.SESSIONS_PLUS_TOKEN_AUDIENCES = ["https://reports.example"]


@pytest.fixture
def nobody(ada: User) -> ApiClient:
    return ApiClient()


Provoke = Callable[[tuple[str, str, Any], Any], Any]


def https_required(request, get):
    client = get("by_cookie")
    get("settings").SESSIONS_PLUS_REQUIRE_HTTPS = True
    return client.send(*request)


def not_authenticated(request, get):
    return get("nobody").send(*request)


def invalid_token(request, get):
    return get("nobody").send(*request, headers={"Authorization": "Bearer x!"})


def token_expired(request, get):
    client, clock = get("client"), get("clock")
    client.token = client.sign_in(transport="jwt").json()["access"]
    clock.advance(hours=2)
    return client.send(*request)


def session_ended(request, get):
    if request[1] == "token/refresh":
        request = ("post", request[1], {"refresh": refresh_token(get)})
        Session.objects.all().end(reason="revoked")
        return get("nobody").send(*request)
    if request[1] == "token":
        client = get("by_cookie")
        Session.objects.all().end(reason="revoked")
        return client.send(*request)
    return get("nobody").send(*request, headers={"Authorization": f"Bearer {'0' * 32}"})


def permission_denied(request, get):
    if request[1] == "sign-in":
        with connected(user_logged_in, refuse):
            return get("client").send(*request)
    # Known, but not by a session.
    client = APIClient()
    client.force_authenticate(get("eve"))
    method, name, body = request
    return getattr(client, method)(f"/auth/{name}", body, format="json")


def refuse(**kwargs: Any) -> None:
    raise PermissionDenied


def refresh_token(get: Any) -> str:
    token: str = get("client").sign_in(transport="jwt").json()["refresh"]
    return token


def csrf_failed(request, get):
    browser = get("browser")
    if request[1] == "token/refresh":
        browser.cookies[config.REFRESH_COOKIE_NAME] = "x"
        return browser.send("post", request[1], {})
    browser.cookies["sessionid"] = get("by_cookie").cookies["sessionid"].value
    return browser.send(*request)


def reauthentication_required(request, get):
    client = get("by_cookie")
    grow_stale()
    Session.objects.update(reauthentication_required=True)
    return client.send(*request)


def not_found(request, get):
    get("settings").SESSIONS_PLUS_TOKEN_AUDIENCES = []
    return get("by_cookie").send(*request)


def invalid(request, get):
    method, name, body = request
    if body is None:
        parameter = {"session": "passive", "sessions": "cursor"}.get(name, "settled")
        name = f"{name}?{parameter}=x"
    else:
        body = {}
    return get("by_cookie").send(method, name, body)


def parse_error(request, get):
    if request[1] == "sign-out":
        return send_form(get, "multipart/form-data; boundary=" + "x" * 500, "--x")
    return raw(get("by_cookie"), request[1], "{", "application/json")


def request_too_large(request, get):
    client = get("by_cookie")
    get("settings").DATA_UPLOAD_MAX_MEMORY_SIZE = 1
    if request[1] == "sign-out":
        return send_form(get, "application/x-www-form-urlencoded", "a=" + "x" * 100)
    return client.send(*request)


def unsupported_media_type(request, get):
    return raw(get("by_cookie"), request[1], "x", "text/plain")


def session_interrupted(request, get):
    client, monkeypatch = get("by_cookie"), get("monkeypatch")

    def end(*args: Any, **kwargs: Any) -> Any:
        Session.objects.all().end(reason="revoked")
        return real(*args, **kwargs)

    # Between the password and the save.
    real = reauthentication.save_now
    monkeypatch.setattr(reauthentication, "save_now", end)
    monkeypatch.setattr(views, "save_now", end)
    return client.send(*request)


def throttled(request, get):
    settings, client = get("settings"), get("by_cookie")
    settings.SESSIONS_PLUS_RATES = dict.fromkeys(("sign_in", "reauthenticate", "refresh"), "1/h")
    if request[1] == "token/refresh":
        request = ("post", request[1], {"refresh": refresh_token(get)})
    client.send(*request)
    return client.send(*request)


def invalid_credentials(request, get):
    method, name, body = request
    return get("by_cookie").send(method, name, {**body, "password": "wrong"})


def second_factor_required(request, get):
    client, settings = get("by_cookie"), get("settings")
    settings.SESSIONS_PLUS_SIGN_IN = lambda request, user: SECOND_FACTOR_REQUIRED
    return client.send(*request)


def verification_required(request, get):
    client, settings = get("by_cookie"), get("settings")
    settings.SESSIONS_PLUS_SIGN_IN = lambda request, user: VERIFICATION_REQUIRED
    return client.send(*request)


def unavailable(request, get):
    # Signed in, and with a token of which the database has to be asked.
    method, name, body = request
    if name == "token/refresh":
        body = {"refresh": refresh_token(get)}
    client = get("by_cookie")
    with failing_database():
        return client.send(method, name, body)


@contextmanager
def failing_database() -> Iterator[None]:
    """Have every statement fail, as on a connection that was lost."""

    def fail(*args: Any) -> Any:
        raise OperationalError("the connection is lost")

    with connection.execute_wrapper(fail):
        yield


def raw(client: ApiClient, name: str, body: str, content_type: str, **extra: Any) -> Any:
    return client.generic("POST", f"/auth/{name}", body, content_type=content_type, **extra)


def send_form(get: Any, content_type: str, body: str) -> Any:
    """Send a form to sign-out, which nobody reads but the CSRF check."""
    browser = get("browser")
    browser.send("get", "session")
    return raw(browser, "sign-out", body, content_type)


@pytest.mark.parametrize(
    ("operation", "status", "refusal"), [each for each in REFUSALS if each[0] not in OF_OAUTH]
)
def test_every_refusal_that_is_described_can_be_had(operation, status, refusal, request):
    provoke: Provoke = globals()[refusal]
    answer = provoke(REQUESTS[operation], request.getfixturevalue)
    assert (answer.status_code, code(answer)) == (status, refusal)


@pytest.mark.urls("tests.api.oauth_urls")
@pytest.mark.parametrize(
    ("operation", "status", "refusal"), [each for each in REFUSALS if each[0] in OF_OAUTH]
)
def test_every_refusal_of_oauth_that_is_described_can_be_had(
    operation, status, refusal, app, settings, ada
):
    if status != 403:
        ada.user_permissions.set(Permission.objects.filter(codename="introspect_token"))
    _, name, body = REQUESTS[operation]
    headers = {} if status == 401 else {"Authorization": f"Bearer {app.token}"}
    if status == 413:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1
    if status == 429:
        settings.SESSIONS_PLUS_RATES = {"introspect": "1/h", "revoke_token": "1/h"}
    if status == 503:
        # Of the form of a session token, for any other is known to be none without a query.
        body = f"token={app.token}"
    with failing_database() if status == 503 else nullcontext():
        for _ in range(2):
            answer = app.generic(
                "POST",
                f"/oauth/{name}",
                "" if status == 400 else body,
                content_type="text/plain" if status == 415 else FORM,
                headers=headers,
            )
    assert (answer.status_code, answer.json()["error"]) == (status, refusal)


# In a project of other habits


class Mine(APIView):
    authentication_classes = [CookieAuthentication]
    permission_classes = [IsAuthenticated]

    def post(self, request: Any) -> None:
        """Only described."""


def schema_of(*patterns: Any) -> dict[str, Any]:
    found: dict[str, Any] = SchemaGenerator(patterns=patterns).get_schema(public=True)
    return found


def test_names_of_cookie_and_header_are_the_projects(settings):
    settings.SESSION_COOKIE_NAME = "biscuit"
    settings.CSRF_HEADER_NAME = "HTTP_X_OURS"
    schemes = schema_of(*urls.urlpatterns)["components"]["securitySchemes"]
    assert schemes["sessionCookie"]["name"] == "biscuit"
    assert schemes["csrfToken"]["name"] == "X-Ours"


def test_a_sign_in_that_is_left_out_is_not_described(settings):
    assert "/sign-in" in schema_of(*urls.urlpatterns)["paths"]
    settings.SESSIONS_PLUS_SIGN_IN = False
    paths = schema_of(*urls.urlpatterns)["paths"]
    assert "/sign-in" not in paths
    assert "/reauthenticate" in paths


def test_the_user_has_the_fields_the_project_chose(settings):
    settings.SESSIONS_PLUS_USER_FIELDS = ["is_staff", "last_login", "password", "nickname"]
    user = schema_of(*urls.urlpatterns)["components"]["schemas"]["UserSessionUser"]
    assert list(user["properties"]) == ["id", "is_staff", "last_login"]
    assert user["properties"]["last_login"]["format"] == "date-time"
    assert user["properties"]["last_login"]["nullable"]
    assert user["properties"]["is_staff"]["type"] == "boolean"


class Card(TypedDict):
    id: str
    name: str
    nickname: NotRequired[str | None]


def card(user: Any) -> Card:
    return {"id": "", "name": user.username}


class Cards:
    def __call__(self, user: Any) -> Card:
        return card(user)


def unknown(user: Any) -> "Nowhere":  # type: ignore[name-defined]  # noqa: F821
    return card(user)


@pytest.mark.parametrize("source", [card, "tests.api.test_schema.card"])
def test_the_user_has_the_types_of_what_a_callable_returns(settings, source):
    settings.SESSIONS_PLUS_USER_FIELDS = source
    user = schema_of(*urls.urlpatterns)["components"]["schemas"]["UserSessionUser"]
    assert user["properties"]["id"]["type"] == "integer"
    assert user["properties"]["name"]["type"] == "string"
    assert user["required"] == ["id", "name"]
    assert list(user["properties"]) == ["id", "name", "nickname"]


@pytest.mark.parametrize("source", [lambda user: {}, Cards(), unknown, dict])
def test_a_user_that_is_computed_without_such_an_annotation_may_have_anything(settings, source):
    settings.SESSIONS_PLUS_USER_FIELDS = source
    user = schema_of(*urls.urlpatterns)["components"]["schemas"]["UserSessionUser"]
    assert list(user["properties"]) == user["required"] == ["id"]
    assert user["additionalProperties"] == {}


def test_a_project_that_splits_requests_from_answers_gets_each_name_once():
    with patched_settings({"COMPONENT_SPLIT_REQUEST": True}):
        components = schema_of(*urls.urlpatterns, *oauth_urls.urlpatterns)["components"]["schemas"]
    named = {f"{name}Request" for name in ("SignIn", "Reauthenticate", "RevokeSessions")}
    assert named | {"PresentedTokenRequest"} <= set(components)


def test_a_projects_own_view_has_the_schemes_of_its_authentication_classes(settings):
    settings.REST_FRAMEWORK = {
        "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
        "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.NamespaceVersioning",
    }
    made = schema_of(*urls.urlpatterns, path("mine", Mine.as_view()))
    assert made["paths"]["/mine"]["post"]["security"] == [{"sessionCookie": [], "csrfToken": []}]


def test_endpoints_are_described_where_the_project_describes_its_own_by_other_means(settings):
    settings.REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "rest_framework.schemas.openapi.AutoSchema"}
    found = schema_of(*urls.urlpatterns)["paths"]
    assert len(found) == len(urls.urlpatterns)
