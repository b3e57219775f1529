"""The endpoints, which call the functions in ``sessions`` and Django's own sign-in and sign-out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib.auth import login
from django.http import Http404
from django.middleware.csrf import get_token
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request
from rest_framework.response import Response

from django_sessions_plus import sessions
from django_sessions_plus.accounts.failed_sign_ins import log_failed_attempt
from django_sessions_plus.accounts.reauthentication import confirm_password, save_now
from django_sessions_plus.accounts.second_factors import check_sign_in
from django_sessions_plus.api import errors
from django_sessions_plus.api.base import SessionsPlusView
from django_sessions_plus.api.credentials import refuse_if_locked_out, user_with_password
from django_sessions_plus.api.pagination import page_of
from django_sessions_plus.api.pairs import clear_refresh_cookie
from django_sessions_plus.api.permissions import FreshToEndOthers, IsSignedIn
from django_sessions_plus.api.requests import (
    SETTLED,
    bearer_credential,
    enforce_csrf,
    is_asked,
    is_passive,
    read_body,
    require_https,
    session_of,
)
from django_sessions_plus.api.responses import EndResponse, session_response
from django_sessions_plus.api.serializers import (
    ReauthenticateSerializer,
    RevokeSerializer,
    SessionSerializer,
    SignInSerializer,
    session_body,
)
from django_sessions_plus.api.signing_out import clear_site_data, sign_out, sign_out_by_cookies
from django_sessions_plus.api.throttling import ReauthenticateThrottle, SignInThrottle
from django_sessions_plus.api.transports import transport_named
from django_sessions_plus.conf import config


class SessionView(SessionsPlusView):
    """The current session."""

    def get(self, request: Request) -> Response:
        """Return the session and its user, both null if nobody is signed in.

        By cookie, it also sets the CSRF cookie, which sign-in needs. With ``passive=true`` the request does
        not count as activity.
        """
        if bearer_credential(request) is None:
            get_token(request._request)
        store = session_of(request)
        if is_passive(request):
            store.counts_as_activity = False
        # Now and not after the response, so that the response has the new expiry.
        store.touch()
        body = session_body(request)
        # Scripts cannot read this cookie, and would have to try a refresh to find out whether there is one.
        if bearer_credential(request) is None and request.COOKIES.get(config.REFRESH_COOKIE_NAME):
            body["refresh_cookie"] = True
        return Response(body)


class SignInView(SessionsPlusView):
    """Sign-in with a password, by the configured authentication backends."""

    # Credentials of the request are ignored: a client with an invalid token must be able to sign in.
    authentication_classes = []
    throttle_classes = [SignInThrottle]
    account = ""
    """The name in the body, after it was read."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Raise ``Http404`` if the project has switched this endpoint off."""
        if config.SIGN_IN is False:
            raise Http404
        super().initial(request, *args, **kwargs)

    def throttled(self, request: Request, wait: float | None) -> None:  # type: ignore[override]
        """Refuse an attempt beyond the rate."""
        log_failed_attempt(request._request, reason="throttled")
        super().throttled(request, wait)  # type: ignore[arg-type]

    def check_throttles(self, request: Request) -> None:
        """Do not count yet: requests that another site makes a browser send must not use up its rate."""

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Start a session and return it; a token that is sent as a cookie is not in the body."""
        serializer = SignInSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data
        transport = transport_named(wanted["transport"], refresh_cookie=wanted["refresh_cookie"])
        http_request = request._request
        require_https(http_request)
        transport.prepare(http_request)
        self.account = wanted["username"]
        super().check_throttles(request)
        user = user_with_password(
            http_request, wanted["username"], wanted["password"], is_email=wanted["is_email"]
        )
        check_sign_in(http_request, user)
        login(http_request, user)
        transport.finish(http_request)
        request.user = user
        store = session_of(request)
        store.remember = wanted["remember"]
        save_now(store)
        return session_response(request, transport)


class SignOutView(SessionsPlusView):
    """Sign-out."""

    def perform_authentication(self, request: Request) -> None:
        """Authenticate, but do not refuse a session that has ended: it is signed out already."""
        with suppress(errors.SessionEndedError):
            super().perform_authentication(request)

    def post(self, request: Request) -> Response:
        """End the current session, if there is one."""
        if bearer_credential(request) is None:
            # Also if nobody is signed in, because an anonymous session ends too.
            enforce_csrf(request._request)
            return sign_out_by_cookies(request)
        return sign_out(request)


class SessionListView(SessionsPlusView):
    """The user's sessions."""

    permission_classes = [IsSignedIn]

    def get(self, request: Request) -> Response:
        """Return a page of the active sessions, newest activity first; two queries in total."""
        page = page_of(sessions.list_for(request.user), request, config.PAGE_SIZE)
        results = SessionSerializer(page.sessions, many=True, context={"request": request})
        return Response({"next": page.next, "previous": page.previous, "results": results.data})


