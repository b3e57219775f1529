"""The endpoints: thin edges of the verbs and of Django's own sign-in and sign-out.

They bring their own authentication, parsers, renderers, permissions and error bodies;
what a project has set for its other views does not reach them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NoReturn
from uuid import UUID

from django.contrib.auth import authenticate, login, logout
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.utils.cache import patch_vary_headers
from django.views.decorators.debug import sensitive_variables
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_sessions_plus import sessions
from django_sessions_plus.api import errors
from django_sessions_plus.api.authentication import (
    AccessTokenAuthentication,
    CookieAuthentication,
    SessionTokenAuthentication,
)
from django_sessions_plus.api.content import OnlyJSON, Utf8JSONParser
from django_sessions_plus.api.pagination import page_of
from django_sessions_plus.api.pairs import clear_refresh_cookie
from django_sessions_plus.api.permissions import FreshToEndOthers, IsSignedIn
from django_sessions_plus.api.requests import (
    bearer_credential,
    enforce_csrf,
    is_passive,
    is_person,
    session_of,
    tell_csrf_token,
)
from django_sessions_plus.api.serializers import (
    ReauthenticateSerializer,
    RevokeSerializer,
    SessionSerializer,
    SignInSerializer,
    session_body,
)
from django_sessions_plus.api.throttling import ReauthenticateThrottle, SignInThrottle
from django_sessions_plus.api.transports import transport_named
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import StaleSessionError
from django_sessions_plus.reauthentication import confirm_password, save_now
from django_sessions_plus.refusals import log_refusal


class SessionsPlusView(APIView):
    """What the endpoints have in common."""

    authentication_classes = [
        AccessTokenAuthentication,
        SessionTokenAuthentication,
        CookieAuthentication,
    ]
    permission_classes = []
    throttle_classes = []
    parser_classes = [Utf8JSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = OnlyJSON
    metadata_class = None
    versioning_class = None
    http_method_names = ["get", "head", "post", "delete"]

    def get_authenticate_header(self, request: Request) -> str:
        """Return a challenge, without which REST framework makes every 401 a 403."""
        return errors.CHALLENGE

    def get_exception_handler(self) -> Any:
        """Return the package's handler, not the project's."""
        return errors.exception_handler

    def handle_exception(self, exc: Exception) -> Response:
        """Answer a refusal, and keep the middleware from saving a session that no longer is."""
        if isinstance(exc, StaleSessionError):
            session_of(self.request).give_up()
        return super().handle_exception(exc)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """Keep answers out of caches."""
        final = super().finalize_response(request, response, *args, **kwargs)
        self.keep_from_caches(final)
        tell_csrf_token(request._request, final)
        return final

    def permission_denied(
        self, request: Request, message: str | None = None, code: str | None = None
    ) -> NoReturn:
        """Refuse, and tell whoever comes with the cookie of a session that is over why it is."""
        reason = getattr(request._request.session, "over_reason", None)
        if reason is not None and not is_person(request):
            raise errors.SessionEndedError(reason)
        super().permission_denied(request, message, code)

    def keep_from_caches(self, response: HttpResponse) -> None:
        """Say that the answer is for nobody else, and not to be kept."""
        response["Cache-Control"] = "no-store"
        patch_vary_headers(response, ("Authorization", "Cookie"))


class SessionView(SessionsPlusView):
    """The current session."""

    def get(self, request: Request) -> Response:
        """Return the session and its user, both null for an anonymous visitor.

        By cookie it also hands out the CSRF cookie that sign-in needs. With ``passive=true`` to be
        asked is no activity.
        """
        if bearer_credential(request) is None:
            get_token(request._request)
        store = session_of(request)
        if is_passive(request):
            store.counts_as_activity = False
        # Now and not after the response, so that this tells until when the session lasts.
        store.touch()
        return Response(session_body(request))


class SignInView(SessionsPlusView):
    """Sign-in with a password, through whatever authentication backends are configured."""

    # Who asks does not matter: a client with a dead token must be able to sign in.
    authentication_classes = []
    throttle_classes = [SignInThrottle]

    def throttled(self, request: Request, wait: float | None) -> None:  # type: ignore[override]
        """Refuse an attempt too many."""
        log_refusal(request._request, reason="throttled")
        super().throttled(request, wait)  # type: ignore[arg-type]

    def check_throttles(self, request: Request) -> None:
        """Count nothing yet: what another site can make a browser send must not use up its quota."""

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Start a session and return it; tokens are in the body only where no cookie carries them."""
        serializer = SignInSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data
        transport = transport_named(wanted["transport"], refresh_cookie=wanted["refresh_cookie"])
        http_request = request._request
        transport.prepare(http_request)
        super().check_throttles(request)
        user = _authenticate(http_request, wanted["username"], wanted["password"])
        login(http_request, user)
        transport.finish(http_request)
        request.user = user
        store = session_of(request)
        store.remember = wanted["remember"]
        save_now(store)
        response = Response(session_body(request))
        transport.disclose(request, response)
        return response


