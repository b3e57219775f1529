"""How failed sign-ins are logged: with the address and the user's id, but never with what was typed.

People type passwords where their name belongs, so the name that was tried is not logged, nor a
digest of it, which could be guessed. If a user has that name, the user's id is logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.http import HttpRequest

from django_sessions_plus import devices, events
from django_sessions_plus.conf import config


def log_failed_sign_in(
    credentials: Mapping[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    """Log a failed sign-in: the receiver of Django's ``user_login_failed``. One query, to find the user."""
    if events.SIGN_IN_FAILED.is_enabled:
        log_refusal(request, reason="credentials", user_id=_whose(credentials))


def log_refusal(request: HttpRequest | None, *, reason: str, user_id: Any = None) -> None:
    """Log that a sign-in or a re-authentication was refused; ``reason`` is a word of docs/notices.md."""
    events.SIGN_IN_FAILED.log(reason=reason, user_id=user_id, ip_address=_address(request))


def _whose(credentials: Mapping[str, Any]) -> Any:
    model = get_user_model()
    name = credentials.get(model.USERNAME_FIELD, credentials.get("username"))
    # Django's own backends ask the database for nobody either who has given no password.
    if not isinstance(name, str) or credentials.get("password") is None:
        return None
    named = model._default_manager.filter(**{model.USERNAME_FIELD: name})
    try:
        return next(iter(named.values_list("pk", flat=True)[:1]), None)
    except (DatabaseError, ValidationError, ValueError):
        # What was typed can be no name here.
        return None


def _address(request: HttpRequest | None) -> str | None:
    meta = getattr(request, "META", None)
    if meta is None:
        # Django lets anything stand for a request that a backend of the project understands.
        return None
    address = devices.client_ip(meta, config.TRUSTED_PROXIES, config.CLIENT_IP_HEADER)
    return devices.recorded_ip(address, config.RECORD_IP)
