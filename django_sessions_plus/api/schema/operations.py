"""The table of operations: what each method of each view takes, and all it can answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework.serializers import Serializer

from django_sessions_plus.api import errors, pagination, serializers
from django_sessions_plus.api.requests import PASSIVE
from django_sessions_plus.api.schema import bodies, examples
from django_sessions_plus.api.schema.authentication import CSRF, REFRESH_COOKIE

Code = str | type[errors.ApiError]
"""A code of the table of errors; an exception where it answers with a status of its own."""

_SESSION = "Session"
_OTHERS = "Sessions"
_TOKENS = "Tokens"

_WITH_HEADER: tuple[Code, ...] = ("invalid_token", "token_expired", "session_ended")
_SIGNED_IN: tuple[Code, ...] = ("not_authenticated", *_WITH_HEADER, "permission_denied")
_WITH_BODY: tuple[Code, ...] = (
    "invalid",
    "parse_error",
    "request_too_large",
    "unsupported_media_type",
)

_BODIES: dict[str, type[Serializer[Any]]] = {
    "invalid": bodies.InvalidSerializer,
    "session_ended": bodies.SessionEndedSerializer,
}
"""Of the refusals that say more than their code."""

_ID = OpenApiParameter(
    "id",
    OpenApiTypes.UUID,
    OpenApiParameter.PATH,
    description="The `id` of a session, as the list tells it.",
)
_PASSIVE = OpenApiParameter(
    PASSIVE,
    OpenApiTypes.BOOL,
    description="Whether to ask is no activity: the session expires as if nobody had asked.",
)
_CURSOR = OpenApiParameter(
    pagination.PARAMETER,
    OpenApiTypes.STR,
    description="Where the page begins: part of `next` and `previous`, to be followed and not made.",
)


@dataclass(frozen=True)
class Operation:
    """What one method does, in the words of OpenAPI."""

    code_member: ClassVar[str] = "code"
    """What the body of a refusal tells its code in."""

    id: str
    """What generated clients call it; it never changes."""
    tag: str
    summary: str
    description: str
    codes: tuple[Code, ...] = ()
    """Every code it can refuse with."""
    status: int = 200
    answer: type[Serializer[Any]] | dict[str, Any] | None = None
    """What goes out with that status: a serializer, a schema as it is, or nothing."""
    takes: type[Serializer[Any]] | None = None
    cookie: str = ""
    """What becomes of cookies; empty where none is ever set."""
    parameters: tuple[OpenApiParameter, ...] = ()
    examples: tuple[OpenApiExample, ...] = ()
    auth: list[dict[str, list[str]]] | None = None
    """The security requirement, where the view's authentication classes do not tell it."""
    may_be_unchanged: bool = False
    """Whether a conditional request (RFC 9110 section 13) may be answered with 304."""
    is_open: bool = False
    """Whether somebody who is not signed in is served as well."""

    def refusals(self) -> dict[int, list[str]]:
        """Return the codes by the status they are answered with."""
        found: dict[int, list[str]] = {}
        for code in sorted(self.codes, key=_status_of):
            found.setdefault(_status_of(code), []).append(_code_of(code))
        return found

    def serializer_of(self, code: str) -> type[Serializer[Any]]:
        """Return what the body of a refusal is made by."""
        return _BODIES.get(code, bodies.ErrorSerializer)

    def refused(self, status: int, code: str) -> dict[str, Any]:
        """Return the body of a refusal, as an example; in ``fields`` the first that is taken."""
        if code != "invalid":
            return errors.body_of(code)
        taken = self.takes().fields if self.takes is not None else ()
        names = [*taken, *(parameter.name for parameter in self.parameters)]
        return errors.body_of(code) | {"fields": {names[0]: ["..."]}}


