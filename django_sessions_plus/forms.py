"""The forms of the pages."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from django_sessions_plus.reauthentication import LONGEST_PASSWORD


class ConfirmPasswordForm(forms.Form):
    """The password once more. Whether it is right is the view's to find out, for to ask is an act."""

    password = forms.CharField(
        label=_("Password"),
        max_length=LONGEST_PASSWORD,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
