"""A database that fails under each view: no frame and no body holds a secret that error reporters would show."""

import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import django.test
import pytest
from django.contrib.auth.models import User
from django.core.signals import got_request_exception
from django.db.models import QuerySet
from django.forms import BaseForm
from django.http import HttpRequest
from django.http.request import RawPostDataException
from django.urls import resolve
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer

import django_sessions_plus
import tests
from django_sessions_plus import urls as pages_urls
from django_sessions_plus.api import oauth_urls, urls
from django_sessions_plus.api.base import SessionsPlusView
from tests.api import failures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.failures")]

# Where the test itself holds what it looks for, wherever that is installed.
OF_THE_TEST = [Path(module.__file__ or "").parent for module in (tests, django.test, pytest)]
# Of a request what came with it is in headers and cookies, which reporters know by their names.
CARRIED_BY = {
    HttpRequest: ("_body", "_post"),
    Request: ("_data", "_full_data"),
    BaseSerializer: ("initial_data", "_validated_data"),
    BaseForm: ("data", "cleaned_data"),
}
# In these frames it must not be.
OURS = Path(django_sessions_plus.__file__).parent


@pytest.fixture(autouse=True)
def _ada(db: None, settings: Any) -> None:
    # Each statement that can fail takes a request, and a sign-in before it.
    settings.SESSIONS_PLUS_RATES = {"sign_in": None}
    settings.SESSIONS_PLUS_TOKEN_AUDIENCES = [failures.AUDIENCE]
    User.objects.create_user("ada", "ada@example.com", failures.PASSWORD)


@pytest.fixture
def bodies():
    """What a reporter reads of a request that fails, also where nobody has read the body before."""
    found: list[str] = []
    return found


@pytest.fixture
def errors(monkeypatch, caplog, bodies):
    """Every error that is raised within a view, answered by ours, or logged."""
    found: list[BaseException] = []

    def note(request: HttpRequest, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        found.append(error)
        read(request)

    def read(request: HttpRequest) -> None:
        with suppress(RawPostDataException):
            bodies.append(request.body.decode())

    real = SessionsPlusView.handle_exception

    def handle(view: Any, error: Exception) -> Any:
        found.append(error)
        read(view.request._request)
        return real(view, error)

    monkeypatch.setattr(SessionsPlusView, "handle_exception", handle)
    got_request_exception.connect(note)
    yield found
    got_request_exception.disconnect(note)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def variables(error: BaseException) -> Iterator[tuple[str, Any]]:
    """Give each local variable of each frame, by where it stands."""
    for each in chain(error):
        for frame, line in traceback.walk_tb(each.__traceback__):
            name = frame.f_code.co_filename
            if not any(Path(name).is_relative_to(directory) for directory in OF_THE_TEST):
                for variable, value in list(frame.f_locals.items()):
                    yield f"{name}:{line} {frame.f_code.co_name} {variable}", value


def texts(value: Any) -> Iterable[str]:
    if isinstance(value, QuerySet):
        # Its repr would ask the database, and it holds what it asks for as parameters.
        yield repr(value.query.where)
        return
    yield repr(value)
    for kind, names in CARRIED_BY.items():
        if isinstance(value, kind):
            yield from (repr(value.__dict__.get(name)) for name in names)
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts(each)


def leaks(errors: list[BaseException], secrets: set[str]) -> set[str]:
    return {
        f"{where}: {secret[:6]}"
        for error in errors
        for where, value in variables(error)
        for text in texts(value)
        for secret in secrets
        if secret in text
    }


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.thorough] if name in failures.REPEATED else [])
        for name in failures.REQUESTS
    ],
)
def test_no_variable_and_no_body_of_a_failure_holds_a_secret(
    name, errors, bodies, monkeypatch, caplog
):
    found: set[str] = set()
    looked_at = 0
    for number in range(60):
        made = failures.REQUESTS[name]()
        errors.clear()
        caplog.clear()
        with failures.made_tokens(monkeypatch) as issued:
            has_failed = failures.send_with_failure(made, number)
        if not has_failed:
            break
        logged = [r.exc_info[1] for r in caplog.records if r.exc_info and r.exc_info[1]]
        looked_at += sum(
            where.startswith(f"{OURS}/")
            for error in (*errors, *logged)
            for where, _ in variables(error)
        )
        secrets = made.secrets | issued
        found |= leaks([*errors, *logged], secrets)
        found |= {f"body: {each[:6]}" for each in secrets if each in "".join(bodies)}
    assert looked_at > 0
    assert sorted(found) == []


def test_every_endpoint_and_page_is_among_them():
    reached = {resolve(make().path).view_name for make in failures.REQUESTS.values()}
    parts = (urls, oauth_urls, pages_urls)
    every = {f"{part.app_name}:{pattern.name}" for part in parts for pattern in part.urlpatterns}
    # The public keys are read from no database.
    assert every - reached == {"django_sessions_plus_api:jwks"}