class SessionDetailView(SessionsPlusView):
    """One of the user's sessions."""

    permission_classes = [IsSignedIn]

    def delete(self, request: Request, id: str) -> Response:  # noqa: A002 - the URL's name for it
        """End the session; raise ``Http404`` unless it is an active session of the user.

        With ``settled=true``, answer once no process accepts it. A parameter, because a DELETE has no body (RFC 9110).
        """
        is_settled_first = is_asked(request, SETTLED)
        response = self._end(request, id)
        response.is_settled_first = is_settled_first
        return response

    def _end(self, request: Request, id: str) -> EndResponse:  # noqa: A002 - as above
        row = session_of(request).row
        if row is not None and id == str(row.pk):
            return sign_out(request)
        # Before the id is looked up: otherwise the status would show whether the id exists.
        if not FreshToEndOthers().has_permission(request, self):
            raise errors.ReauthenticationRequiredError
        session = sessions.list_for(request.user).filter(pk=_canonical(id)).first()
        if session is None or not sessions.revoke(session, actor=request.user):
            raise Http404
        return EndResponse(status=204)


class RevokeView(SessionsPlusView):
    """Several of the user's sessions at once."""

    permission_classes = [IsSignedIn, FreshToEndOthers]

    def post(self, request: Request) -> Response:
        """End the others, or all, and return how many were ended."""
        serializer = RevokeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        keep = session_of(request).row if serializer.validated_data["scope"] == "others" else None
        is_by_access_token = session_of(request).transport == "jwt"
        revoked = sessions.revoke_others(request.user, keep=keep, actor=request.user)
        response = EndResponse({"revoked": revoked})
        response.is_settled_first = serializer.validated_data["settled"]
        if keep is None:
            clear_site_data(response)
        if keep is None and is_by_access_token:
            clear_refresh_cookie(request, response)
        return response


class ReauthenticateView(SessionsPlusView):
    """Ask for the password again, before a sensitive action."""

    permission_classes = [IsSignedIn]
    throttle_classes = [ReauthenticateThrottle]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Read the body before the session, so that the password is hidden if that query fails."""
        read_body(request)
        super().initial(request, *args, **kwargs)

    def throttled(self, request: Request, wait: float | None) -> None:  # type: ignore[override]
        """Refuse an attempt beyond the rate."""
        log_failed_attempt(request._request, reason="throttled", user_id=request.user.pk)
        super().throttled(request, wait)  # type: ignore[arg-type]

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Make the session fresh, rotate its tokens, and return it as sign-in does."""
        store = session_of(request)
        serializer = ReauthenticateSerializer(
            data=request.data, context={"transport": store.transport}
        )
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data
        require_https(request._request)
        if not confirm_password(request._request, store, request.user, wanted["password"]):
            refuse_if_locked_out(request._request)
            raise errors.WrongPasswordError
        transport = transport_named(store.transport, refresh_cookie=wanted["refresh_cookie"])
        return session_response(request, transport)


def _canonical(text: str) -> UUID:
    """Return the id, if the text is in the form that the list has.

    Raises:
        Http404: it is not.
    """
    try:
        found = UUID(text)
    except ValueError:
        raise Http404 from None
    if str(found) != text:
        raise Http404
    return found
