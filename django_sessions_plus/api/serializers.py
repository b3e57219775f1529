"""The JSON the endpoints take and give.

What comes in is strict: a text is a text and true is true. What goes out does not depend
on a project's REST framework settings.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from math import ceil
from typing import Any, get_args

from django.contrib.auth import get_user_model
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request

from django_sessions_plus.api.fields import MomentField, SwitchField, TextField, WordField
from django_sessions_plus.api.requests import is_person, session_of
from django_sessions_plus.api.transports import DEFAULT_TRANSPORT, TRANSPORTS
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.devices import DeviceKind
from django_sessions_plus.reauthentication import LONGEST_PASSWORD
from django_sessions_plus.user_fields import values_of

LONGEST_USERNAME = 1024


class SignInSerializer(serializers.Serializer[None]):
    """What sign-in takes. The user name may also come under the user model's own name for it."""

    username = TextField(max_length=LONGEST_USERNAME)
    password = TextField(max_length=LONGEST_PASSWORD, trim_whitespace=False)
    transport = WordField(choices=list(TRANSPORTS), default=DEFAULT_TRANSPORT)
    remember = SwitchField(default=True)
    refresh_cookie = SwitchField(default=False)

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated fields."""
        name = get_user_model().USERNAME_FIELD
        if isinstance(data, Mapping) and "username" not in data and name in data:
            data = {**data, "username": data[name]}
        return super().to_internal_value(data)

    def validate_username(self, value: str) -> str:
        """Return the name as Django's own forms normalize it."""
        return unicodedata.normalize("NFKC", value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the fields, where they go together."""
        return _with_refresh_cookie(attrs, attrs["transport"])


class ReauthenticateSerializer(serializers.Serializer[None]):
    """What re-authentication takes; ``context["transport"]`` is the session's."""

    password = TextField(max_length=LONGEST_PASSWORD, trim_whitespace=False)
    refresh_cookie = SwitchField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the fields, where they go together."""
        return _with_refresh_cookie(attrs, self.context["transport"])


class RefreshSerializer(serializers.Serializer[None]):
    """What a refresh takes, unless the token comes as a cookie. Any text may be presented."""

    refresh = TextField(required=False, trim_whitespace=False)
    passive = SwitchField(default=False)


class RevokeSerializer(serializers.Serializer[None]):
    """Which of one's sessions to end."""

    scope = WordField(choices=["others", "all"])


class DeviceSerializer(serializers.Serializer[Any]):
    """A device as people know it."""

    label = serializers.CharField()  # type: ignore[assignment]
    browser = serializers.CharField()
    os = serializers.CharField()
    kind = WordField(choices=get_args(DeviceKind))


class SessionSerializer(serializers.Serializer[Any]):
    """A session as its owner sees it. Token and digest are not part of it."""

    id = serializers.UUIDField()
    created_at = MomentField()
    authenticated_at = MomentField(allow_null=True)
    last_seen_at = MomentField()
    expires_at = MomentField()
    expires_in = serializers.SerializerMethodField()
    ip_address = serializers.CharField(allow_null=True)
    user_agent = serializers.CharField(allow_null=True)
    device = DeviceSerializer()
    remember = serializers.BooleanField()
    is_current = serializers.SerializerMethodField()

    def get_expires_in(self, session: AbstractSession) -> int:
        """Return the seconds until the session expires unless it is used, for whoever has no right clock.

        Rounded up: who counts them down and asks again then finds it expired.
        """
        left = session.expires_at - timezone.now()
        return max(0, ceil(left.total_seconds()))

    def get_is_current(self, session: AbstractSession) -> bool:
        """Tell whether it is the session of the request."""
        row = session_of(self.context["request"]).row
        return row is not None and row.pk == session.pk


def session_body(request: Request) -> dict[str, Any]:
    """Return the current session and its user, as the endpoints answer them; both None for nobody.

    Then ``ended`` says why, where the cookie is that of a session which is over.
    """
    store = session_of(request)
    row = store.row
    if row is None or not is_person(request):
        reason = store.over_reason
        ended = {} if reason is None else {"ended": {"reason": str(reason)}}
        return {"session": None, "user": None, **ended}
    session = SessionSerializer(row, context={"request": request})
    return {"session": session.data, "user": user_body(request.user)}


def user_body(user: Any) -> dict[str, Any]:
    """Return the id and the fields of ``SESSIONS_PLUS_USER_FIELDS`` that the user model has.

    Columns only, so that it costs no query. The password's is never told.
    """
    return {"id": user.pk, **values_of(user, config.USER_FIELDS)}


def _with_refresh_cookie(attrs: dict[str, Any], transport: str) -> dict[str, Any]:
    """Return the fields of a body.

    Raises:
        ValidationError: a refresh token is to be a cookie, and the transport has none.
    """
    if attrs["refresh_cookie"] and transport != "jwt":
        raise serializers.ValidationError(
            {"refresh_cookie": [_("There are refresh tokens only with the transport jwt.")]}
        )
    return attrs
