"""The table of operations: parameters, body and responses of each method of each view.

Longer than other modules, because it is one table.
"""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from django_sessions_plus.api import errors, pagination, serializers
from django_sessions_plus.api.requests import PASSIVE, SETTLED
from django_sessions_plus.api.schema import bodies, examples
from django_sessions_plus.api.schema import fields as fields
from django_sessions_plus.api.schema.authentication import CSRF, REFRESH_COOKIE
from django_sessions_plus.api.schema.operation import Code, Operation

_SESSION = "Session"
_OTHERS = "Sessions"
_TOKENS = "Tokens"

_WITH_HEADER: tuple[Code, ...] = ("invalid_token", "token_expired", "session_ended")
# For every operation that makes a query.
_UNAVAILABLE: tuple[Code, ...] = ("unavailable",)
_SIGNED_IN: tuple[Code, ...] = ("not_authenticated", *_WITH_HEADER, "permission_denied")
_MORE_THAN_A_PASSWORD: tuple[Code, ...] = ("second_factor_required", "verification_required")
_WITH_BODY: tuple[Code, ...] = (
    "invalid",
    "parse_error",
    "request_too_large",
    "unsupported_media_type",
)

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
_SETTLED = OpenApiParameter(
    SETTLED,
    OpenApiTypes.BOOL,
    description="Whether to answer only once no process of the site accepts the session any more.",
)
_CURSOR = OpenApiParameter(
    pagination.PARAMETER,
    OpenApiTypes.STR,
    description="Where the page begins: part of `next` and `previous`, to be followed and not made.",
)


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
            response_body=bodies.CurrentSessionSerializer,
            codes=("invalid", *_WITH_HEADER, *_UNAVAILABLE),
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
            request_body=serializers.SignInSerializer,
            response_body=bodies.SignedInSerializer,
            codes=(
                *_WITH_BODY,
                "session_interrupted",
                "invalid_credentials",
                "csrf_failed",
                "https_required",
                "permission_denied",
                *_MORE_THAN_A_PASSWORD,
                "throttled",
                *_UNAVAILABLE,
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
            description=(
                "Ends the current session: that of the bearer header or, without one, those of the "
                "session cookie and of the refresh cookie. Who is not signed in is answered the same."
            ),
            status=204,
            accepted_body=serializers.UnsettledSerializer,
            examples=examples.UNSETTLED,
            codes=(
                "parse_error",
                "invalid_token",
                "token_expired",
                "csrf_failed",
                "request_too_large",
                *_UNAVAILABLE,
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
            request_body=serializers.ReauthenticateSerializer,
            response_body=bodies.SignedInSerializer,
            codes=(
                *_WITH_BODY,
                "session_interrupted",
                *_SIGNED_IN,
                "csrf_failed",
                "https_required",
                errors.WrongPasswordError,
                *_MORE_THAN_A_PASSWORD,
                "throttled",
                *_UNAVAILABLE,
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
            response_body=bodies.SessionPageSerializer,
            codes=("invalid", *_SIGNED_IN, *_UNAVAILABLE),
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
            accepted_body=serializers.UnsettledSerializer,
            examples=examples.UNSETTLED,
            codes=(
                "invalid",
                *_SIGNED_IN,
                "csrf_failed",
                "reauthentication_required",
                "not_found",
                *_UNAVAILABLE,
            ),
            cookie="Deletes the cookies of the session, if it was the current one.",
            parameters=(_ID, _SETTLED),
        )
    },
    "views.RevokeView": {
        "post": Operation(
            id="revoke_sessions",
            tag=_OTHERS,
            summary="End the other sessions, or all",
            description="Ends several of one's sessions. The session of the request has to be fresh.",
            request_body=serializers.RevokeSerializer,
            response_body=serializers.RevokedSessionsSerializer,
            accepted_body=serializers.UnsettledRevocationSerializer,
            codes=(
                *_WITH_BODY,
                *_SIGNED_IN,
                "csrf_failed",
                "reauthentication_required",
                *_UNAVAILABLE,
            ),
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
                "successor; so do retries that send the `attempt` of the first request, until the "
                "successor is used. Any other replay ends the session."
            ),
            request_body=serializers.RefreshSerializer,
            response_body=bodies.TokenPairSerializer,
            codes=(
                *_WITH_BODY,
                "invalid_token",
                "session_ended",
                "csrf_failed",
                "https_required",
                "throttled",
                *_UNAVAILABLE,
            ),
            cookie="The refresh cookie, for who sent one.",
            examples=(*examples.REFRESH, *examples.PAIR),
            auth=[{REFRESH_COOKIE: [], CSRF: []}, {}],
        )
    },
    "token_views.TokenView": {
        "post": Operation(
            id="get_token",
            tag=_TOKENS,
            summary="An access token for another service",
            description=(
                "For a page that is signed in by cookie, with the CSRF token. It lasts five minutes at "
                "most, and nothing refreshes it. A session that was used from another network or browser "
                "needs the password first. There is nothing here unless the site names services."
            ),
            request_body=serializers.TokenSerializer,
            response_body=bodies.ServiceTokenSerializer,
            codes=(
                *_WITH_BODY,
                "not_authenticated",
                "session_ended",
                "csrf_failed",
                "https_required",
                "permission_denied",
                "reauthentication_required",
                "not_found",
                *_UNAVAILABLE,
            ),
            examples=(*examples.FOR_SERVICE, *examples.SERVICE_TOKEN),
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
            response_body=bodies.KeysSerializer,
            codes=("not_found",),
            may_be_unchanged=True,
            examples=examples.KEYS,
            auth=[],
        )
    },
}
"""By the path of the view below ``django_sessions_plus.api``, and the method."""
