"""The claims of access tokens about the user, beside those of the package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.module_loading import import_string

from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.presentation.user_fields import is_named, values_of

RESERVED = frozenset(
    ("type", "sub", "sid", "iss", "aud", "iat", "nbf", "exp", "jti", "auth_time", "cred")
)
"""Claims that say what a token is and for whom; a project cannot set them."""

_SETTING = f"{PREFIX}JWT_CLAIMS"


def configured(user: Any, session: AbstractSession) -> dict[str, Any]:
    """Return the claims of ``SESSIONS_PLUS_JWT_CLAIMS`` for a user and a session.

    Fields must be columns, because those cost no query; the password is never included.

    Raises:
        ConfigurationError: the path cannot be imported, the callable returns no dictionary,
                or the dictionary has a claim of the package.
    """
    source = config.JWT_CLAIMS
    if isinstance(source, str):
        try:
            source = import_string(source)
        except ImportError as exc:
            raise ConfigurationError(f"{_SETTING}: {exc}") from exc
    claims: Mapping[str, Any]
    if not callable(source):
        claims = values_of(user, source)
    elif not is_named(claims := source(user, session)):
        raise ConfigurationError(f"{_SETTING} must give a dictionary with texts as keys.")
    if taken := sorted(RESERVED & claims.keys()):
        raise ConfigurationError(f"{_SETTING} gives {taken[0]!r}, which is a claim of the package.")
    return dict(claims)
