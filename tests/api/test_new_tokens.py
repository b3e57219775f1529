"""Other packages' views change the password of a client that came by a token: it is told of the new one, or is out."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model, login, update_session_auth_hash
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus import sessions
from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    CookieAuthentication,
    SessionTokenAuthentication,
)
from django_sessions_plus.backends.configured import new_store
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.tokens import digest
from tests.api.conftest import ApiClient

User = get_user_model()
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

HEADER = "Session-Token"


class View(APIView):
    authentication_classes = [
        AccessTokenAuthentication,
        SessionTokenAuthentication,
        CookieAuthentication,
    ]
    permission_classes = [IsAuthenticated]


class ChangePassword(View):
    """As dj-rest-auth and djoser do it."""

    status = 200

    def post(self, request: Request) -> Response:
        user: Any = request.user
        user.set_password("another horse")
        user.save()
        update_session_auth_hash(request, user)
        return Response({}, status=self.status, headers={"Cache-Control": "public, max-age=600"})


class ChangeAndFail(ChangePassword):
    status = 500


class SaveAndFail(ChangePassword):
    def post(self, request: Request) -> Response:
        super().post(request)
        request.session.save()
        raise RuntimeError("after the change")


class CycleAndFail(View):
    permission_classes = [AllowAny]

    def post(self, request: Request) -> Response:
        request.session["n"] = 1
        request.session.save()
        request.session.cycle_key()
        if "answer" in request.GET:
            return Response({}, status=503)
        raise RuntimeError("after the rotation")


class Fail(View):
    permission_classes = [AllowAny]

    def post(self, request: Request) -> Response:
        request.session["n"] = 1
        request.session.save()
        raise RuntimeError("without a rotation")


class CycleKey(View):
    def post(self, request: Request) -> Response:
        request.session.cycle_key()
        return Response({})


class SignInAgain(View):
    def post(self, request: Request) -> Response:
        login(request._request, request.user, backend="django.contrib.auth.backends.ModelBackend")  # type: ignore[arg-type]
        return Response({})


class Renew(View):
    """Issues a pair of its own after the change, as a project's own view may do."""

    def post(self, request: Request) -> Response:
        user: Any = request.user
        user.set_password("another horse")
        user.save()
        update_session_auth_hash(request, user)
        store: Any = request.session
        store.save()
        row = Session.objects.get(pk=store.row.pk) if "own" in request.GET else store.row
        pair = sessions.issue_tokens(row)
        return Response({"access": pair.access, "refresh": pair.refresh})


class Count(View):
    permission_classes = [AllowAny]

    def post(self, request: Request) -> Response:
        request.session["n"] = request.session.get("n", 0) + 1
        return Response({"n": request.session["n"]})


urlpatterns = [
    path("auth/", include("django_sessions_plus.api.urls")),
    path("change", ChangePassword.as_view()),
    path("change-and-fail", ChangeAndFail.as_view()),
    path("save-and-fail", SaveAndFail.as_view()),
    path("cycle-and-fail", CycleAndFail.as_view()),
    path("fail", Fail.as_view()),
    path("cycle", CycleKey.as_view()),
    path("again", SignInAgain.as_view()),
    path("renew", Renew.as_view()),
    path("count", Count.as_view()),
]


