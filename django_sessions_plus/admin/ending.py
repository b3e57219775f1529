"""Ending sessions from the admin: the action, the pages that ask first, and the log of it all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext, gettext_lazy, ngettext

from django_sessions_plus import sessions
from django_sessions_plus.admin import cells
from django_sessions_plus.admin.filters import UserFilter
from django_sessions_plus.admin.people import person

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

    _Base = admin.ModelAdmin[AbstractSession]
else:
    _Base = object

PERMISSION = "django_sessions_plus.revoke_session"
# Nobody is to see these, so they are not read.
SECRET_COLUMNS = ("session_data", "token_digest", "refresh_digest")
END_AT_ONCE = 1000
SHOWN_BEFORE_ENDING = 10


class EndSessionsMixin(_Base):
    """What an admin of sessions needs to end them."""

    actions = ["end_selected", "end_all_of_users"]
    end_confirmation_template = "admin/django_sessions_plus/end_confirmation.html"

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether this person may end sessions: by the permission of that name, whatever the model."""
        return request.user.has_perm(PERMISSION)

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that end one session and all sessions of a user."""
        view = self.admin_site.admin_view
        return [
            path("end-all/<path:user_id>/", view(self.end_all_view), name=self.url_name("end_all")),
            path("<path:object_id>/end/", view(self.end_view), name=self.url_name("end")),
            *super().get_urls(),
        ]

    def url_name(self, page: str) -> str:
        """Return the name of one of this admin's URLs, without the namespace."""
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def url(self, page: str, *args: Any) -> str:
        """Return the URL of one of this admin's pages."""
        name = f"{self.admin_site.name}:{self.url_name(page)}"
        return reverse(name, args=[quote(arg) for arg in args], current_app=self.admin_site.name)

    def list_url(self, user: Any) -> str:
        """Return the URL of the list of one user's sessions (an instance or its primary key)."""
        return self.url("changelist") + user_query(getattr(user, "pk", user))

    @admin.action(description=gettext_lazy("End selected sessions"), permissions=["revoke"])
    def end_selected(self, request: HttpRequest, queryset: Any) -> None:
        """End the chosen sessions; more than ``END_AT_ONCE`` in one request are refused."""
        ids = list(queryset.values_list("pk", flat=True)[: END_AT_ONCE + 1])
        if len(ids) > END_AT_ONCE:
            text = gettext("At most %(count)d sessions can be ended at once.")
            messages.error(request, text % {"count": END_AT_ONCE})
        else:
            self.end(request, ids)

    @admin.action(
        description=gettext_lazy("End all sessions of the users of selected sessions"),
        permissions=["revoke"],
    )
    def end_all_of_users(self, request: HttpRequest, queryset: Any) -> None:
        """End all sessions of the users whom the chosen ones belong to; those of nobody are passed over.

        More than ``END_AT_ONCE`` sessions, or users, are refused.
        """
        keys = list(queryset.values_list("user", flat=True)[: END_AT_ONCE + 1])
        if len(keys) > END_AT_ONCE:
            text = gettext("The users of at most %(count)d sessions can be signed out at once.")
            messages.error(request, text % {"count": END_AT_ONCE})
            return
        users = get_user_model()._base_manager.filter(pk__in={*keys} - {None})
        self.end_all(request, users)

    def end_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, and by POST end one session."""
        session = self._permitted(request, self.get_object(request, unquote(object_id)))
        if request.method == "POST":
            self.end(request, [session.pk])
            return HttpResponseRedirect(self.url("changelist"))
        current = sessions.resolve(request)
        rows = [session] if session.is_active() else []
        return self._ask(
            request,
            title=gettext("End this session?"),
            rows=rows,
            count=len(rows),
            is_own=current is not None and current.pk == session.pk,
            back=self.url("change", session.pk),
        )

    def end_all_view(self, request: HttpRequest, user_id: str) -> HttpResponse:
        """Ask, and by POST end all sessions of a user."""
        user = self._permitted(request, person(unquote(user_id)))
        if request.method == "POST":
            self.end_all(request, [user])
            return HttpResponseRedirect(self.list_url(user))
        rows = sessions.list_for(user).defer(*SECRET_COLUMNS)
        title = gettext("End all sessions of %(user)s?") % {"user": user.get_username()}
        return self._ask(
            request,
            title=title,
            rows=list(rows[:SHOWN_BEFORE_ENDING]),
            count=rows.count(),
            is_own=user.pk == request.user.pk,
            back=self.list_url(user),
        )

    def end(self, request: HttpRequest, ids: Iterable[Any]) -> None:
        """End these sessions, log each and tell how many those were."""
        # Ending one's own session leaves an anonymous user in the request.
        actor = request.user
        # One by one: revoke_many() tells how many it has ended, and the log is to say which.
        ended = [key for key in ids if sessions.revoke(key, actor=actor)]
        LogEntry.objects.bulk_create(log_entry(actor, self.model, key, "Ended.") for key in ended)
        self._tell(request, len(ended))

    def end_all(self, request: HttpRequest, users: Iterable[Any]) -> None:
        """End all sessions of these users, log it with each and tell how many those were."""
        actor = request.user
        counts = {user.pk: sessions.revoke_all(user, actor=actor) for user in users}
        LogEntry.objects.bulk_create(
            log_entry(actor, get_user_model(), key, f"Ended all sessions: {count}.")
            for key, count in counts.items()
            if count
        )
        self._tell(request, sum(counts.values()))

    def _permitted(self, request: HttpRequest, subject: Any) -> Any:
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        if subject is None:
            raise Http404
        return subject

    def _ask(
        self,
        request: HttpRequest,
        *,
        title: str,
        rows: list[AbstractSession],
        count: int,
        is_own: bool,
        back: str,
    ) -> HttpResponse:
        now = timezone.now()
        # Who may end sessions and not see them learns nothing of anybody's devices here either.
        shown = rows if self.has_view_permission(request) else []
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "count": count,
            "sessions": [
                (cells.device(row.device), row.ip_address, cells.moment(row.last_seen_at, now))
                for row in shown
            ],
            "more": max(count - SHOWN_BEFORE_ENDING, 0),
            "is_own": is_own,
            "back": back,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.end_confirmation_template, context)

    def _tell(self, request: HttpRequest, count: int) -> None:
        text = ngettext("%(count)d session was ended.", "%(count)d sessions were ended.", count)
        level = messages.SUCCESS if count else messages.WARNING
        messages.add_message(request, level, text % {"count": count})


def user_query(key: Any) -> str:
    """Return what the list's URL ends with when it shows the sessions of one user."""
    return f"?{urlencode({UserFilter.parameter_name: key})}"


def log_entry(actor: Any, model: type[Model], key: Any, message: str) -> LogEntry:
    """Return an entry of the admin's log, unsaved."""
    # Ids and numbers only: the log outlives both sessions and people. Not translated, for it
    # is read in other languages than it was written in.
    return LogEntry(
        user_id=actor.pk,
        content_type=ContentType.objects.get_for_model(model),
        object_id=str(key),
        object_repr=f"{model._meta.model_name} {key}",
        action_flag=CHANGE,
        change_message=message,
    )
