"""The JSON bodies of the endpoints.

Input is strict: a number is no text, and "true" is not true. Output does not depend on a project's
settings for REST framework.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from math import ceil
from typing import Any, get_args

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request

from django_sessions_plus.accounts.reauthentication import LONGEST_PASSWORD
from django_sessions_plus.api.fields import (
    AttemptField,
    SecretField,
    SwitchField,
    TextField,
    UserKeyField,
    UtcDateTimeField,
    WordField,
)
from django_sessions_plus.api.requests import foreign_audiences, is_signed_in, session_of
from django_sessions_plus.api.transports import DEFAULT_TRANSPORT, TRANSPORTS
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.devices import DeviceKind
from django_sessions_plus.presentation.user_fields import user_body

LONGEST_USERNAME = 1024


class SignInSerializer(serializers.Serializer[None]):
    """The body of a sign-in. The name may also be sent as ``email``, or by the name of the user model's field."""

    username = TextField(max_length=LONGEST_USERNAME)
    password = SecretField(max_length=LONGEST_PASSWORD)
    transport = WordField(choices=list(TRANSPORTS), default=DEFAULT_TRANSPORT)
    remember = SwitchField(default=True)
    refresh_cookie = SwitchField(default=False)

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated fields."""
        names = ("username", get_user_model().USERNAME_FIELD, "email")
        given = [name for name in names if isinstance(data, Mapping) and name in data][:1]
        if given:
            data = {**data, "username": data[given[0]]}
        return {**super().to_internal_value(data), "is_email": given == ["email"]}

    def validate_username(self, value: str) -> str:
        """Return the name, normalized as by Django's own forms."""
        return unicodedata.normalize("NFKC", value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the fields, where they go together."""
        return _with_refresh_cookie(attrs, attrs["transport"])


class ReauthenticateSerializer(serializers.Serializer[None]):
    """The body of a re-authentication; ``context["transport"]`` is that of the session."""

    password = SecretField(max_length=LONGEST_PASSWORD)
    refresh_cookie = SwitchField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the fields, where they go together."""
        return _with_refresh_cookie(attrs, self.context["transport"])


class RefreshSerializer(serializers.Serializer[None]):
    """The body of a refresh, unless the token is sent as a cookie. Any text is valid here."""

    refresh = SecretField(required=False)
    attempt = AttemptField(required=False)
    passive = SwitchField(default=False)


class TokenSerializer(serializers.Serializer[None]):
    """The service that a token is for; ``context["request"]`` is the request."""

    audience = TextField()

    def validate_audience(self, value: str) -> str:
        """Return the audience, if tokens are issued for it.

        Raises:
            ValidationError: no tokens are issued for it.
        """
        if value not in foreign_audiences(self.context["request"]):
            raise serializers.ValidationError(_("This is not one of the possible words."))
        return value


class RevokeSerializer(serializers.Serializer[None]):
    """Which of the user's sessions to end."""

    scope = WordField(choices=["others", "all"])
    settled = SwitchField(default=False)


class DeviceSerializer(serializers.Serializer[Any]):
    """A device, as shown to users."""

    label = serializers.CharField()  # type: ignore[assignment]
    browser = serializers.CharField()
    os = serializers.CharField()
    kind = WordField(choices=get_args(DeviceKind))
    version = serializers.CharField()


class SessionSerializer(serializers.Serializer[Any]):
    """A session, for its user. It contains neither token nor digest."""

    id = serializers.UUIDField()
    user_id = UserKeyField()
    created_at = UtcDateTimeField()
    updated_at = UtcDateTimeField()
    authenticated_at = UtcDateTimeField(allow_null=True)
    reauthentication_required = serializers.BooleanField(
        help_text="Used from another browser or network since, so that sensitive acts need the password."
    )
    last_seen_at = UtcDateTimeField()
    expires_at = UtcDateTimeField()
    expires_in = serializers.SerializerMethodField()
    ip_address = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_blank=True)
    user_agent = serializers.CharField(allow_null=True)
    device = DeviceSerializer()
    remember = serializers.BooleanField()
    is_current = serializers.SerializerMethodField()

    def get_expires_in(self, session: AbstractSession) -> int:
        """Return the seconds until the session expires if it is not used, for clients whose clock may be wrong.

        Rounded up: a client that asks again after this time must find it expired.
        """
        left = session.expires_at - timezone.now()
        return max(0, ceil(left.total_seconds()))

    def get_is_current(self, session: AbstractSession) -> bool:
        """Return whether it is the session of the request."""
        row = session_of(self.context["request"]).row
        return row is not None and row.pk == session.pk


class RevokedSessionsSerializer(serializers.Serializer[Any]):
    """The result of revoking sessions."""

    revoked = serializers.IntegerField(min_value=0, help_text="How many sessions this has ended.")


class UnsettledSerializer(serializers.Serializer[Any]):
    """Sessions have ended, but other processes may still accept them."""

    settled = serializers.BooleanField(help_text="Always false.")
    within = serializers.IntegerField(
        min_value=0, help_text="Seconds until every process refuses the ended sessions, at most."
    )


class UnsettledRevocationSerializer(RevokedSessionsSerializer, UnsettledSerializer):
    """The result of revoking sessions, if other processes may still accept them."""


def session_body(request: Request) -> dict[str, Any]:
    """Return the current session and its user, as in responses; both None if nobody is signed in.

    Then ``ended`` says why, if the cookie is that of a session that has ended or expired.

    Raises:
        NotInUseError: ``SESSION_ENGINE`` is not an engine of this package.
        ConfigurationError: ``SESSIONS_PLUS_USER_FIELDS`` cannot be used.
    """
    store = session_of(request)
    row = store.row
    if row is None or not is_signed_in(request):
        reason = store.inactive_reason
        ended = {} if reason is None else {"ended": {"reason": str(reason)}}
        return {"session": None, "user": None, **ended}
    session = SessionSerializer(row, context={"request": request})
    return {"session": session.data, "user": user_body(request.user)}


def start_value(http_request: HttpRequest) -> dict[str, Any]:
    """Return the body of ``GET session``.

    A page with this value needs no request to the API; the client counts ``expires_in`` from the time
    of the page. It contains no token. The page must not be cached.
    """
    request = Request(http_request)
    request.user = http_request.user
    # Reading the user loads the session.
    _ = http_request.user.is_authenticated
    return session_body(request)


def _with_refresh_cookie(attrs: dict[str, Any], transport: str) -> dict[str, Any]:
    """Return the fields of a body if they are consistent.

    Raises:
        ValidationError: the refresh token is to be a cookie, but the transport has none.
    """
    if attrs["refresh_cookie"] and transport != "jwt":
        raise serializers.ValidationError(
            {"refresh_cookie": [_("There are refresh tokens only with the transport jwt.")]}
        )
    return attrs
