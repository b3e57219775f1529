"""Django's sign-in form with one more question."""

from django import forms
from django.contrib.auth.forms import AuthenticationForm


class SignInForm(AuthenticationForm):
    """Ask for name and password, and whether the session may outlive the browser."""

    remember = forms.BooleanField(
        label="Remember me on this device",
        help_text="Leave this off on a computer that others use: you are signed out with the browser.",
        required=False,
    )
