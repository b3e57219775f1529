"""For djangorestframework-simplejwt: what reads its refresh tokens, and a class for its access tokens.

Its own classes verify a token: the signature and its algorithm, the expiry, the kind, issuer and audience.

REST framework imports this module when its views are imported, so it must not import them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import router
from django.utils import timezone
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import APIException
from rest_framework_simplejwt import authentication
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from django_sessions_plus import exceptions, sessions, tokens
from django_sessions_plus.conf import config
from django_sessions_plus.jwt import compact
from django_sessions_plus.jwt.refresh_token import secret_for
from django_sessions_plus.switching.old_refresh import OldRefresh
from django_sessions_plus.switching.sources.base import KeptSource

NAME = "simplejwt"
"""The entry in ``SESSIONS_PLUS_IMPORT_FROM``."""

_LIST_APP = "rest_framework_simplejwt.token_blacklist"

# What its classes raise, also for a claim that is none, such as a date beyond all calendars.
_UNUSABLE = (TokenError, ArithmeticError, LookupError, OSError, TypeError, ValueError)
# What a query for an odd primary key raises.
_NO_USER = (ArithmeticError, TypeError, ValueError, ValidationError)


class JWTAuthentication(authentication.JWTAuthentication):  # type: ignore[misc]  # its types are not used
    """Its class of the same name, for access tokens of before the switch; to be listed after those of this package.

    A token is refused if all sessions of its user have ended since it was issued: by "sign out everywhere", a new
    password, or a deactivation. That takes one query more.
    """

    def get_user(self, validated_token: Any) -> Any:
        """Return the user of a verified token; raise simplejwt's errors."""
        user = super().get_user(validated_token)
        if NAME in config.IMPORT_FROM and _is_forbidden(user, _moment(validated_token.get("iat"))):
            raise InvalidToken
        return user


class RevokingSource(KeptSource):
    """Refresh tokens that were left to simplejwt, with ``SESSIONS_PLUS_IMPORT_KEEP_SOURCE``."""

    @property
    def alias(self) -> str | None:
        """The database of simplejwt's list; None if that app is not installed."""
        return router.db_for_write(OutstandingToken) if apps.is_installed(_LIST_APP) else None

    def digest_of(self, token: str) -> str:
        """See KeptSource."""
        return tokens.foreign_digest(self.name, token)

    def update(self, key: str, expires_at: datetime, data: Mapping[str, Any] | None) -> None:
        """Do nothing: a token has neither data nor another expiry than that which is signed."""

    def delete(self, key: str) -> None:
        """Have simplejwt refuse the token from now on."""
        named = json.loads(key)
        if isinstance(named, list):
            expires_at = timezone.now() + api_settings.REFRESH_TOKEN_LIFETIME
            _revoke(named[0], user=None, created_at=None, expires_at=expires_at)


@sensitive_variables()
def read(token: object) -> OldRefresh | None:
    """Return a refresh token that simplejwt has issued, if it has not expired; None for anything else. No query."""
    if not isinstance(token, str) or len(token) > compact.LONGEST_TOKEN:
        return None
    # Some versions of PyJWT accept another last character, by which the same token would have another secret.
    if compact.decode(token.rpartition(".")[2]) is None:
        return None
    try:
        verified = _unlisted(_token_class())(token)
    except _UNUSABLE:
        return None
    # Only its claims are needed from here on.
    verified.token = None
    expires_at = _moment(verified.get("exp"))
    if expires_at is None:
        return None
    return OldRefresh(
        source=NAME,
        key=_key_of(verified),
        digest=tokens.foreign_digest(NAME, _key_of(verified)),
        secret=secret_for(token),
        claims=verified,
        issued_at=_moment(verified.get("iat")),
        expires_at=expires_at,
        is_lasting=not (
            api_settings.ROTATE_REFRESH_TOKENS
            and api_settings.BLACKLIST_AFTER_ROTATION
            and apps.is_installed(_LIST_APP)
        ),
    )


