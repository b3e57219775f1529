"""The page that asks for the password again, for what only a fresh session may do."""

from __future__ import annotations

from http import HTTPStatus
from math import ceil
from typing import Any, cast

from django import forms
from django.contrib.auth.views import RedirectURLMixin
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.generic import FormView

from django_sessions_plus.accounts.failed_sign_ins import log_failed_attempt
from django_sessions_plus.accounts.reauthentication import (
    LONGEST_PASSWORD,
    confirm_password,
    wait_after_attempt,
)
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.exceptions import IncompleteSignInError, StaleSessionError
from django_sessions_plus.http.hidden import HiddenText
from django_sessions_plus.pages.mixins import (
    DEVICES,
    PersonalPageMixin,
)


class ConfirmPasswordForm(forms.Form):
    """Ask for the password again. The view checks it, because each check counts as an attempt."""

    password = forms.CharField(
        label=_("Password"),
        max_length=LONGEST_PASSWORD,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )

    def clean_password(self) -> str:
        """Return the password as text that error reporters do not show."""
        return HiddenText(self.cleaned_data["password"])


@method_decorator(sensitive_post_parameters("password"), name="dispatch")
class ConfirmPasswordView(PersonalPageMixin, RedirectURLMixin, FormView):  # type: ignore[type-arg]  # not subscriptable at run time
    """Ask for the password again, make the session fresh, rotate its token, and redirect to ``next``.

    For ``SESSIONS_PLUS_REAUTHENTICATE_URL``; the pages here use it if that is not set.
    """

    template_name = "django_sessions_plus/confirm_password.html"
    form_class = ConfirmPasswordForm
    next_page = DEVICES

    def takes_password(self) -> bool:
        """Return whether the user has a password that this site can check; other users have to sign in again.

        Override it if a backend of yours checks passwords that are not in the user model.
        """
        user: Any = self.request.user
        return bool(user.has_usable_password())

    @sensitive_variables()
    def form_valid(self, form: Any) -> HttpResponse:
        """Check the password."""
        store = cast(SessionStore, self.request.session)
        if self.current() is None:
            # A user who was authenticated in another way has no session that could become fresh.
            return self.form_invalid(form)
        wait = wait_after_attempt(store)
        if wait is not None:
            return self.refuse_for_now(form, wait)
        password = form.cleaned_data["password"]
        try:
            is_right = confirm_password(self.request, store, self.request.user, password)
        except StaleSessionError:
            # The session ended meanwhile: redirect to sign-in, and back to here.
            store.forget_and_keep_cookie()
            return HttpResponseRedirect(self.request.get_full_path())
        except IncompleteSignInError:
            # The password was right, so this may be shown: a new sign-in asks for the second factor.
            return self.render_to_response(self.get_context_data(form=form, is_enough=False))
        if not is_right:
            form.add_error("password", gettext("That is not your password. Try again."))
            return self.form_invalid(form)
        return super().form_valid(form)

    def refuse_for_now(self, form: Any, wait: float) -> HttpResponse:
        """Show the form again, with the time to wait."""
        log_failed_attempt(self.request, reason="throttled", user_id=self.request.user.pk)
        minutes = ceil(wait / 60)
        text = ngettext(
            "Too many attempts. Try again in %(count)d minute.",
            "Too many attempts. Try again in %(count)d minutes.",
            minutes,
        ) % {"count": minutes}
        form.add_error("password", text)
        response = self.form_invalid(form)
        response.status_code = HTTPStatus.TOO_MANY_REQUESTS
        response.headers["Retry-After"] = str(ceil(wait))
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the checked ``next``, the user's name, and whether a password is enough."""
        context = {
            "next": self.get_redirect_url(),
            "takes_password": self.current() is not None and self.takes_password(),
            "is_enough": True,
            "username": self.request.user.get_username(),
            "back": reverse(DEVICES),
        }
        return super().get_context_data(**(context | kwargs))
