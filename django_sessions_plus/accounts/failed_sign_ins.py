"""Log failed sign-ins, with the address and the user's id, but never with what was typed.

Users sometimes type their password into the field for the name. So neither that name is logged, nor
a digest of it, which could be guessed. If a user has that name, the user's id is logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DataError
from django.http import HttpRequest

from django_sessions_plus import devices, events
from django_sessions_plus.accounts.attempts import wait_after
from django_sessions_plus.bookkeeping import log_failure, savepoint_if_needed
from django_sessions_plus.conf import config

# Otherwise a client that sends forged tokens could fill the log.
_REFUSED_RATE = "10/min"


def log_failed_sign_in(
    credentials: Mapping[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    """Log a failed sign-in: the receiver of Django's ``user_login_failed``. One query, to find the user."""
    if events.SIGN_IN_FAILED.is_enabled:
        log_failed_attempt(request, reason="credentials", user_id=_whose(credentials))


def log_failed_attempt(request: HttpRequest | None, *, reason: str, user_id: Any = None) -> None:
    """Log that a sign-in or a re-authentication was refused; ``reason`` is a word of docs/notices.md."""
    events.SIGN_IN_FAILED.log(reason=reason, user_id=user_id, ip_address=_address(request))


def log_refused_credential(request: HttpRequest, credential: str) -> None:
    """Log that a forged, unknown or malformed token was refused; at most ten a minute for each address.

    ``credential`` is its form: ``session_token``, ``access_token``, ``refresh_token`` or ``unknown``.
    Do not call it for a token that has expired, or whose session has ended or expired.
    """
    if not events.CREDENTIAL_REFUSED.is_enabled:
        return
    address = devices.client_ip(request.META, config.TRUSTED_PROXIES, config.CLIENT_IP_HEADER)
    if wait_after("refused-credential", str(address), _REFUSED_RATE) is None:
        events.CREDENTIAL_REFUSED.log(
            credential=credential, ip_address=devices.recorded_ip(address, config.RECORD_IP)
        )


def _whose(credentials: Mapping[str, Any]) -> Any:
    model = get_user_model()
    name = credentials.get(model.USERNAME_FIELD, credentials.get("username"))
    # Django's own backends make no query either if there is no password.
    if not isinstance(name, str) or credentials.get("password") is None:
        return None
    named = model._default_manager.filter(**{model.USERNAME_FIELD: name})
    try:
        with savepoint_if_needed(named.db):
            return next(iter(named.values_list("pk", flat=True)[:1]), None)
    except (DataError, ValidationError, ValueError):
        # The text cannot be a name of this user model.
        return None
    except Exception as error:  # noqa: BLE001 - the failed sign-in is logged without the user
        log_failure("find who failed to sign in", error)
        return None


def _address(request: HttpRequest | None) -> str | None:
    meta = getattr(request, "META", None)
    if meta is None:
        # A project may pass any object as request that its own backend accepts.
        return None
    address = devices.client_ip(meta, config.TRUSTED_PROXIES, config.CLIENT_IP_HEADER)
    return devices.recorded_ip(address, config.RECORD_IP)
