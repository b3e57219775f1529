"""The devices page: where a user is signed in, and how to end it. No script, no cache, no frame.

The views call the verbs: each act is a POST that redirects to a page which reports how it went.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from math import ceil
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import RedirectURLMixin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.generic import FormView, TemplateView, View

from django_sessions_plus import keyset, sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.entries import Entry, entries
from django_sessions_plus.exceptions import ConfigurationError, StaleSessionError
from django_sessions_plus.forms import ConfirmPasswordForm
from django_sessions_plus.page import DEVICES, PageMixin, PersonalPageMixin, sign_out
from django_sessions_plus.reauthentication import (
    confirm_password,
    is_due_to_end_others,
    redirect_to_page,
    wait_after_attempt,
)
from django_sessions_plus.refusals import log_refusal

CONFIRM_PASSWORD = "django_sessions_plus:confirm-password"  # noqa: S105 - the name of an address


class DevicesView(PersonalPageMixin, TemplateView):
    """One's sessions. Three queries, however many there are: the current one with its user, a page, the history."""

    template_name = "django_sessions_plus/devices.html"
    page_size = 20
    history_age = timedelta(days=7)
    """How far back ended sessions are shown; not beyond ``SESSIONS_PLUS_RETENTION``."""
    history_size = 20

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Give the current session, a page of the others, and those that are over."""
        current, page, cursor = self.current(), self.get_page(), self.get_cursor()
        history = self.get_history()
        return super().get_context_data(
            current=None if current is None else Entry(current, is_current=True),
            others=entries(page.sessions),
            is_first_page=cursor is None,
            cursor=self.request.GET.get(keyset.PARAMETER, ""),
            next_page=page.next,
            previous_page=page.previous,
            history=entries(history[: self.history_size]),
            history_days=self.history_age.days,
            history_size=self.history_size,
            has_more_history=len(history) > self.history_size,
            **kwargs,
        )

    def get_cursor(self) -> keyset.Cursor | None:
        """Return where in the list the page is; None at the front.

        Raises:
            Http404: it was never given out.
        """
        text = self.request.GET.get(keyset.PARAMETER)
        if not text:
            return None
        cursor = keyset.parse(text)
        if cursor is None:
            raise Http404
        return cursor

    def get_page(self) -> keyset.Page:
        """Return a page of the active sessions, without the current one."""
        rows, current = sessions.list_for(self.request.user), self.current()
        if current is not None:
            rows = rows.exclude(pk=current.pk)
        # What a session holds can be large, and is shown to nobody.
        return keyset.page_of(rows.defer("session_data"), self.get_cursor(), self.page_size)

    def get_history(self) -> list[AbstractSession]:
        """Return what ended or expired of late, the last first, and one more than is shown.

        By the expiry, which an end moves to itself, so that one index finds both.
        """
        now = timezone.now()
        rows = sessions.session_model().objects.for_writing().for_user(self.request.user)
        over = rows.filter(expires_at__gt=now - self.history_age, expires_at__lte=now)
        last = over.defer("session_data").order_by("-expires_at", "-pk")
        return list(last[: self.history_size + 1])


class EndSessionView(PersonalPageMixin, TemplateView):
    """End one of one's sessions; by GET, ask first."""

    template_name = "django_sessions_plus/end_session.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask whether to end it."""
        return self.obstacle() or super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """End it; for the current one this signs out."""
        current = self.current()
        if current is not None and current.pk == pk:
            return sign_out(request)
        obstacle = self.obstacle()
        if obstacle is None:
            self.report(sessions.revoke(self.session, actor=request.user))
        return obstacle or self.back()

    def obstacle(self) -> HttpResponse | None:
        """Find the session, and return where to go if it cannot be ended here and now.

        Raises:
            Http404: there is none, or it is somebody else's.
        """
        own = sessions.session_model().objects.for_writing().for_user(self.request.user)
        self.session = get_object_or_404(own, pk=self.kwargs["pk"])
        if self.session == self.current():
            return self.back()
        if not self.session.is_active():
            self.report(is_ended=False)
            return self.back()
        if is_due_to_end_others(self.request):
            return _ask_for_password(self.request)
        return None

    def report(self, is_ended: bool) -> None:
        """Say whether the session was ended now, or already."""
        device = {"device": Entry(self.session).name}
        if is_ended:
            text = gettext("%(device)s is signed out.") % device
            messages.success(self.request, text, fail_silently=True)
        else:
            text = gettext("%(device)s was signed out already.") % device
            messages.info(self.request, text, fail_silently=True)

    def back(self) -> HttpResponseRedirect:
        """Return to the page of the list one came from."""
        return HttpResponseRedirect(_list_address(self.request))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Give the session, and the way back."""
        return super().get_context_data(
            entry=Entry(self.session), back=_list_address(self.request), **kwargs
        )


class EndOthersView(PersonalPageMixin, TemplateView):
    """End all of one's sessions but the current one; by GET, ask first."""

    template_name = "django_sessions_plus/end_others.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask whether to end them, if there are any."""
        self.number = self.count()
        if not self.number:
            return self.report(0)
        if is_due_to_end_others(request):
            return _ask_for_password(request)
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest) -> HttpResponse:
        """End them."""
        if is_due_to_end_others(request):
            return _ask_for_password(request)
        return self.report(
            sessions.revoke_others(request.user, keep=self.current(), actor=request.user)
        )

    def count(self) -> int:
        """Return how many other sessions are active."""
        rows, current = sessions.list_for(self.request.user), self.current()
        return (rows if current is None else rows.exclude(pk=current.pk)).count()

    def report(self, ended: int) -> HttpResponseRedirect:
        """Say how many sessions have ended, on the list."""
        if ended:
            text = ngettext(
                "%(count)d other session is ended.", "%(count)d other sessions are ended.", ended
            ) % {"count": ended}
            messages.success(self.request, text, fail_silently=True)
        else:
            text = gettext("There was no other session to end.")
            messages.info(self.request, text, fail_silently=True)
        return HttpResponseRedirect(reverse(DEVICES))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Give the number of sessions that would end."""
        return super().get_context_data(number=self.number, back=reverse(DEVICES), **kwargs)


# Also for those already signed out: to have to sign in first would be odd.
@method_decorator(login_not_required, name="dispatch")
class SignOutView(PageMixin, RedirectURLMixin, View):
    """End the current session. With ``next``, lead to sign-in and from there to ``next``."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign out."""
        return sign_out(request, self.get_redirect_url())


