"""End sessions from the admin: the action, the confirmation pages, and the log entries.

Longer than other modules, because the actions and the pages end sessions by the same few methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, ngettext

from django_sessions_plus import sessions
from django_sessions_plus.admin import cells, results, superusers
from django_sessions_plus.admin.dashboard import at_least
from django_sessions_plus.admin.history import log_entry
from django_sessions_plus.admin.links import LinksMixin
from django_sessions_plus.admin.listing import count_in_time
from django_sessions_plus.admin.user_search import find_user
from django_sessions_plus.backends import importing

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

PERMISSION = "django_sessions_plus.revoke_session"
# Secrets and data are never shown in the admin, so they are not read.
SECRET_COLUMNS = ("session_data", "token_digest", "refresh_digest", "refresh_attempt")
END_AT_ONCE = 1000
SHOWN_BEFORE_ENDING = 10
ASK_ABOVE = 10
"""An action that ends more sessions than this asks for confirmation."""

_CONFIRMED = "confirmed"


class EndSessionsMixin(LinksMixin):
    """Adds to an admin of sessions the actions and the pages that end them."""

    actions = ["end_selected", "end_all_of_users"]
    end_confirmation_template = "admin/django_sessions_plus/end_confirmation.html"

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the request's user may end sessions; with ``obj`` given, that one.

        Needs the permission ``django_sessions_plus.revoke_session``, with every session model. Sessions
        of superusers are protected; see ``SESSIONS_PLUS_ADMIN_PROTECTS_SUPERUSERS``.
        """
        if not request.user.has_perm(PERMISSION):
            return False
        return obj is None or not superusers.is_session_protected_from(request.user, obj)

    def may_end_sessions_of(self, request: HttpRequest, user: Any) -> bool:
        """Return whether the request's user may end the sessions of ``user``."""
        return self.has_revoke_permission(request) and not superusers.is_protected_from(
            request.user, user
        )

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that end one session and all sessions of a user."""
        view = self.admin_site.admin_view
        return [
            path("end-all/<path:user_id>/", view(self.end_all_view), name=self.url_name("end_all")),
            path("<path:object_id>/end/", view(self.end_view), name=self.url_name("end")),
            *super().get_urls(),
        ]

    @admin.action(description=gettext_lazy("End selected sessions"), permissions=["revoke"])
    def end_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """End the chosen sessions; for more than ``ASK_ABOVE``, ask for confirmation first.

        More than ``END_AT_ONCE`` in one request are refused. Sessions that the user must not end are
        left out.
        """
        chosen = list(queryset.values_list("pk", "user_id")[: END_AT_ONCE + 1])
        if len(chosen) > END_AT_ONCE:
            text = gettext("At most %(count)d sessions can be ended at once.")
            messages.error(request, text % {"count": END_AT_ONCE})
            return None
        users = {user_id for _, user_id in chosen} - {None}
        protected = superusers.keys_protected_from(request.user, users)
        ids = [key for key, user_id in chosen if user_id not in protected]
        if len(ids) > ASK_ABOVE and (page := self._ask_first(request, self._active(pk__in=ids))):
            return page
        results.report_left(request, len(chosen) - len(ids))
        self.end(request, ids)
        return None

    @admin.action(
        description=gettext_lazy("End all sessions of the users of selected sessions"),
        permissions=["revoke"],
    )
    def end_all_of_users(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """End all sessions of the users that the chosen sessions belong to; anonymous ones are left out.

        More than ``END_AT_ONCE`` sessions, or users, are refused.
        """
        keys = list(queryset.values_list("user", flat=True)[: END_AT_ONCE + 1])
        if len(keys) > END_AT_ONCE:
            text = gettext("The users of at most %(count)d sessions can be signed out at once.")
            messages.error(request, text % {"count": END_AT_ONCE})
            return None
        users = get_user_model()._base_manager.filter(pk__in={*keys} - {None})
        return self.end_all_by_action(request, users)

    def end_all_by_action(self, request: HttpRequest, users: Iterable[Any]) -> HttpResponse | None:
        """End all sessions of these users; for more than ``ASK_ABOVE``, ask for confirmation first.

        Users whose sessions the request's user must not end are left out.
        """
        chosen = list(users)
        ours = [user for user in chosen if self.may_end_sessions_of(request, user)]
        keys = [user.pk for user in ours]
        if page := self._ask_first(request, self._active(user__in=keys)):
            return page
        if left := {user.pk for user in chosen} - {*keys}:
            count, is_more = count_in_time(self._active(user__in=left))
            results.report_left(request, count, is_more=is_more)
        self.end_all(request, ours)
        return None

    def end_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for confirmation; by POST, end one session.

        Raises:
            PermissionDenied: the request's user may not end it.
            Http404: there is no such session.
        """
        session = self.get_object(request, unquote(object_id))
        if not self.has_revoke_permission(request, session):
            raise PermissionDenied
        if session is None:
            raise Http404
        if request.method == "POST":
            self.end(request, [session.pk])
            return HttpResponseRedirect(self.url("changelist"))
        current = sessions.resolve(request)
        rows = [session] if session.is_active() else []
        return self._ask(
            request,
            title=gettext("End this session?"),
            rows=rows,
            counted=(len(rows), False),
            is_own=current is not None and current.pk == session.pk,
            back=self.url("change", session.pk),
            session=session,
        )

    def end_all_view(self, request: HttpRequest, user_id: str) -> HttpResponse:
        """Ask for confirmation; by POST, end all sessions of a user.

        Raises:
            PermissionDenied: the request's user may not end them.
            Http404: there is no such user.
        """
        user = find_user(unquote(user_id))
        if not self.may_end_sessions_of(request, user):
            raise PermissionDenied
        if user is None:
            raise Http404
        if request.method == "POST":
            self.end_all(request, [user])
            return HttpResponseRedirect(self.list_url(user))
        rows = sessions.list_for(user).defer(*SECRET_COLUMNS)
        title = gettext("End all sessions of %(user)s?") % {"user": user.get_username()}
        return self._ask(
            request,
            title=title,
            rows=list(rows[:SHOWN_BEFORE_ENDING]),
            counted=count_in_time(rows),
            is_own=user.pk == request.user.pk,
            back=self.list_url(user),
        )

    def end(self, request: HttpRequest, ids: Iterable[Any]) -> None:
        """End these sessions, log each, and add a message with their number."""
        # Read now: after the own session has ended, request.user is anonymous.
        actor: Any = request.user
        began = timezone.now()
        active = list(self._active(pk__in=[*ids]).values_list("pk", flat=True))
        count = sessions.revoke_many(active, actor=actor)
        # Another process may have ended some of them first; anonymous ones were deleted.
        rows = self.model._default_manager.for_writing().filter(pk__in=active)
        others = set(
            rows.exclude(ended_by=actor.pk, ended_at__gte=began).values_list("pk", flat=True)
        )
        LogEntry.objects.bulk_create(
            log_entry(actor, self.model, key, "Ended.") for key in active if key not in others
        )
        results.report_ended(request, count)

    def end_all(self, request: HttpRequest, users: Iterable[Any]) -> None:
        """End all sessions of these users, log it for each user, and add a message with their number."""
        actor: Any = request.user
        began = timezone.now()
        chosen = list(users)
        theirs = self.model._default_manager.for_writing().filter(
            user__in=[user.pk for user in chosen]
        )
        # Also those that were not imported yet from another engine.
        importing.forbid_earlier(chosen, theirs, partial(sessions.revoke_many, actor=actor))
        count = sessions.revoke_many(theirs, actor=actor)
        ended = theirs.filter(ended_by=actor.pk, ended_at__gte=began).order_by()
        LogEntry.objects.bulk_create(
            log_entry(actor, get_user_model(), key, f"Ended all sessions: {number}.")
            for key, number in ended.values_list("user").annotate(Count("pk"))
        )
        results.report_ended(request, count)

    def _active(self, **which: Any) -> Any:
        rows: Any = self.model._default_manager
        return rows.for_writing().active().filter(**which)

    def _ask_first(self, request: HttpRequest, rows: Any) -> HttpResponse | None:
        """Return the confirmation page of an action; None if there are few rows, or it was confirmed."""
        if _CONFIRMED in request.POST:
            return None
        count, is_more = count_in_time(rows)
        if count <= ASK_ABOVE and not is_more:
            return None
        current = sessions.resolve(request)
        shown = list(rows.newest_activity_first().defer(*SECRET_COLUMNS)[:SHOWN_BEFORE_ENDING])
        count = max(count, len(shown))
        title = ngettext("End %(count)d session?", "End %(count)d sessions?", count + 2 * is_more)
        return self._ask(
            request,
            title=results.with_number(title, count, is_more=is_more),
            rows=shown,
            counted=(count, is_more),
            is_own=current is not None and rows.filter(pk=current.pk).exists(),
            back=request.get_full_path(),
            hidden=_same_action(request),
        )

    def _ask(
        self,
        request: HttpRequest,
        *,
        title: str,
        rows: list[AbstractSession],
        counted: tuple[int, bool],
        is_own: bool,
        back: str,
        hidden: Iterable[tuple[str, str]] = (),
        session: AbstractSession | None = None,
    ) -> HttpResponse:
        now = timezone.now()
        count, is_more = counted
        more = max(count - SHOWN_BEFORE_ENDING, int(is_more))
        # A user who may end sessions, but not see them, must not see any device here either.
        shown = rows if self.has_view_permission(request) else []
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "trail": self.trail(request, session),
            "count": max(count, int(is_more)),
            "sessions": [
                (cells.named(row), row.ip_address, cells.time(row.last_seen_at, now))
                for row in shown
            ],
            "more": more + is_more,
            "shown_more": at_least(more, is_more),
            "is_own": is_own,
            "back": back,
            "hidden": hidden,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.end_confirmation_template, context)


def _same_action(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the form fields that run the action of this request again, confirmed."""
    chosen = request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)
    across = request.POST.get("select_across", "0")
    return [
        ("action", request.POST.get("action", "")),
        ("select_across", across),
        # Django requires one chosen row, even if all are selected.
        *((helpers.ACTION_CHECKBOX_NAME, key) for key in (chosen[:1] if across == "1" else chosen)),
        (_CONFIRMED, "yes"),
    ]
