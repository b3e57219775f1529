"""The serializer fields of the API: strict input, and the same output in every project."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils.timezone import is_naive, make_aware
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from django_sessions_plus.http.hidden import HiddenText
from django_sessions_plus.jwt.refresh_token import is_attempt


class UtcDateTimeField(serializers.DateTimeField):
    """A datetime in ISO 8601, UTC."""

    def to_representation(self, value: Any) -> str:
        """Return the datetime as text; a naive one is taken to be in the project's time zone."""
        moment: datetime = make_aware(value) if is_naive(value) else value
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class TextField(serializers.CharField):
    """A text. Refuses numbers, which REST framework would convert to text."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return the text.

        Raises:
            ValidationError: it is missing, is no text, or breaks a rule.
        """
        # Before it is converted to text: that would fail for a deeply nested list.
        if data is not serializers.empty and data is not None and not isinstance(data, str):
            self.fail("invalid")
        return super().run_validation(data)


class UserKeyField(serializers.ReadOnlyField):
    """The primary key of a user, in the type of the user model's."""


class SecretField(TextField):
    """A text that error reporters do not show."""

    def __init__(self, **kwargs: Any) -> None:
        # Spaces are part of a password.
        super().__init__(trim_whitespace=False, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return the text as ``HiddenText``.

        Raises:
            ValidationError: it is missing, is no text, or breaks a rule.
        """
        found = super().run_validation(data)
        return HiddenText(found) if isinstance(found, str) else found


class AttemptField(SecretField):
    """The attempt of a refresh: 32 hexadecimal digits, in lower case."""

    default_error_messages = {"malformed": _("This is not an attempt: 32 hexadecimal digits.")}

    def to_internal_value(self, data: Any) -> str:
        """Return the attempt.

        Raises:
            ValidationError: it does not have this form.
        """
        if not is_attempt(data):
            self.fail("malformed")
        # Not str(data): that would be a copy, which error reports do not hide.
        attempt: str = data
        return attempt


class WordField(serializers.ChoiceField):
    """A choice. The error does not repeat what was sent."""

    default_error_messages = {"invalid_choice": _("This is not one of the possible words.")}

    def to_internal_value(self, data: Any) -> Any:
        """Return the choice.

        Raises:
            ValidationError: it is none of the choices.
        """
        if not isinstance(data, str):
            self.fail("invalid_choice")
        return super().to_internal_value(data)


class SwitchField(serializers.BooleanField):
    """A JSON boolean; no text or number is accepted for it."""

    def to_internal_value(self, data: Any) -> bool:
        """Return the value.

        Raises:
            ValidationError: it is no JSON boolean.
        """
        if not isinstance(data, bool):
            self.fail("invalid")
        return data
