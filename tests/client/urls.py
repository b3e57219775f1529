"""The endpoints, and a view that takes every transport."""

from typing import Any

from django.urls import include, path
from rest_framework.request import Request

from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    CookieAuthentication,
    SessionTokenAuthentication,
)
from django_sessions_plus.api.errors import SessionEndedError
from tests.api.urls import Mine


class Broken(Mine):
    """Refuses every token, as one behind a wrong proxy does."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise SessionEndedError


class MineByAnyToken(Mine):
    authentication_classes = [
        AccessTokenAuthentication,
        SessionTokenAuthentication,
        CookieAuthentication,
    ]


urlpatterns = [
    path("auth/", include("django_sessions_plus.api.urls")),
    path("broken", Broken.as_view()),
    path("mine", MineByAnyToken.as_view()),
]
