"""The table of codes, and that nothing of a project's own settings reaches the endpoints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db import DatabaseError, connection
from django.http.request import UnreadablePostError
from django.urls import reverse
from django.utils.functional import Promise
from rest_framework import exceptions, serializers

from django_sessions_plus.api import errors, token_views, views
from tests.api.conftest import ApiClient, code, connected
from tests.running import ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

# Method, address, body: one request to each endpoint.
REQUESTS = [
    ("get", "session", None),
    ("post", "sign-in", {"username": "ada", "password": "correct horse"}),
    ("get", "sessions", None),
    ("post", "reauthenticate", {"password": "correct horse"}),
    ("delete", "sessions/x", None),
    ("post", "sessions/revoke", {"scope": "others"}),
    ("post", "token/refresh", {"refresh": "x"}),
    ("post", "sign-out", {}),
]


def explode(exc, context):
    raise RuntimeError("the project's own handler")


def test_every_code_has_a_status_and_words():
    for name, error in errors.ERRORS.items():
        assert re.fullmatch(r"[a-z_]+", name)
        assert 400 <= error.status < 600
        # Lazy: the words are in the language of each request.
        assert isinstance(error.detail, Promise)


def test_every_code_in_the_package_is_in_the_table():
    declared = {cls.code for cls in errors.ApiError.__subclasses__()}
    assert declared <= errors.ERRORS.keys()
    source = Path(errors.__file__).read_text()
    mapped = set(re.findall(r'\), "([a-z_]+)"\),|\w, "([a-z_]+)"\),', source))
    assert {one or other for one, other in mapped} <= errors.ERRORS.keys()


@pytest.mark.parametrize(
    "name",
    [
        "authentication_classes",
        "permission_classes",
        "renderer_classes",
        "parser_classes",
        "throttle_classes",
        "content_negotiation_class",
        "versioning_class",
        "metadata_class",
    ],
)
def test_nothing_is_left_to_a_projects_defaults(name):
    # Those are read into the class body of APIView when it is imported; see hostile_site.
    for cls in (*vars(views).values(), *vars(token_views).values()):
        if isinstance(cls, type) and issubclass(cls, views.SessionsPlusView):
            owner = next(base for base in cls.__mro__ if name in vars(base))
            assert issubclass(owner, views.SessionsPlusView)


def test_endpoints_work_in_a_hostile_project_with_its_own_user_model():
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.api.hostile_site"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (run.returncode, run.stdout) == (0, "all is well\n"), run.stderr


@pytest.mark.parametrize("unauthenticated", ["django.contrib.auth.models.AnonymousUser", None])
def test_the_endpoints_do_not_care_for_what_is_read_at_call_time(ada, settings, unauthenticated):
    settings.REST_FRAMEWORK = {
        "EXCEPTION_HANDLER": f"{__name__}.explode",
        "UNAUTHENTICATED_USER": unauthenticated,
        "FORMAT_SUFFIX_KWARG": "id",
        "DATETIME_FORMAT": "%d.%m.%Y",
        "URL_FORMAT_OVERRIDE": "format",
        "NON_FIELD_ERRORS_KEY": "oops",
    }
    client = ApiClient()
    for name in ("sessions", "session"):
        client.send("get", name)
    assert code(client.send("get", "sessions")) == "not_authenticated"
    statuses = [client.send(*request).status_code for request in REQUESTS]
    assert statuses == [200, 200, 200, 200, 404, 200, 401, 204]
    client.sign_in()
    session = client.send("get", "/auth/session?format=xml").json()["session"]
    assert session["created_at"].endswith("Z")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "", "nonsense", "*/*;q=0"])
def test_the_answer_is_json_whatever_is_accepted(client, accept):
    answer = client.send("get", "session", headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


def test_every_answer_stays_out_of_caches(client):
    def check(answer):
        assert answer["Cache-Control"] == "no-store"
        assert {"Authorization", "Cookie"} <= set(answer["Vary"].split(", "))

    for request in (*REQUESTS[2:6], *REQUESTS, ("get", ".well-known/jwks.json", None)):
        check(client.send(*request))
        check(client.send("put", request[1], {}))
        check(client.send("post", request[1], "{", headers={"Authorization": "Bearer x"}))


def test_options_tells_nothing(client):
    assert code(client.send("options", "session")) == "method_not_allowed"


def test_there_is_no_trailing_slash_and_any_prefix():
    assert reverse("django_sessions_plus_api:sign-in") == "/auth/sign-in"
    assert reverse("elsewhere:session-detail", kwargs={"id": "x"}) == "/deep/er/v1/sessions/x"


def test_the_ways_in_are_reachable_behind_the_login_required_middleware(ada, settings, entry):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    client = ApiClient()
    assert client.get("/plain").status_code == 302
    assert client.send("get", "session").status_code == 200
    assert client.send("get", "sessions").status_code == 401
    assert client.sign_in().status_code == 200
    app = ApiClient()
    app.token = client.sign_in(transport="bearer").json()["token"]
    assert app.send("get", "session").json()["user"]["username"] == "ada"
    service = ApiClient()
    service.take(service.sign_in(transport="jwt"))
    assert service.take(service.refresh()).status_code == 200
    assert service.send("get", "session").json()["user"]["username"] == "ada"
    assert code(client.send("get", ".well-known/jwks.json")) == "not_found"
    settings.SESSIONS_PLUS_JWT_KEYS = [entry("ES256")]
    assert client.send("get", ".well-known/jwks.json").status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (exceptions.Throttled(wait=3), 429, "throttled"),
        (exceptions.APIException("Ask the office.", code="locked"), 500, "locked"),
        (UnreadablePostError(), 400, "parse_error"),
        (serializers.ValidationError("No."), 400, "invalid"),
    ],
)
def test_what_a_receiver_raises_is_answered_in_the_same_form(client, error, status, expected):
    def refuse(**kwargs):
        raise error

    with connected(user_logged_in, refuse):
        answer = client.sign_in()
    assert (answer.status_code, code(answer)) == (status, expected)
    fields = {"non_field_errors": ["No."]} if expected == "invalid" else None
    assert answer.json().get("fields") == fields


def test_a_defect_is_not_made_an_answer(client):
    def fail(**kwargs):
        raise RuntimeError("a defect")

    with connected(user_logged_in, fail), pytest.raises(RuntimeError, match="a defect"):
        client.sign_in()
    assert User.objects.exists()


@pytest.mark.parametrize("name", ["django_sessions_plus_session", "authenticated_at"])
def test_a_table_that_was_never_migrated_is_no_outage(client, name):
    """A client would come back for ever, and nobody would hear of it."""

    def break_(run, sql, *args):
        return run(sql.replace(name, "of_tomorrow"), *args)

    with connection.execute_wrapper(break_), pytest.raises(DatabaseError, match="of_tomorrow"):
        client.sign_in()
