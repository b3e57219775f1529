"""The endpoints: thin edges of the verbs and of Django's own sign-in and sign-out.

They bring their own authentication, parsers, renderers, permissions and error bodies;
what a project has set for its other views does not reach them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib.auth import HASH_SESSION_KEY, authenticate, login, logout
from django.http import Http404, HttpRequest
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
    CookieAuthentication,
    SessionTokenAuthentication,
    bearer_credential,
    enforce_csrf,
    put_bearer_session,
    session_of,
)
from django_sessions_plus.api.content import OnlyJSON, Utf8JSONParser
from django_sessions_plus.api.pagination import page_of
from django_sessions_plus.api.permissions import FreshToEndOthers, IsSignedIn
from django_sessions_plus.api.serializers import (
    ReauthenticateSerializer,
    RevokeSerializer,
    SessionSerializer,
    SignInSerializer,
    session_body,
)
from django_sessions_plus.api.throttling import ReauthenticateThrottle, SignInThrottle
from django_sessions_plus.api.transports import TRANSPORTS
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import StaleSessionError


class SessionsPlusView(APIView):
    """What the endpoints have in common."""

    authentication_classes = [SessionTokenAuthentication, CookieAuthentication]
    permission_classes = []
    throttle_classes = []
    parser_classes = [Utf8JSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = OnlyJSON
    metadata_class = None
    versioning_class = None
    http_method_names = ["get", "head", "post", "delete"]

    def perform_authentication(self, request: Request) -> None:
        """Find out who asks.

        Raises:
            InvalidTokenError: the header presents a credential that no authentication class knows.
        """
        super().perform_authentication(request)
        is_unclaimed = request.authenticators and request.successful_authenticator is None
        if is_unclaimed and bearer_credential(request) is not None:
            put_bearer_session(request._request, None)
            raise errors.InvalidTokenError

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
        """Keep every answer out of every cache."""
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        patch_vary_headers(final, ("Authorization", "Cookie"))
        return final


class SessionView(SessionsPlusView):
    """The current session."""

    def get(self, request: Request) -> Response:
        """Return the session and its user, both null for an anonymous visitor.

        By cookie it also hands out the CSRF cookie that sign-in needs.
        """
        if bearer_credential(request) is None:
            get_token(request._request)
        return Response(session_body(request))


class SignInView(SessionsPlusView):
    """Sign-in with a password, through whatever authentication backends are configured."""

    # Who asks does not matter: a client with a dead token must be able to sign in.
    authentication_classes = []
    throttle_classes = [SignInThrottle]

    def check_throttles(self, request: Request) -> None:
        """Count nothing yet: what another site can make a browser send must not use up its quota."""

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Start a session and return it; the token is in the body only where no cookie carries it."""
        serializer = SignInSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data
        transport = TRANSPORTS[wanted["transport"]]
        http_request = request._request
        transport.prepare(http_request)
        super().check_throttles(request)
        user = _authenticate(http_request, wanted["username"], wanted["password"])
        login(http_request, user)
        transport.finish(http_request)
        request.user = user
        store = session_of(request)
        store.remember = wanted["remember"]
        _save(store)
        return Response({**session_body(request), **transport.disclose(store)})


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
        logout(request._request)
        return Response(status=204)


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
            logout(request._request)
            return Response(status=204)
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
        revoked = sessions.revoke_others(request.user, keep=keep, actor=request.user)
        return Response({"revoked": revoked})


class ReauthenticateView(SessionsPlusView):
    """The password once more, before a sensitive act."""

    permission_classes = [IsSignedIn]
    throttle_classes = [ReauthenticateThrottle]

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Make the session fresh, under a new token, and return it as sign-in does."""
        serializer = ReauthenticateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        password = serializer.validated_data["password"]
        try:
            user = _authenticate(request._request, request.user.get_username(), password)
        except errors.InvalidCredentialsError:
            raise errors.WrongPasswordError from None
        if user.pk != request.user.pk:
            raise errors.WrongPasswordError
        store = session_of(request)
        # The hash of what was typed may just have been upgraded, and the session's with it.
        store[HASH_SESSION_KEY] = user.get_session_auth_hash()
        store.mark_authenticated(user)
        _save(store)
        return Response({**session_body(request), **TRANSPORTS[store.transport].disclose(store)})


@sensitive_variables()
def _authenticate(http_request: HttpRequest, username: str, password: str) -> Any:
    # By the parameter's name in Django's own forms, which every backend serves.
    user = authenticate(http_request, username=username, password=password)
    if user is None or not user.is_active:
        raise errors.InvalidCredentialsError
    return user


def _save(store: SessionStore) -> None:
    """Save before the answer is made, so that it tells what is stored and its token is good.

    Raises:
        StaleSessionError: the session has ended, or was renewed, meanwhile.
    """
    store.save()
    # The middleware would save once more.
    store.modified = False


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
