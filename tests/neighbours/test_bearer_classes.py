"""simplejwt, OAuth toolkit, knox and TokenAuthentication as they are, in one view with our classes.

Run with the packages installed::

    python -m pytest -m neighbours --ds tests.neighbours.bearer_settings tests/neighbours/test_bearer_classes.py
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone

if not (apps.is_installed("oauth2_provider") and apps.is_installed("knox")):
    pytest.skip("needs tests.neighbours.bearer_settings", allow_module_level=True)

from knox.auth import TokenAuthentication as KnoxAuthentication
from knox.models import AuthToken
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from oauth2_provider.models import AccessToken
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import AccessToken as SimpleToken

from django_sessions_plus import sessions
from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    CookieAuthentication,
    SessionTokenAuthentication,
    yielding,
)
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db]


class BearerToken(TokenAuthentication):
    keyword = "Bearer"


def of_simplejwt(user: User) -> str:
    return str(SimpleToken.for_user(user))


def of_toolkit(user: User) -> str:
    expires = timezone.now() + timedelta(hours=1)
    return str(AccessToken.objects.create(user=user, token="Ab3" * 10, expires=expires).token)


def of_knox(user: User) -> str:
    return str(AuthToken.objects.create(user)[1])


def of_rest_framework(user: User) -> str:
    return str(Token.objects.create(user=user).key)


THEIRS: list[tuple[Any, Callable[[User], str]]] = [
    (JWTAuthentication, of_simplejwt),
    (OAuth2Authentication, of_toolkit),
    (KnoxAuthentication, of_knox),
    (BearerToken, of_rest_framework),
]
OURS = [AccessTokenAuthentication, SessionTokenAuthentication]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", "correct horse")


@pytest.fixture
def ours(ada: User) -> list[str]:
    store = sessions.start(ada)
    assert store.session_key is not None
    return [store.session_key, sessions.issue_tokens(store.row).access]  # type: ignore[arg-type]


def ask(classes: list[Any], token: str) -> Any:
    class View(APIView):
        authentication_classes = classes
        permission_classes = [IsAuthenticated]

        def get(self, request: Request) -> Response:
            return Response({"user": request.user.get_username()})

    request = RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})
    request.user = AnonymousUser()
    SessionMiddleware(lambda _: HttpResponse()).process_request(request)
    return View.as_view()(request)


def orders(their: Any) -> list[list[Any]]:
    return [
        [*OURS, their],
        [*OURS[::-1], CookieAuthentication, their],
        [yielding(their), *OURS],
        [OURS[0], yielding(their), OURS[1]],
    ]


@pytest.mark.parametrize("order", range(4))
@pytest.mark.parametrize(("their", "issue"), THEIRS)
def test_both_tokens_are_good_in_either_order(ada, ours, their, issue, order):
    classes = orders(their)[order]
    for token in (*ours, issue(ada)):
        answer = ask(classes, token)
        assert (answer.status_code, answer.data) == (200, {"user": "ada"}), token


def test_all_of_them_share_a_view(ada, ours):
    # Each package's own class refuses what it does not know: only one of them can be the last.
    for their, issue in THEIRS:
        assert ask([*OURS, OAuth2Authentication, their], issue(ada)).status_code == 200
    for token in ours:
        assert ask([*OURS, OAuth2Authentication, JWTAuthentication], token).status_code == 200


@pytest.mark.parametrize(("their", "issue"), THEIRS)
@pytest.mark.parametrize("token", ["garbage", "a.b.c", "f" * 64, "0" * 40])
def test_garbage_is_a_401_with_a_challenge(ada, their, issue, token):
    for classes in orders(their):
        answer = ask(classes, token)
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("their", "issue"), THEIRS)
def test_a_session_that_has_ended_says_so(ada, ours, their, issue):
    Session.objects.all().end(reason="revoked")
    for token in ours:
        for classes in orders(their):
            answer = ask(classes, token)
            assert (answer.status_code, answer.data["code"]) == (401, "session_ended")
