"""The devices page: lists and ends a user's sessions. No JavaScript, no caching, no framing.

Each action is a POST that calls a function in ``sessions`` and redirects to a page that shows the result.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import RedirectURLMixin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext
from django.views.generic import TemplateView, View

from django_sessions_plus import sessions
from django_sessions_plus.accounts.reauthentication import (
    CONFIRM_PASSWORD,
    is_due_to_end_others,
    redirect_to_page,
)
from django_sessions_plus.backends.importing import may_be_unimported
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.pages.mixins import (
    DEVICES,
    PageMixin,
    PersonalPageMixin,
    sign_out,
    warn_of_delay,
)
from django_sessions_plus.presentation import keyset
from django_sessions_plus.presentation.entries import Entry, entries


class DevicesView(PersonalPageMixin, TemplateView):
    """List the user's sessions. Always three queries: the current one with its user, a page, the history."""

    template_name = "django_sessions_plus/devices.html"
    page_size = 20
    history_age = timedelta(days=7)
    """How long ended sessions are shown; at most ``SESSIONS_PLUS_RETENTION``."""
    history_size = 20

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the current session, a page of the others, and those that have ended or expired."""
        current, page, cursor = self.current(), self.get_page(), self.get_cursor()
        history = self.get_history()
        rows = page.sessions if current is None else [current, *page.sessions]
        shown = entries(rows, current)
        return super().get_context_data(
            current=None if current is None else shown[0],
            others=shown if current is None else shown[1:],
            is_first_page=cursor is None,
            may_have_unlisted=may_be_unimported(),
            cursor=self.request.GET.get(keyset.PARAMETER, ""),
            next_page=page.next,
            previous_page=page.previous,
            password_url=_password_address(),
            history=entries(history[: self.history_size]),
            history_days=self.history_age.days,
            history_size=self.history_size,
            has_more_history=len(history) > self.history_size,
            **kwargs,
        )

    def get_cursor(self) -> keyset.Cursor | None:
        """Return the cursor of the page; None for the first page.

        Raises:
            Http404: the URL has a cursor that this site did not make.
        """
        text = self.request.GET.get(keyset.PARAMETER)
        if not text:
            return None
        cursor = keyset.parse(text)
        if cursor is None:
            raise Http404
        return cursor

    def get_page(self) -> keyset.Page:
        """Return a page of the active sessions, without the current one; raises as get_cursor() does."""
        rows, current = sessions.list_for(self.request.user), self.current()
        if current is not None:
            rows = rows.exclude(pk=current.pk)
        # The data of a session can be large, and is not shown.
        return keyset.page_of(rows.defer("session_data"), self.get_cursor(), self.page_size)

    def get_history(self) -> list[AbstractSession]:
        """Return the sessions that ended or expired recently, the last first; one more than is shown.

        Ending a session also sets ``expires_at``, so that one index finds both.
        """
        now = timezone.now()
        rows = sessions.session_model().objects.for_writing().for_user(self.request.user)
        over = rows.filter(expires_at__gt=now - self.history_age, expires_at__lte=now)
        last = over.defer("session_data").order_by("-expires_at", "-pk")
        return list(last[: self.history_size + 1])


class EndSessionView(PersonalPageMixin, TemplateView):
    """End one of the user's sessions; by GET, ask for confirmation."""

    template_name = "django_sessions_plus/end_session.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask for confirmation."""
        return self.obstacle() or super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """End the session; if it is the current one, sign out."""
        current = self.current()
        if current is not None and current.pk == pk:
            return sign_out(request)
        obstacle = self.obstacle()
        if obstacle is None:
            self.report(sessions.revoke(self.session, actor=request.user))
        return obstacle or self.back()

    def obstacle(self) -> HttpResponse | None:
        """Find the session; return a redirect if it cannot be ended now, else None.

        Raises:
            Http404: there is no such session, or it belongs to another user.
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
        """Add a message whether the session was ended now, or had ended already."""
        device = {"device": Entry(self.session).name}
        if is_ended:
            text = gettext("%(device)s is signed out.") % device
            messages.success(self.request, text, fail_silently=True)
            warn_of_delay(self.request)
        else:
            text = gettext("%(device)s was signed out already.") % device
            messages.info(self.request, text, fail_silently=True)

    def back(self) -> HttpResponseRedirect:
        """Return a redirect to the page of the list that the user came from."""
        return HttpResponseRedirect(_list_address(self.request))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the session, and the URL of the list."""
        return super().get_context_data(
            entry=Entry(self.session), back=_list_address(self.request), **kwargs
        )


class EndOthersView(PersonalPageMixin, TemplateView):
    """End all of the user's sessions but the current one; by GET, ask for confirmation."""

    template_name = "django_sessions_plus/end_others.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask for confirmation; without other sessions, redirect to the list."""
        self.number = self.count()
        if not self.number and not may_be_unimported():
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
        """Add a message how many sessions have ended, and return a redirect to the list."""
        if ended:
            text = ngettext(
                "%(count)d other session is ended.", "%(count)d other sessions are ended.", ended
            ) % {"count": ended}
            messages.success(self.request, text, fail_silently=True)
            warn_of_delay(self.request)
        elif may_be_unimported():
            text = gettext("Browsers that are not in the list are signed out, too.")
            messages.success(self.request, text, fail_silently=True)
        else:
            text = gettext("There was no other session to end.")
            messages.info(self.request, text, fail_silently=True)
        return HttpResponseRedirect(reverse(DEVICES))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the number of sessions that would end."""
        return super().get_context_data(
            number=self.number,
            may_have_unlisted=may_be_unimported(),
            back=reverse(DEVICES),
            **kwargs,
        )


# Otherwise a user who is signed out already would have to sign in first.
@method_decorator(login_not_required, name="dispatch")
class SignOutView(PageMixin, RedirectURLMixin, View):
    """End the current session. With ``next``, redirect to sign-in and from there to ``next``."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign out."""
        return sign_out(request, self.get_redirect_url())


def _password_address() -> str:
    """Return the URL of the page for a new password, with the URL to return to; empty if there is none."""
    if config.PASSWORD_URL is None:
        return ""
    url = urlsplit(resolve_url(config.PASSWORD_URL))
    query = urlencode({REDIRECT_FIELD_NAME: reverse(DEVICES)})
    return urlunsplit(url._replace(query=f"{url.query}&{query}" if url.query else query))


def _list_address(request: HttpRequest) -> str:
    cursor = request.GET.get(keyset.PARAMETER, "")
    query = f"?{urlencode({keyset.PARAMETER: cursor})}" if keyset.parse(cursor) else ""
    return reverse(DEVICES) + query


def _ask_for_password(request: HttpRequest) -> HttpResponse:
    # The URL of this view: after the password, a GET of it asks for confirmation.
    return redirect_to_page(request, request.get_full_path(), default=CONFIRM_PASSWORD)
