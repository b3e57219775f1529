"""Issue a token for a user from the admin: the permission, the page that shows it once, and the log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext, gettext_lazy

from django_sessions_plus import sessions
from django_sessions_plus.accounts import issuing
from django_sessions_plus.accounts.issuing import Issued
from django_sessions_plus.accounts.reauthentication import redirect_to_page
from django_sessions_plus.admin.ending import EndSessionsMixin
from django_sessions_plus.admin.forms import ONCE_FIELD, focus_first_error, once_key, use_once_key
from django_sessions_plus.admin.history import log_entry
from django_sessions_plus.admin.user_search import find_user
from django_sessions_plus.base_session import NAME_LENGTH, AbstractSession
from django_sessions_plus.conf import config, lifetimes
from django_sessions_plus.conf.kinds import LONGEST_DURATION
from django_sessions_plus.exceptions import SignInRefusedError
from django_sessions_plus.http.hidden import hide_posted
from django_sessions_plus.presentation import wording

_SENT_BEFORE = gettext_lazy(
    "Nothing was issued now: this form has been sent before. If its token was not shown to you,"
    " end that session. Send the form again for another token."
)


class IssueTokenForm(forms.Form):
    """The form for the kind of token, its name and how long it is valid."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=NAME_LENGTH,
        help_text=gettext_lazy("What it is for. Lists of sessions show it first."),
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
        max_value=LONGEST_DURATION.days,
        required=False,
        help_text=gettext_lazy(
            "It ends then, used or not. If empty, it lasts as long as it is used."
        ),
    )

    def clean_days(self) -> int | None:
        """Return the days.

        Raises:
            ValidationError: they are more than a session lasts.
        """
        days: int | None = self.cleaned_data["days"]
        limit = lifetimes.absolute_age(self.cleaned_data.get("transport", "bearer"))
        if days is not None and limit is not None and timedelta(days=days) > limit:
            text = gettext("Sessions last at most %(days)s days.")
            raise forms.ValidationError(text % {"days": f"{limit / timedelta(days=1):g}"})
        return days

    def expiry(self) -> timedelta | None:
        """Return how long the token is valid; None for as long as its session."""
        days: int | None = self.cleaned_data["days"]
        return None if days is None else timedelta(days=days)


class IssueTokenMixin(EndSessionsMixin):
    """Adds to an admin of sessions the page that issues tokens."""

    issue_token_template = "admin/django_sessions_plus/issue_token.html"

    def has_issue_permission(self, request: HttpRequest, user: Any = None) -> bool:
        """Return whether the request's user may issue tokens; with ``user`` given, for that one.

        Needs the permission ``django_sessions_plus.issue_token``, and never for a user with more
        permissions; see ``issuing.may_issue()``.
        """
        return issuing.may_issue(request.user, user)

    def get_urls(self) -> list[URLPattern]:
        """Add the page that issues a token."""
        view = hide_posted(self.admin_site.admin_view(self.issue_token_view))
        name = self.url_name("issue_token")
        return [path("issue-token/<path:user_id>/", view, name=name), *super().get_urls()]

    def issue_token_view(self, request: HttpRequest, user_id: str) -> HttpResponse:
        """Show the form; by POST, issue a token and show it once.

        Needs a fresh session, because the token outlives the session of the operator.

        Raises:
            PermissionDenied: the request's user may not issue a token for this user.
            Http404: there is no such user.
        """
        if not self.has_issue_permission(request):
            raise PermissionDenied
        user = find_user(unquote(user_id))
        if user is None:
            raise Http404
        if not self.has_issue_permission(request, user):
            raise PermissionDenied
        return self._page_if_fresh(request, user)

    def _page_if_fresh(self, request: HttpRequest, user: Any) -> HttpResponse:
        current = sessions.resolve(request)
        is_own = current is not None and current.user_id == request.user.pk
        if current is not None and is_own and current.is_fresh():
            form = IssueTokenForm(request.POST if request.method == "POST" else None)
            issued = None
            if form.is_bound and form.is_valid():
                issued = self._issue(request, user, form, current)
            focus_first_error(form)
            return self._page(request, user, form, issued)
        if config.REAUTHENTICATE_URL is not None:
            return redirect_to_page(request, request.get_full_path())
        return self._page(request, user, None, None)

    def _issue(
        self, request: HttpRequest, user: Any, form: IssueTokenForm, current: AbstractSession
    ) -> Issued | None:
        with transaction.atomic(using=router.db_for_write(type(current))):
            if not use_once_key(request, current):
                form.add_error(None, _SENT_BEFORE)
                return None
            chosen = form.cleaned_data
            try:
                issued = issuing.issue(
                    user,
                    transport=chosen["transport"],
                    name=chosen["name"],
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
            # In the transaction that starts the session, so that every issued token is in the log.
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
            "trail": self.trail(request),
            "form": form,
            "issued": issued,
            "expires": None if issued is None else wording.exactly(issued.session.expires_at),
            "once_field": ONCE_FIELD,
            "once": None if form is None or issued is not None else once_key(request),
            "session_url": self._session_url(request, issued),
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.issue_token_template, context)

    def _session_url(self, request: HttpRequest, issued: Issued | None) -> str | None:
        if issued is None or not self.has_view_permission(request):
            return None
        return self.url("change", issued.session.pk)
