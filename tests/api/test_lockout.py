"""A lockout package beside the endpoints: what it answers has the form of the API."""

import sys
from datetime import timedelta
from types import ModuleType

import pytest
from django.apps import apps
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse

from tests.api.conftest import PASSWORD, code, connected

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

MINUTE = timedelta(minutes=1)


class LockoutBackend:
    """Lets nobody in, as axes does with whoever is locked out."""

    def authenticate(self, request, **credentials):
        request.axes_locked_out = True
        raise PermissionDenied


def lockout_middleware(get_response):
    """Replace the answer to whoever is locked out by a page, as axes does."""

    def middleware(request):
        response = get_response(request)
        if getattr(request, "axes_locked_out", None):
            return HttpResponse("Account locked: too many login attempts.", status=429)
        return response

    return middleware


@pytest.fixture
def axes(monkeypatch, settings):
    """The smallest part of django-axes; tests/neighbours has the package itself."""
    helpers = ModuleType("axes.helpers")
    vars(helpers)["get_cool_off"] = lambda request: MINUTE
    monkeypatch.setitem(sys.modules, "axes", ModuleType("axes"))
    monkeypatch.setitem(sys.modules, "axes.helpers", helpers)
    monkeypatch.delitem(sys.modules, "django_sessions_plus.contrib.axes", raising=False)
    real = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda app: app == "axes" or real(app))
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.lockout_middleware"]
    return helpers


def lock_out(settings):
    settings.AUTHENTICATION_BACKENDS = [
        f"{__name__}.LockoutBackend",
        "django.contrib.auth.backends.ModelBackend",
    ]


@pytest.mark.parametrize("transport", ["cookie", "bearer", "jwt"])
def test_a_sign_in_that_is_locked_out_is_answered_in_the_form_of_the_api(
    axes, client, settings, transport
):
    lock_out(settings)
    answer = client.sign_in(transport=transport)
    assert (answer.status_code, code(answer)) == (429, "throttled")
    assert answer["Retry-After"] == "60"


def test_so_is_a_re_authentication(axes, signed_in, settings):
    lock_out(settings)
    answer = signed_in.send("post", "reauthenticate", {"password": PASSWORD})
    assert (answer.status_code, code(answer), answer["Retry-After"]) == (429, "throttled", "60")


def test_for_good_is_an_hour(axes, client, settings):
    axes.get_cool_off = lambda request: None
    lock_out(settings)
    assert client.sign_in()["Retry-After"] == "3600"


def test_the_attempt_that_is_the_last_one_is_answered_so_too(axes, client):
    """The package notes it when Django says that the sign-in failed."""

    def note(request, **kwargs):
        request.axes_locked_out = True

    with connected(user_login_failed, note):
        assert client.sign_in(password="wrong").status_code == 429


def test_who_is_not_locked_out_is_not_concerned(axes, client):
    assert code(client.sign_in(password="wrong")) == "invalid_credentials"
    assert client.sign_in().status_code == 200
