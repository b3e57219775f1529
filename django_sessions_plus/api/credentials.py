"""Find the user with a name and a password, by the configured authentication backends."""

from __future__ import annotations

from inspect import signature
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import authenticate, load_backend
from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import Throttled

from django_sessions_plus.accounts.failed_sign_ins import log_failed_attempt
from django_sessions_plus.api import errors

LOCKOUTS = {"axes": "django_sessions_plus.contrib.axes.take_lockout"}
"""Lockout packages that would replace a response of the API, and the functions that prevent it."""


@sensitive_variables()
def user_with_password(
    http_request: HttpRequest, name: str, password: str, *, is_email: bool = False
) -> Any:
    """Return the active user with this name and password; ``is_email``: the name was sent as ``email``.

    Raises:
        InvalidCredentialsError: there is none.
        Throttled: a lockout package allows no attempt now.
    """
    # Django's own forms use this parameter name, so nearly every backend accepts it.
    parameter = "email" if is_email and _has_backend_with_email() else "username"
    user = authenticate(http_request, **{parameter: name}, password=password)
    if user is None:
        refuse_if_locked_out(http_request)
        # Django has sent user_login_failed, whose receiver logs it.
        raise errors.InvalidCredentialsError
    if not user.is_active:
        log_failed_attempt(http_request, reason="inactive", user_id=user.pk)
        raise errors.InvalidCredentialsError
    return user


def refuse_if_locked_out(http_request: HttpRequest) -> None:
    """Do nothing, unless a lockout package has refused the password without checking it.

    Raises:
        Throttled: it has; with the seconds to wait.
    """
    for app, path in LOCKOUTS.items():
        if apps.is_installed(app):
            wait = import_string(path)(http_request)
            if wait is not None:
                raise Throttled(wait)


def _has_backend_with_email() -> bool:
    """Return whether a backend has a parameter ``email``; others expect an address as ``username``."""
    return any(
        "email" in signature(load_backend(path).authenticate).parameters
        for path in settings.AUTHENTICATION_BACKENDS
    )