class TestBearer:
    @pytest.mark.parametrize("view", ["/change", "/cycle", "/again"])
    def test_the_new_token_comes_back_in_a_header(self, app: ApiClient, view: str) -> None:
        before = app.token
        answer = app.send("post", view)
        assert answer.status_code == 200
        app.token = answer[HEADER]
        assert app.token != before
        assert Session.objects.get().token_digest == digest(app.token)
        assert app.send("get", "session").json()["user"]["username"] == "ada"
        assert "sessionid" not in answer.cookies

    def test_the_answer_is_kept_out_of_caches(self, app: ApiClient) -> None:
        answer = app.send("post", "/change")
        assert answer["Cache-Control"] == "no-store"
        assert "Authorization" in answer["Vary"]

    def test_the_old_token_is_dead(self, app: ApiClient) -> None:
        app.send("post", "/change")
        assert app.send("get", "session").status_code == 401

    def test_an_answer_that_changes_no_token_has_no_header(
        self, clock: Any, app: ApiClient
    ) -> None:
        clock.advance(days=3)
        answer = app.send("post", "/count")
        assert HEADER not in answer
        assert Session.objects.get().updated_at == clock.now()

    def test_a_failed_answer_has_none(self, app: ApiClient) -> None:
        app.raise_request_exception = False
        assert HEADER not in app.send("post", "/change-and-fail")

    @pytest.mark.parametrize("name", ["sign-in", "reauthenticate"])
    def test_what_tells_it_in_the_body_does_not_tell_it_twice(
        self, app: ApiClient, name: str
    ) -> None:
        body = {"username": "ada", "password": "correct horse", "transport": "bearer"}
        if name == "reauthenticate":
            body = {"password": "correct horse"}
        answer = app.send("post", name, body)
        assert answer.json()["token"]
        assert HEADER not in answer

    def test_in_async_mode(self, app: ApiClient) -> None:
        request = HttpRequest()
        request.META["HTTP_AUTHORIZATION"] = f"Bearer {app.token}"

        async def view(request: HttpRequest) -> HttpResponse:
            request.session = new_store(app.token)
            sessions.adopt(request, request.session)
            await request.session.acycle_key()
            return HttpResponse()

        answer: Any = async_to_sync(SessionMiddleware(view))(request)  # type: ignore[arg-type]
        assert Session.objects.get().token_digest == digest(answer[HEADER])

    def test_a_header_of_a_packages_own_is_served_alike(self, app: ApiClient) -> None:
        request = HttpRequest()
        request.META["HTTP_X_SESSION_TOKEN"] = app.token

        def view(request: HttpRequest) -> HttpResponse:
            request.session = new_store(app.token)
            sessions.adopt(request, request.session)
            request.session["n"] = 1
            if request.method == "POST":
                request.session.cycle_key()
            return HttpResponse()

        assert HEADER not in SessionMiddleware(view)(request)  # type: ignore[operator]
        request.method = "POST"
        assert HEADER in SessionMiddleware(view)(request)  # type: ignore[operator]

    @pytest.mark.parametrize("source", ["HTTP_COOKIE", "body"])
    def test_a_token_that_came_in_no_header_of_its_own_is_told_in_none(
        self, app: ApiClient, source: str
    ) -> None:
        """The client of a package that keeps its token in another cookie, or only knows a ticket."""
        request = HttpRequest()
        request.META["HTTP_COOKIE"] = f"other={app.token}" if source == "HTTP_COOKIE" else ""

        def view(request: HttpRequest) -> HttpResponse:
            request.session = new_store(app.token)
            sessions.adopt(request, request.session)
            request.session.cycle_key()
            return HttpResponse()

        answer: Any = SessionMiddleware(view)(request)
        assert HEADER not in answer
        assert not answer.cookies


class TestCookie:
    @pytest.mark.parametrize("view", ["/change", "/cycle", "/again", "/count"])
    def test_no_header_tells_what_scripts_must_not_read(
        self, by_cookie: ApiClient, view: str
    ) -> None:
        answer = by_cookie.send("post", view)
        assert answer.status_code == 200
        assert HEADER not in answer

    def test_nor_when_a_bad_bearer_token_comes_beside_it(self, by_cookie: ApiClient) -> None:
        by_cookie.token = "x" * 32
        answer = by_cookie.send("post", "/count")
        assert HEADER not in answer

    def test_nor_for_a_visitor_without_a_session(self, ada: Any) -> None:
        assert HEADER not in Client().post("/count")


class TestAccessToken:
    def test_the_session_ends_with_a_reason_and_no_row_is_left_that_nobody_can_use(
        self, service: ApiClient
    ) -> None:
        """Its refresh tokens are void, for a copy of them must not survive the password."""
        answer = service.send("post", "/change")
        assert answer.status_code == 200
        assert HEADER not in answer
        row = Session.objects.get()
        assert row.end_reason == EndReason.PASSWORD_CHANGED
        for refused in (service.send("get", "session"), service.refresh()):
            assert refused.status_code == 401
            assert refused.json()["code"] == "session_ended"
        assert service.send("get", "session").json()["reason"] == "password_changed"

    def test_signing_in_again_takes_its_place(self, service: ApiClient) -> None:
        assert service.send("post", "/again").status_code == 200
        assert Session.objects.get().end_reason == EndReason.SIGNED_OUT
        refused = service.send("get", "session")
        assert (refused.status_code, refused.json()["code"]) == (401, "session_ended")

    @pytest.mark.parametrize("address", ["/renew", "/renew?own=1"])
    def test_a_view_that_issues_a_new_pair_keeps_it(self, service: ApiClient, address: str) -> None:
        """Also over another object of the row than the one that the request has."""
        assert service.take(service.send("post", address)).status_code == 200
        assert service.send("get", "session").status_code == 200
        assert service.take(service.refresh()).status_code == 200

    def test_a_view_that_fails_and_is_rolled_back_leaves_it_as_it_was(
        self, service: ApiClient, settings: Any
    ) -> None:
        settings.DATABASES["default"]["ATOMIC_REQUESTS"] = True
        service.raise_request_exception = False
        try:
            assert service.send("post", "/save-and-fail").status_code == 500
        finally:
            settings.DATABASES["default"]["ATOMIC_REQUESTS"] = False
        assert Session.objects.get().is_active()
        assert service.send("get", "session").status_code == 200
        assert service.take(service.refresh()).status_code == 200

    def test_reauthentication_keeps_it(self, service: ApiClient) -> None:
        answer = service.send("post", "reauthenticate", {"password": "correct horse"})
        assert service.take(answer).status_code == 200
        assert service.send("get", "session").status_code == 200

    def test_a_new_session_token_alone_takes_nothing_from_it(self, service: ApiClient) -> None:
        assert service.send("post", "/cycle").status_code == 200
        assert service.send("get", "session").status_code == 200
        assert service.take(service.refresh()).status_code == 200