@method_decorator(sensitive_post_parameters("password"), name="dispatch")
class ConfirmPasswordView(PersonalPageMixin, RedirectURLMixin, FormView):  # type: ignore[type-arg]  # not subscriptable at run time
    """Ask for the password again, make the session fresh under a new token, and go on to ``next``.

    For ``SESSIONS_PLUS_REAUTHENTICATE_URL``, and what the pages here use without it.
    """

    template_name = "django_sessions_plus/confirm_password.html"
    form_class = ConfirmPasswordForm
    next_page = DEVICES

    def takes_password(self) -> bool:
        """Tell whether the person has a password that this site can check; the others sign in anew.

        Override it if a backend of yours checks passwords that the user model does not keep.
        """
        user: Any = self.request.user
        return bool(user.has_usable_password())

    @sensitive_variables()
    def form_valid(self, form: Any) -> HttpResponse:
        """Check the password."""
        store = _store_of(self.request)
        if self.current() is None:
            # Whoever was let in by other means has no session that could become fresh.
            return self.form_invalid(form)
        wait = wait_after_attempt(store)
        if wait is not None:
            return self.refuse_for_now(form, wait)
        password = form.cleaned_data["password"]
        try:
            is_right = confirm_password(self.request, store, self.request.user, password)
        except StaleSessionError:
            # It ended meanwhile: back to here, by way of the sign-in.
            store.give_up()
            return HttpResponseRedirect(self.request.get_full_path())
        if not is_right:
            form.add_error("password", gettext("That is not your password. Try again."))
            return self.form_invalid(form)
        return super().form_valid(form)

    def refuse_for_now(self, form: Any, wait: float) -> HttpResponse:
        """Show the form again, with when to come back."""
        log_refusal(self.request, reason="throttled", user_id=self.request.user.pk)
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
        """Give the checked ``next``, and whose password it is."""
        return super().get_context_data(
            next=self.get_redirect_url(),
            takes_password=self.current() is not None and self.takes_password(),
            username=self.request.user.get_username(),
            back=reverse(DEVICES),
            **kwargs,
        )


def _list_address(request: HttpRequest) -> str:
    cursor = request.GET.get(keyset.PARAMETER, "")
    query = f"?{urlencode({keyset.PARAMETER: cursor})}" if keyset.parse(cursor) else ""
    return reverse(DEVICES) + query


def _ask_for_password(request: HttpRequest) -> HttpResponse:
    # The address of the act: by GET it asks, which is where one goes on after the password.
    return redirect_to_page(request.get_full_path(), default=CONFIRM_PASSWORD)


def _store_of(request: HttpRequest) -> SessionStore:
    store: Any = request.session
    if not isinstance(store, SessionStore):
        raise ConfigurationError(
            "The pages of django_sessions_plus need SESSION_ENGINE to be one of"
            " django_sessions_plus.backends, and its SessionMiddleware in MIDDLEWARE."
        )
    return store
