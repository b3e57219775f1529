"""Django's sign-in form with one more question."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm


class SignInForm(AuthenticationForm):
    """Ask for name and password, and whether the session may outlive the browser."""

    remember = forms.BooleanField(
        label="Remember me on this device",
        help_text="Leave this off on a computer that others use: you are signed out with the browser.",
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.initial.get("username"):
            # Only the password is missing.
            self.fields["username"].widget.attrs.pop("autofocus", None)
            self.fields["password"].widget.attrs["autofocus"] = True
