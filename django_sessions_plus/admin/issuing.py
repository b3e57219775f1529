"""Issuing a token for a user from the admin: who may, the page that shows it once, and the log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext, gettext_lazy

from django_sessions_plus import issuing, sessions
from django_sessions_plus.admin import once
from django_sessions_plus.admin.ending import EndSessionsMixin, log_entry
from django_sessions_plus.admin.people import person
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.devices import USER_AGENT_LENGTH
from django_sessions_plus.exceptions import SignInRefusedError
from django_sessions_plus.issuing import Issued
from django_sessions_plus.starting import LONGEST

_SENT_BEFORE = gettext_lazy(
    "Nothing was issued now: this form has been sent before. If its token was not shown to you,"
    " end that session. Send the form again for another token."
)


class IssueTokenForm(forms.Form):
    """What kind of token is wanted, what for and how long."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=USER_AGENT_LENGTH,
        help_text=gettext_lazy("What it is for. The list of sessions shows it as the device."),
    )
    transport = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=[
            ("bearer", gettext_lazy("Session token")),
            ("jwt", gettext_lazy("Access token and refresh token (JWT)")),
        ],
    )
    days = forms.IntegerField(
        label=gettext_lazy("Days"),
        min_value=1,
        max_value=LONGEST.days,
        required=False,
        help_text=gettext_lazy(
            "It ends then, used or not. If empty, it lasts as long as it is used."
        ),
    )

    def clean_days(self) -> int | None:
        """Return the days, at most as many as sessions last."""
        days: int | None = self.cleaned_data["days"]
        limit = config.ABSOLUTE_AGE
        if days is not None and limit is not None and timedelta(days=days) > limit:
            text = gettext("Sessions last at most %(days)s days.")
            raise forms.ValidationError(text % {"days": f"{limit / timedelta(days=1):g}"})
        return days

    def expiry(self) -> timedelta | None:
        """Return how long the token is to last, or None."""
        days: int | None = self.cleaned_data["days"]
        return None if days is None else timedelta(days=days)


class IssueTokenMixin(EndSessionsMixin):
    """What an admin of sessions needs to issue tokens."""

    issue_token_template = "admin/django_sessions_plus/issue_token.html"  # noqa: S105 - a path

    def has_issue_permission(self, request: HttpRequest, user: Any = None) -> bool:
        """Tell whether this person may issue tokens; with ``user`` given, for that one.

        By the permission ``django_sessions_plus.issue_token``, and never for somebody who
        may do more than they do; see ``issuing.may_issue()``.
        """
        return issuing.may_issue(request.user, user)

    def get_urls(self) -> list[URLPattern]:
        """Add the page that issues a token."""
        view = self.admin_site.admin_view(self.issue_token_view)
        name = self.url_name("issue_token")
        return [path("issue-token/<path:user_id>/", view, name=name), *super().get_urls()]

    def issue_token_view(self, request: HttpRequest, user_id: str) -> HttpResponse:
        """Ask what for, and by POST issue a token and show it, this once.

        Needs a fresh session: what is handed out here outlives the one it is asked in.
        """
        if not self.has_issue_permission(request):
            raise PermissionDenied
        user = person(unquote(user_id))
        if user is None:
            raise Http404
        if not self.has_issue_permission(request, user):
            raise PermissionDenied
        return self._asked_freshly(request, user)

    def _asked_freshly(self, request: HttpRequest, user: Any) -> HttpResponse:
        current = sessions.resolve(request)
        is_own = current is not None and current.user_id == request.user.pk
        if current is not None and is_own and current.is_fresh():
            form = IssueTokenForm(request.POST if request.method == "POST" else None)
            issued = None
            if form.is_bound and form.is_valid():
                issued = self._issued(request, user, form, current)
            return self._page(request, user, form, issued)
        if config.REAUTHENTICATE_URL is not None:
            return redirect_to_login(
                request.get_full_path(), resolve_url(config.REAUTHENTICATE_URL)
            )
        return self._page(request, user, None, None)

    def _issued(
        self, request: HttpRequest, user: Any, form: IssueTokenForm, current: AbstractSession
    ) -> Issued | None:
        with transaction.atomic(using=router.db_for_write(type(current))):
            if not once.is_first(request, current):
                form.add_error(None, _SENT_BEFORE)
                return None
            chosen = form.cleaned_data
            try:
                issued = issuing.issue(
                    user,
                    transport=chosen["transport"],
                    user_agent=chosen["name"],
                    expiry=form.expiry(),
                    actor=request.user,
                )
            except SignInRefusedError:
                form.add_error(None, gettext("This user is inactive or cannot sign in."))
                return None
            except ImproperlyConfigured as exc:
                text = gettext("Nothing was issued, because a setting has to be put right first:")
                form.add_error(None, f"{text} {exc}")
                return None
            message = f"Issued a token ({issued.transport}) of session {issued.session.pk}."
            # In the transaction of the session: there is none that is not in the log.
            log_entry(request.user, get_user_model(), user.pk, message).save()
        return issued

    def _page(
        self,
        request: HttpRequest,
        user: Any,
        form: IssueTokenForm | None,
        issued: Issued | None,
    ) -> HttpResponse:
        title = gettext("Issue a token for %(user)s") % {"user": user.get_username()}
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "form": form,
            "issued": issued,
            "once_field": once.FIELD,
            "once": None if form is None or issued is not None else once.mark(request),
            "session_url": self._session_url(request, issued),
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.issue_token_template, context)

    def _session_url(self, request: HttpRequest, issued: Issued | None) -> str | None:
        if issued is None or not self.has_view_permission(request):
            return None
        return self.url("change", issued.session.pk)