OPERATIONS: dict[str, dict[str, Operation]] = {
    "views.SessionView": {
        "get": Operation(
            id="get_session",
            tag=_SESSION,
            summary="The current session",
            description=(
                "The session of this request and its user; both null for somebody who is not signed "
                "in. Without a bearer header it also sets the CSRF cookie, which sign-in needs, and "
                "tells its value in the header `X-CSRFToken`."
            ),
            parameters=(_PASSIVE,),
            answer=bodies.CurrentSessionSerializer,
            codes=("invalid", *_WITH_HEADER),
            cookie="The CSRF cookie.",
            examples=examples.CURRENT,
            is_open=True,
        )
    },
    "views.SignInView": {
        "post": Operation(
            id="sign_in",
            tag=_SESSION,
            summary="Sign in",
            description=(
                "Starts a session. By `cookie` its token is set as a cookie, and the request needs the "
                "CSRF token. By `bearer` the token is in the body, by `jwt` a pair of tokens; no cookie "
                "is read or set, unless `refresh_cookie` asks for one, which takes the CSRF token as well."
            ),
            takes=serializers.SignInSerializer,
            answer=bodies.SignedInSerializer,
            codes=(
                *_WITH_BODY,
                "session_interrupted",
                "invalid_credentials",
                "csrf_failed",
                "permission_denied",
                "throttled",
            ),
            cookie="The session cookie or the refresh cookie, and a new CSRF cookie.",
            examples=(*examples.SIGN_IN, *examples.SIGNED_IN),
            auth=[{CSRF: []}, {}],
        )
    },
    "views.SignOutView": {
        "post": Operation(
            id="sign_out",
            tag=_SESSION,
            summary="Sign out",
            description="Ends the current session. Who is not signed in is answered the same.",
            status=204,
            codes=(
                "parse_error",
                "invalid_token",
                "token_expired",
                "csrf_failed",
                "request_too_large",
            ),
            cookie="Deletes the cookies of the session.",
            is_open=True,
        )
    },
    "views.ReauthenticateView": {
        "post": Operation(
            id="reauthenticate",
            tag=_SESSION,
            summary="Enter the password again",
            description=(
                "Makes the session fresh, for what asks for a recent authentication. It has new tokens "
                "from then on, which come by the way the old one came."
            ),
            takes=serializers.ReauthenticateSerializer,
            answer=bodies.SignedInSerializer,
            codes=(
                *_WITH_BODY,
                "session_interrupted",
                *_SIGNED_IN,
                "csrf_failed",
                errors.WrongPasswordError,
                "throttled",
            ),
            cookie="The session cookie with its new token, for who sent one; the refresh cookie.",
            examples=(*examples.REAUTHENTICATE, *examples.SIGNED_IN),
        )
    },
    "views.SessionListView": {
        "get": Operation(
            id="list_sessions",
            tag=_OTHERS,
            summary="Where one is signed in",
            description="One's active sessions, newest activity first, in pages.",
            answer=bodies.SessionPageSerializer,
            codes=("invalid", *_SIGNED_IN),
            parameters=(_CURSOR,),
            examples=examples.PAGE,
        )
    },
    "views.SessionDetailView": {
        "delete": Operation(
            id="end_session",
            tag=_OTHERS,
            summary="End one session",
            description=(
                "Ends one of one's sessions. For another than the current one the session of the "
                "request has to be fresh. Ids of other people are as unknown as ids of nobody."
            ),
            status=204,
            codes=(*_SIGNED_IN, "csrf_failed", "reauthentication_required", "not_found"),
            cookie="Deletes the cookies of the session, if it was the current one.",
            parameters=(_ID,),
        )
    },
    "views.RevokeView": {
        "post": Operation(
            id="revoke_sessions",
            tag=_OTHERS,
            summary="End the other sessions, or all",
            description="Ends several of one's sessions. The session of the request has to be fresh.",
            takes=serializers.RevokeSerializer,
            answer=bodies.RevokedSessionsSerializer,
            codes=(*_WITH_BODY, *_SIGNED_IN, "csrf_failed", "reauthentication_required"),
            cookie="Deletes the cookies of the session, with the scope `all`.",
            examples=(*examples.REVOKE, *examples.REVOKED),
        )
    },
    "token_views.RefreshView": {
        "post": Operation(
            id="refresh_tokens",
            tag=_TOKENS,
            summary="The next pair of tokens",
            description=(
                "Takes a refresh token, in the body or as a cookie with the CSRF token, and gives the "
                "next pair by the way it came. Parallel refreshes with one token get the same "
                "successor. A replay later on ends the session."
            ),
            takes=serializers.RefreshSerializer,
            answer=bodies.TokenPairSerializer,
            codes=(*_WITH_BODY, "invalid_token", "session_ended", "csrf_failed", "throttled"),
            cookie="The refresh cookie, for who sent one.",
            examples=(*examples.REFRESH, *examples.PAIR),
            auth=[{REFRESH_COOKIE: [], CSRF: []}, {}],
        )
    },
    "token_views.JwksView": {
        "get": Operation(
            id="get_keys",
            tag=_TOKENS,
            summary="The keys that verify access tokens",
            description=(
                "The public keys as a JWK set (RFC 7517), to be cached as its headers say. There is "
                "none where tokens are signed with a secret."
            ),
            answer=bodies.KeysSerializer,
            codes=("not_found",),
            may_be_unchanged=True,
            examples=examples.KEYS,
            auth=[],
        )
    },
}
"""By the view, under ``django_sessions_plus.api``, and the method."""


def _code_of(code: Code) -> str:
    return code if isinstance(code, str) else code.code


def _status_of(code: Code) -> int:
    own = None if isinstance(code, str) else code.status
    return own or errors.ERRORS[_code_of(code)].status
