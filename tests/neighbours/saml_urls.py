"""A view that uses both sessions, as an assertion consumer does."""

from typing import Any

from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import path


def assertion(request: Any) -> HttpResponse:
    """Sign in whom the identity provider named, and keep what it said."""
    request.saml_session["name_id"] = "ada@idp"
    login(request, User.objects.get(), "django.contrib.auth.backends.ModelBackend")
    return HttpResponse()


def who(request: Any) -> HttpResponse:
    """Tell the user, and what the identity provider said."""
    return HttpResponse(f"{request.user.get_username()} {request.saml_session.get('name_id')}")


def sign_out(request: HttpRequest) -> HttpResponse:
    """Sign out of the site, and leave the other session."""
    logout(request)
    return HttpResponse()


urlpatterns = [
    path("assertion", assertion),
    path("who", who),
    path("sign-out", sign_out),
]