class SignOutView(SessionsPlusView):
    """Sign-out."""

    def perform_authentication(self, request: Request) -> None:
        """Find out who asks; a session that has ended is signed out already."""
        with suppress(errors.SessionEndedError):
            super().perform_authentication(request)

    def post(self, request: Request) -> Response:
        """End the current session, if there is one."""
        if bearer_credential(request) is None:
            # Also for an anonymous visitor, whose session ends as well.
            enforce_csrf(request._request)
        return _signed_out(request)


class SessionListView(SessionsPlusView):
    """One's sessions."""

    permission_classes = [IsSignedIn]

    def get(self, request: Request) -> Response:
        """Return a page of the active sessions, newest activity first; two queries in all."""
        page = page_of(sessions.list_for(request.user), request, config.PAGE_SIZE)
        results = SessionSerializer(page.sessions, many=True, context={"request": request})
        return Response({"next": page.next, "previous": page.previous, "results": results.data})


class SessionDetailView(SessionsPlusView):
    """One of one's sessions."""

    permission_classes = [IsSignedIn]

    def delete(self, request: Request, id: str) -> Response:  # noqa: A002 - the URL's name for it
        """End the session; 404 unless it is an active one of one's own."""
        row = session_of(request).row
        if row is not None and id == str(row.pk):
            return _signed_out(request)
        # Before the id is looked up: what is missing says nothing about it.
        if not FreshToEndOthers().has_permission(request, self):
            raise errors.ReauthenticationRequiredError
        session = sessions.list_for(request.user).filter(pk=_canonical(id)).first()
        if session is None or not sessions.revoke(session, actor=request.user):
            raise Http404
        return Response(status=204)


class RevokeView(SessionsPlusView):
    """Several of one's sessions at once."""

    permission_classes = [IsSignedIn, FreshToEndOthers]

    def post(self, request: Request) -> Response:
        """End the others, or all, and return how many those were."""
        serializer = RevokeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        keep = session_of(request).row if serializer.validated_data["scope"] == "others" else None
        is_by_access_token = session_of(request).transport == "jwt"
        revoked = sessions.revoke_others(request.user, keep=keep, actor=request.user)
        response = Response({"revoked": revoked})
        if keep is None and is_by_access_token:
            clear_refresh_cookie(request, response)
        return response


class ReauthenticateView(SessionsPlusView):
    """The password once more, before a sensitive act."""

    permission_classes = [IsSignedIn]
    throttle_classes = [ReauthenticateThrottle]

    def throttled(self, request: Request, wait: float | None) -> None:  # type: ignore[override]
        """Refuse an attempt too many."""
        log_refusal(request._request, reason="throttled", user_id=request.user.pk)
        super().throttled(request, wait)  # type: ignore[arg-type]

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Make the session fresh, under new tokens, and return it as sign-in does."""
        store = session_of(request)
        serializer = ReauthenticateSerializer(
            data=request.data, context={"transport": store.transport}
        )
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data
        if not confirm_password(request._request, store, request.user, wanted["password"]):
            raise errors.WrongPasswordError
        response = Response(session_body(request))
        transport = transport_named(store.transport, refresh_cookie=wanted["refresh_cookie"])
        transport.disclose(request, response)
        return response


@sensitive_variables()
def _authenticate(http_request: HttpRequest, username: str, password: str) -> Any:
    # By the parameter's name in Django's own forms, which every backend serves.
    user = authenticate(http_request, username=username, password=password)
    if user is None:
        # Django has told of it, and that is logged.
        raise errors.InvalidCredentialsError
    if not user.is_active:
        log_refusal(http_request, reason="inactive", user_id=user.pk)
        raise errors.InvalidCredentialsError
    return user


def _signed_out(request: Request) -> Response:
    """End the current session, if there is one, and have the client drop what it has of it."""
    store = session_of(request)
    has_refresh_token = store.transport == "jwt" and store.row is not None
    logout(request._request)
    response = Response(status=204)
    if has_refresh_token:
        clear_refresh_cookie(request, response)
    return response


def _canonical(text: str) -> UUID:
    """Return the id, given in the one form the list has.

    Raises:
        Http404: it is not one.
    """
    try:
        found = UUID(text)
    except ValueError:
        raise Http404 from None
    if str(found) != text:
        raise Http404
    return found
