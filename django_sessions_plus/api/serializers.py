"""The JSON the endpoints take and give.

What comes in is strict: a text is a text and true is true. What goes out does not depend
on a project's REST framework settings.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import models
from django.utils.timezone import is_naive, make_aware
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request

from django_sessions_plus.api.authentication import is_person, session_of
from django_sessions_plus.api.transports import DEFAULT_TRANSPORT, TRANSPORTS
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config

LONGEST_USERNAME = 1024
LONGEST_PASSWORD = 4096

_PLAIN = (str, int, float, bool, dict, list, date, Decimal, UUID, type(None))


class MomentField(serializers.DateTimeField):
    """A moment in ISO 8601, UTC."""

    def to_representation(self, value: Any) -> str:
        """Return the moment as text; a naive one is in the project's time zone."""
        moment: datetime = make_aware(value) if is_naive(value) else value
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class TextField(serializers.CharField):
    """A text. Numbers, which REST framework would turn into texts, are refused."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return the text.

        Raises:
            ValidationError: it is missing, is none, or breaks a rule.
        """
        # Before anything makes a text of it: of a deeply nested list that would fail.
        if data is not serializers.empty and data is not None and not isinstance(data, str):
            self.fail("invalid")
        return super().run_validation(data)


class WordField(serializers.ChoiceField):
    """One of a few words. What was sent instead is not repeated."""

    default_error_messages = {"invalid_choice": _("This is not one of the possible words.")}

    def to_internal_value(self, data: Any) -> Any:
        """Return the word.

        Raises:
            ValidationError: it is none of them.
        """
        if not isinstance(data, str):
            self.fail("invalid_choice")
        return super().to_internal_value(data)


class SwitchField(serializers.BooleanField):
    """True or false, and nothing that looks like it."""

    def to_internal_value(self, data: Any) -> bool:
        """Return the value.

        Raises:
            ValidationError: it is no JSON boolean.
        """
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class SignInSerializer(serializers.Serializer[None]):
    """What sign-in takes. The user name may also come under the user model's own name for it."""

    username = TextField(max_length=LONGEST_USERNAME)
    password = TextField(max_length=LONGEST_PASSWORD, trim_whitespace=False)
    transport = WordField(choices=list(TRANSPORTS), default=DEFAULT_TRANSPORT)
    remember = SwitchField(default=True)

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated fields."""
        name = get_user_model().USERNAME_FIELD
        if isinstance(data, Mapping) and "username" not in data and name in data:
            data = {**data, "username": data[name]}
        return super().to_internal_value(data)

    def validate_username(self, value: str) -> str:
        """Return the name as Django's own forms normalize it."""
        return unicodedata.normalize("NFKC", value)


class ReauthenticateSerializer(serializers.Serializer[None]):
    """What re-authentication takes."""

    password = TextField(max_length=LONGEST_PASSWORD, trim_whitespace=False)


class RevokeSerializer(serializers.Serializer[None]):
    """Which of one's sessions to end."""

    scope = WordField(choices=["others", "all"])


class DeviceSerializer(serializers.Serializer[Any]):
    """A device as people know it."""

    label = serializers.CharField()  # type: ignore[assignment]
    browser = serializers.CharField()
    os = serializers.CharField()
    kind = serializers.CharField()


class SessionSerializer(serializers.Serializer[Any]):
    """A session as its owner sees it. Token and digest are not part of it."""

    id = serializers.UUIDField()
    created_at = MomentField()
    authenticated_at = MomentField()
    last_seen_at = MomentField()
    expires_at = MomentField()
    ip_address = serializers.CharField(allow_null=True)
    user_agent = serializers.CharField(allow_null=True)
    device = DeviceSerializer()
    remember = serializers.BooleanField()
    is_current = serializers.SerializerMethodField()

    def get_is_current(self, session: AbstractSession) -> bool:
        """Tell whether it is the session of the request."""
        row = session_of(self.context["request"]).row
        return row is not None and row.pk == session.pk


def session_body(request: Request) -> dict[str, Any]:
    """Return the current session and its user, as the endpoints answer them; both None for nobody."""
    row = session_of(request).row
    if row is None or not is_person(request):
        return {"session": None, "user": None}
    session = SessionSerializer(row, context={"request": request})
    return {"session": session.data, "user": user_body(request.user)}


def user_body(user: Any) -> dict[str, Any]:
    """Return the id and the fields of ``SESSIONS_PLUS_USER_FIELDS`` that the user model has.

    Columns only, so that it costs no query. The password's is never told.
    """
    columns = {field.name: field for field in user._meta.concrete_fields}
    names = [name for name in config.USER_FIELDS if name in columns and name != "password"]
    return {"id": user.pk, **{name: _plain(columns[name], user) for name in names}}


def _plain(field: models.Field[Any, Any], user: models.Model) -> Any:
    value = field.value_from_object(user)
    return value if isinstance(value, _PLAIN) else field.value_to_string(user)