def user_of(old: OldRefresh) -> Any:
    """Return the user of a refresh token whom simplejwt would give an access token; else None. One query."""
    key = old.claims.get(api_settings.USER_ID_CLAIM)
    if key is None:
        return None
    users = get_user_model()
    try:
        user: Any = users.objects.get(**{api_settings.USER_ID_FIELD: key})
    except (users.DoesNotExist, *_NO_USER):
        return None
    # It checks this one for access tokens alone.
    if api_settings.CHECK_REVOKE_TOKEN and old.claims.get(
        api_settings.REVOKE_TOKEN_CLAIM
    ) != get_md5_hash_password(user.password):
        return None
    return user if api_settings.USER_AUTHENTICATION_RULE(user) else None


def is_revoked(old: OldRefresh) -> bool:
    """Return whether simplejwt refuses the token; one query if the app with its list is installed."""
    # The project's own class may keep a list elsewhere.
    check = getattr(super(type(old.claims), old.claims), "check_blacklist", None)
    if check is None or old.claims.get(api_settings.JTI_CLAIM) is None:
        return False
    try:
        check()
    except TokenError:
        return True
    return False


def revoke(old: OldRefresh, user: Any) -> None:
    """Have simplejwt refuse the token from now on, if the app with its list is installed."""
    identifier = old.claims.get(api_settings.JTI_CLAIM)
    _revoke(identifier, user=user, created_at=old.issued_at, expires_at=old.expires_at)


@sensitive_variables()
def refresh(token: Any) -> dict[str, Any]:
    """Return what simplejwt's own endpoint answers to a refresh token.

    Raises:
        TokenError: it refuses the token.
    """
    serializer = import_string(api_settings.TOKEN_REFRESH_SERIALIZER)(data={"refresh": token})
    try:
        serializer.is_valid(raise_exception=True)
    except (TokenError, APIException):
        raise exceptions.TokenError from None
    answer: dict[str, Any] = serializer.validated_data
    return answer


def _revoke(identifier: Any, **columns: Any) -> None:
    """Put a token on simplejwt's list; ``columns`` are for one that was not noted when it was issued."""
    if not apps.is_installed(_LIST_APP) or identifier is None:
        return
    # Its own method stores the token once more, and error reports would show it.
    known, _ = OutstandingToken._default_manager.get_or_create(jti=identifier, defaults=columns)
    BlacklistedToken._default_manager.get_or_create(token=known)


def _token_class() -> Any:
    """Return the class of its refresh tokens: the project's own, if its serializer has one."""
    return import_string(api_settings.TOKEN_REFRESH_SERIALIZER).token_class


@lru_cache(maxsize=4)
def _unlisted(token_class: Any) -> Any:
    """Return a class that verifies everything but the list of revoked tokens, which would be a query.

    That list also has the tokens that were exchanged here.
    """
    return type(token_class.__name__, (token_class,), {"check_blacklist": lambda token: None})


def _key_of(verified: Any) -> str:
    """Return what tells a token from all others: its identifier, or all claims if the project has it leave that out."""
    named = verified.get(api_settings.JTI_CLAIM)
    return json.dumps(verified.payload if named is None else [named], sort_keys=True)


def _is_forbidden(user: Any, issued_at: datetime | None) -> bool:
    # By its name, because its tables are only there until the switch is done.
    barriers = import_module("django_sessions_plus.switching.barriers")
    using = router.db_for_write(sessions.session_model())
    return bool(barriers.is_forbidden(user, issued_at, using=using))


def _moment(seconds: Any) -> datetime | None:
    """Return a claim as a datetime, aware or naive as ``USE_TZ`` says; None if it is none."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
        return moment if settings.USE_TZ else timezone.make_naive(moment)
    except (ArithmeticError, OSError, TypeError, ValueError):
        return None
