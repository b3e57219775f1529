"""The addresses of a site whose apps have tokens of authtoken or knox."""

from typing import Any

from django.urls import path
from rest_framework.authentication import BasicAuthentication

from tests.switching.real.site.api_views import Who
from tests.switching.real.site.engines import current


def sign_in_view() -> Any:
    """Return the view of the package that makes a token."""
    if current().source == "knox":
        from knox.views import LoginView  # noqa: PLC0415

        return LoginView.as_view(authentication_classes=[BasicAuthentication])
    from rest_framework.authtoken.views import obtain_auth_token  # noqa: PLC0415

    return obtain_auth_token


urlpatterns = [path("token", sign_in_view()), path("who", Who.as_view())]