class TestAFailedAnswer:
    """It tells no token, neither by header nor as a cookie: then nobody knows the one that a view rotated to."""

    @pytest.mark.parametrize("kind", ["by_cookie", "app", "service"])
    @pytest.mark.parametrize("address", ["/cycle-and-fail", "/cycle-and-fail?answer"])
    def test_no_row_is_left_that_nobody_can_use(
        self, request: pytest.FixtureRequest, kind: str, address: str
    ) -> None:
        client = request.getfixturevalue(kind)
        client.raise_request_exception = False
        assert client.send("post", address).status_code >= 500
        # The session token of a client with a pair of tokens is nothing that it uses.
        assert Session.objects.active().count() == (1 if kind == "service" else 0)
        assert client.refresh().status_code == 200 if kind == "service" else True

    def test_nor_one_of_a_visitor(self, client: ApiClient) -> None:
        client.raise_request_exception = False
        assert client.send("post", "/cycle-and-fail").status_code == 500
        assert not Session.objects.exists()

    @pytest.mark.parametrize("kind", ["by_cookie", "app"])
    def test_one_whose_token_the_client_has_stays(
        self, request: pytest.FixtureRequest, kind: str
    ) -> None:
        client = request.getfixturevalue(kind)
        client.raise_request_exception = False
        assert client.send("post", "/fail").status_code == 500
        assert client.send("get", "session").json()["user"]["username"] == "ada"

    @pytest.mark.parametrize("kind", ["by_cookie", "app"])
    def test_one_that_a_rollback_restores_stays(
        self, request: pytest.FixtureRequest, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        client = request.getfixturevalue(kind)
        client.raise_request_exception = False
        assert client.send("post", "/cycle-and-fail").status_code == 500
        assert client.send("get", "session").json()["user"]["username"] == "ada"

    def test_one_whose_refresh_token_somebody_has_stays(self, by_cookie: ApiClient) -> None:
        pair = sessions.issue_tokens(Session.objects.get())
        by_cookie.raise_request_exception = False
        by_cookie.send("post", "/cycle-and-fail")
        assert by_cookie.refresh(pair.refresh).status_code == 200

    def test_in_a_coroutine_too(self, by_cookie: ApiClient) -> None:
        client = AsyncClient(raise_request_exception=False)
        client.cookies = by_cookie.cookies
        assert async_to_sync(client.post)("/cycle-and-fail").status_code == 500
        assert not Session.objects.active().exists()

    @pytest.mark.parametrize("is_saved", [False, True])
    def test_one_whose_token_came_in_no_header_stays(
        self, clock: Any, app: ApiClient, is_saved: bool
    ) -> None:
        """As where a package has it in a body, or finds it by a ticket; the use moves the expiry."""
        clock.advance(days=4)

        def view(request: HttpRequest) -> HttpResponse:
            request.session = new_store(app.token)
            sessions.adopt(request, request.session)
            request.session["n"] = 1
            if is_saved:
                request.session.save()
            return HttpResponse(status=503)

        answer: Any = SessionMiddleware(view)(HttpRequest())
        assert answer.status_code == 503
        assert (Session.objects.get().updated_at == clock.now()) is is_saved
        assert app.send("get", "session").json()["user"]["username"] == "ada"

    @pytest.mark.parametrize("kind", ["by_cookie", "app"])
    def test_its_end_is_nobodys_sign_out(self, request: pytest.FixtureRequest, kind: str) -> None:
        client = request.getfixturevalue(kind)
        client.raise_request_exception = False
        client.send("post", "/cycle-and-fail")
        row = Session.objects.get()
        assert (row.end_reason, row.ended_by) == (EndReason.REVOKED, None)
