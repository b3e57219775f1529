"""The fields of the API's JSON: strict with what comes in, the same for every project in what goes out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils.timezone import is_naive, make_aware
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers


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
