"""Read, verify and refuse bearer credentials, for ``authentication``."""

from __future__ import annotations

from typing import Any, Literal

from django.http import HttpRequest
from rest_framework.request import Request

from django_sessions_plus.accounts.failed_sign_ins import log_refused_credential
from django_sessions_plus.api.errors import (
    ERRORS,
    AccessExpiredError,
    ApiError,
    InvalidTokenError,
    SessionEndedError,
)
from django_sessions_plus.api.requests import (
    bearer_credential,
    transport_of,
)
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.user_check import user_of
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf.kinds import Transport
from django_sessions_plus.exceptions import TokenError, TokenExpiredError
from django_sessions_plus.jwt import access
from django_sessions_plus.jwt.access import Claims
from django_sessions_plus.middleware import set_request_user

# The attribute that holds the challenge of an error until REST framework asks for it.
CHALLENGE_ATTRIBUTE = "_sessions_plus_challenge"
# The names of credentials in the log, by form.
_NAMES = {"bearer": "session_token", "jwt": "access_token", "": "unknown", None: "unknown"}


def refusal(request: Request, error: ApiError) -> ApiError:
    """Return ``error``, after storing its challenge for ``authenticate_header()``; an unknown token is also logged."""
    vars(request)[CHALLENGE_ATTRIBUTE] = ERRORS[error.code].challenge
    if isinstance(error, InvalidTokenError) or (
        isinstance(error, SessionEndedError) and error.reason is None
    ):
        log_refused_credential(request._request, _NAMES[presented_form(request)])
    return error


def presented_form(request: Request) -> Transport | Literal[""] | None:
    """Return the form of the header's bearer credential, "" for an unknown form; None without a credential."""
    # The token is in no variable during the query, because error reports show variables.
    credential = bearer_credential(request)
    return None if credential is None else transport_of(credential) or ""


def claims_or_error(request: Request) -> Claims | ApiError:
    """Return the claims of an access token, or the error; raised here, its traceback would show the token."""
    try:
        return access.verify(bearer_credential(request) or "", request=request._request)
    except TokenExpiredError:
        return AccessExpiredError()
    except TokenError:
        return InvalidTokenError()


def is_ours(request: Request) -> bool:
    """Return whether the header has a credential in one of our forms, valid or not."""
    transport = presented_form(request)
    return transport == "bearer" or (
        transport == "jwt"
        and access.is_ours(bearer_credential(request) or "", request=request._request)
    )


def authenticate_session(
    request: Request, store: SessionStore, claims: Claims | None = None
) -> tuple[Any, AbstractSession]:
    """Return the user and the row of a session, by the same rules as for every request.

    Raises:
        SessionEndedError: nobody is signed in to it, or another user than the claims say.
        AccessExpiredError: the user has authenticated again, or changed the password, since the token was issued.
    """
    http_request: HttpRequest = request._request
    user = user_of(store, http_request)
    row = store.row
    if row is None or not user.is_authenticated or not _is_of(claims, row, user):
        # Later code of the request must not use the refused session.
        store.forget()
        raise refusal(request, SessionEndedError(_reason_for(claims, store)))
    if claims is not None and access.is_superseded(claims, row, store.identify()):
        store.forget()
        raise refusal(request, AccessExpiredError())
    set_request_user(http_request, user)
    return user, row


def _reason_for(claims: Claims | None, store: SessionStore) -> str | None:
    """Return why the session has ended or expired, if its last token was presented, and not an earlier one."""
    row = store.inactive_row
    is_anothers = claims is not None and (
        row is None
        or claims.user_id != str(row.user_id)
        or access.is_before_authentication(claims, row)
    )
    return None if is_anothers else store.inactive_reason


def _is_of(claims: Claims | None, row: AbstractSession, user: Any) -> bool:
    """Return whether a token was issued to the user who is signed in to the session now."""
    return claims is None or claims.user_id == str(row.user_id) == str(user.pk)
