"""Classes of other packages that read the same header, before and behind ours."""

from __future__ import annotations

from itertools import product
from typing import Any

import jwt
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    TokenAuthentication,
)
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus import tokens
from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    CookieAuthentication,
    SessionTokenAuthentication,
    StatelessAccessTokenAuthentication,
    yielding,
)
from django_sessions_plus.http.cookie import with_cookie
from django_sessions_plus.jwt import access
from django_sessions_plus.middleware import SessionMiddleware, get_user
from django_sessions_plus.models import Session
from tests.api.conftest import ApiClient

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

OURS = [AccessTokenAuthentication, SessionTokenAuthentication]
OPAQUE = [
    "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b",
    "AbC123xyz",
    "a" * 64,
    "odd",
    "",
    "a b",
    "a.b.c.d.e",
]


class SimpleJwt(BaseAuthentication):
    """Read and refuse JWTs as djangorestframework-simplejwt does: with SECRET_KEY, and no kid."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, token = request._request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme != "Bearer":
            return None
        try:
            claims = jwt.decode(token, django_settings.SECRET_KEY, algorithms=["HS256"])
        except jwt.PyJWTError:
            raise AuthenticationFailed(code="token_not_valid") from None
        return User(username=claims["sub"]), token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="theirs"'


class Opaque(TokenAuthentication):
    """Read and refuse opaque tokens as REST framework, and knox, do."""

    keyword = "Bearer"

    def authenticate_credentials(self, key: str) -> tuple[Any, Any]:
        if key not in (*OPAQUE, "0123456789abcdef0123456789abcdef"):
            raise AuthenticationFailed
        return User(username="theirs"), key


class Silent(BaseAuthentication):
    """Know no token, and say nothing, as django-oauth-toolkit does."""

    def authenticate(self, request: Request) -> None:
        return None


def theirs(**claims: Any) -> str:
    key: Any = django_settings.SECRET_KEY
    return jwt.encode({"sub": "theirs", **claims}, key, algorithm="HS256")


def ask(classes: list[Any], token: str, *, is_open: bool = False, cookie: str | None = None) -> Any:
    """Return the answer of a view that has these classes, whose ``request`` it has as an attribute."""

    class View(APIView):
        authentication_classes = classes
        permission_classes = [AllowAny if is_open else IsAuthenticated]

        def get(self, request: Request) -> Response:
            return Response({"user": request.user.get_username()})

    request = RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})
    request.user = AnonymousUser()
    if cookie is not None:
        request.COOKIES[django_settings.SESSION_COOKIE_NAME] = cookie
    middleware = SessionMiddleware(lambda _: Response())
    middleware.process_request(request)
    request.user = get_user(request)
    answer: Any = View.as_view()(request)
    answer.request = request
    return answer


def user_or_status(*args: Any, **options: Any) -> Any:
    answer = ask(*args, **options)
    return answer.data["user"] if answer.status_code == 200 else answer.status_code


@pytest.fixture
def tokens_of_ours(ada: User) -> list[str]:
    found = []
    for transport in ("bearer", "jwt"):
        client = ApiClient()
        client.take(client.sign_in(transport=transport))
        assert client.token is not None
        found.append(client.token)
    return found


def mixed(their: Any) -> list[list[Any]]:
    """Return every order of ours and theirs in which theirs is wrapped wherever one of ours follows."""
    a, b = OURS
    return [
        [a, b, their],
        [b, a, their],
        [a, yielding(their), b],
        [b, yielding(their), a],
        [yielding(their), a, b],
        [a, b, CookieAuthentication, their],
    ]


@pytest.mark.parametrize("order", range(6))
def test_a_jwt_of_somebody_else_is_theirs_in_any_order(tokens_of_ours, order):
    classes = mixed(SimpleJwt)[order]
    assert user_or_status(classes, theirs()) == "theirs"
    assert user_or_status(classes, theirs(iss="somebody", exp=2**33)) == "theirs"
    for token in tokens_of_ours:
        assert user_or_status(classes, token) == "ada"


@pytest.mark.parametrize("order", range(6))
def test_an_opaque_token_of_somebody_else_is_theirs_in_any_order(tokens_of_ours, order):
    classes = mixed(Opaque)[order]
    for token in OPAQUE[:4]:
        assert user_or_status(classes, token) == "theirs"
    for token in tokens_of_ours:
        assert user_or_status(classes, token) == "ada"


def test_a_token_of_our_form_that_no_session_bears_may_be_theirs(ada):
    token = "0123456789abcdef" * 2
    assert tokens.is_well_formed(token)
    assert user_or_status([*OURS, Opaque], token) == "theirs"
    assert user_or_status(OURS, token) == 401


def test_a_token_of_a_session_that_is_over_is_not_left_to_others(tokens_of_ours):
    Session.objects.all().end(reason="revoked")
    for token in tokens_of_ours:
        answer = ask([*OURS, Silent], token, is_open=True)
        assert (answer.status_code, answer.data["code"]) == (401, "session_ended")


def test_an_access_token_of_ours_that_has_expired_is_not_left_to_others(tokens_of_ours):
    row = Session.objects.exclude(refresh_digest=None).get()
    token = access.issue(row, now=timezone.now() - timezone.timedelta(hours=1)).token
    answer = ask([*OURS, Silent], token, is_open=True)
    assert (answer.status_code, answer.data["code"]) == (401, "token_expired")


def test_a_forged_one_of_ours_is_not_left_to_others(tokens_of_ours):
    head, _, signature = tokens_of_ours[1].rpartition(".")
    forged = f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    answer = ask([*OURS, Silent], forged, is_open=True)
    assert (answer.status_code, answer.data["code"]) == (401, "invalid_token")


def test_a_token_by_our_key_and_another_issuer_is_anothers(tokens_of_ours, settings):
    settings.SESSIONS_PLUS_JWT_ISSUER = "https://another.example"
    assert user_or_status([*OURS, Silent], tokens_of_ours[1], is_open=True) == ""
    assert user_or_status(OURS, tokens_of_ours[1]) == 401


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": "refresh+jwt"}, {"kid": "theirs"}])
def test_a_token_of_another_type_or_key_is_anothers_whatever_its_issuer(tokens_of_ours, header):
    claims = jwt.decode(tokens_of_ours[1], options={"verify_signature": False})
    ours = jwt.get_unverified_header(tokens_of_ours[1])
    token = jwt.encode(claims, "k" * 32, algorithm="HS256", headers={**ours, **header})
    assert user_or_status([*OURS, Silent], token, is_open=True) == ""
    assert user_or_status(OURS, token, is_open=True) == 401


@pytest.mark.parametrize("token", ["garbage", "", "a.b.c", "a.b.c.d", "é", *OPAQUE[:3]])
def test_where_no_class_is_left_it_is_refused_with_our_code(ada, token):
    keyword = type("Keyword", (TokenAuthentication,), {})
    for rest in ([], [CookieAuthentication], [keyword]):
        for ours in (OURS, OURS[::-1], OURS[:1], OURS[1:], [StatelessAccessTokenAuthentication]):
            answer = ask([*ours, *rest], token, is_open=True)
            assert (answer.status_code, answer.data["code"]) == (401, "invalid_token")
            assert 'error="invalid_token"' in answer["WWW-Authenticate"]


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "a" * 64])
def test_what_the_last_class_does_not_know_either_is_a_401_with_our_challenge(ada, token):
    for their in (Silent, SimpleJwt):
        answer = ask([*OURS, their], token)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer["WWW-Authenticate"]


def test_what_is_left_to_others_does_not_fall_back_to_the_cookie(ada):
    answer = ask([*OURS, CookieAuthentication, Silent], "garbage", is_open=True)
    assert answer.data["user"] == ""


@pytest.mark.parametrize("token", ["garbage", "", "a.b.c", "0123456789abcdef" * 2])
def test_the_cookie_stands_aside_for_a_header_wherever_its_class_stands(client, token):
    cookie = cookie_of(client)
    for classes in ([CookieAuthentication, *OURS], [CookieAuthentication]):
        assert user_or_status(classes, token, cookie=cookie) in (401, 403)
    assert user_or_status([CookieAuthentication, Theirs], token, cookie=cookie) == "theirs"


# The session of a request whose credential was left to others


def cookie_of(client: ApiClient) -> str:
    assert client.sign_in().status_code == 200
    return client.cookies["sessionid"].value


class Theirs(BaseAuthentication):
    """Know every token."""

    def authenticate(self, request: Request) -> tuple[Any, Any]:
        return User(username="theirs"), "theirs"


LEFT = ["garbage", "a.b.c", "0123456789abcdef" * 2, "0123456789abcdef" * 2 + "x", "", *OPAQUE[:3]]


@pytest.mark.parametrize("token", LEFT)
def test_a_credential_of_others_has_no_part_in_the_session_of_the_cookie(client, token):
    cookie = cookie_of(client)
    orders = product(
        (OURS, OURS[::-1], OURS[:1], OURS[1:]),
        ([Theirs], [Silent], [SessionAuthentication, Silent]),
    )
    for ours, rest in orders:
        answer = ask([*ours, *rest], token, is_open=True, cookie=cookie)
        assert answer.data["user"] == ("theirs" if rest == [Theirs] else "")
        session = answer.request.session
        assert session.is_empty()
        assert (session.transport, session.session_key) == ("bearer", None)
        # Not signed out either: it is another one's business.
        assert not with_cookie(answer.request, answer, session).cookies


def test_an_access_token_cut_short_has_no_part_in_it_either(client, tokens_of_ours):
    cookie = cookie_of(client)
    for token in (tokens_of_ours[0][:-1], tokens_of_ours[1].rpartition(".")[0]):
        answer = ask([*OURS, Silent], token, is_open=True, cookie=cookie)
        assert answer.data["user"] == ""
        assert answer.request.session.is_empty()


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("token", ["0123456789abcdef" * 2, "garbage", "a.b.c"])
def test_no_session_token_is_told_to_a_client_whose_credential_was_never_ours(token, ada):
    answer = Client().post("/theirs", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()) == (200, {"user": "theirs"})
    assert "Session-Token" not in answer
    assert not answer.cookies


def test_a_site_whose_sessions_another_engine_keeps_leaves_them_to_it(ada, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    assert user_or_status([*OURS, Theirs], "garbage") == "theirs"


class SignsIn(APIView):
    """A view that writes to the session of whom another class let in."""

    authentication_classes = [*OURS, Theirs]

    def post(self, request: Request) -> Response:
        request.session["visits"] = 1
        return Response({"user": request.user.get_username()})


urlpatterns = [path("theirs", SignsIn.as_view())]
