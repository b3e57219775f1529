"""Sessions on the admin pages of users, without replacing the project's ``UserAdmin``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from django_sessions_plus import sessions
from django_sessions_plus.admin import cells
from django_sessions_plus.admin.ending import END_AT_ONCE, SECRET_COLUMNS, EndSessionsMixin
from django_sessions_plus.admin.issuing import IssueTokenMixin
from django_sessions_plus.backends.configured import own_engine

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Any]
else:
    _Base = object


# How many of a user's sessions the user's page shows.
SHOWN = 20


class UserSessionsMixin(_Base):
    """Show a user's sessions on the user's admin page.

    Adds the active sessions and buttons to the page (all sessions, end them all, issue a token), and
    the action ``end_all_sessions`` to the list::

        @admin.register(User)
        class MyUserAdmin(UserSessionsMixin, UserAdmin): ...

    An admin with its own ``actions`` has to list ``"end_all_sessions"`` there. The page keeps its
    template. Shows nothing on a site without an admin of sessions, or with another session engine.
    """

    actions = ["end_all_sessions"]

    def has_end_sessions_permission(self, request: HttpRequest) -> bool:
        """Return whether the request's user may end sessions; the sessions' admin decides."""
        session_admin = self._session_admin()
        return session_admin is not None and session_admin.has_revoke_permission(request)

    @admin.action(
        description=gettext_lazy("End all sessions of selected users"),
        permissions=["end_sessions"],
    )
    def end_all_sessions(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """End all sessions of the chosen users; for many, ask for confirmation first.

        More than ``END_AT_ONCE`` users are refused.
        """
        users = list(queryset[: END_AT_ONCE + 1])
        session_admin = self._session_admin()
        if len(users) > END_AT_ONCE:
            text = gettext("The sessions of at most %(count)d users can be ended at once.")
            messages.error(request, text % {"count": END_AT_ONCE})
        elif session_admin is not None:
            return session_admin.end_all_by_action(request, users)
        return None

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the buttons to the user's page."""
        response = super().render_change_form(request, context, *args, **kwargs)
        user, session_admin = context.get("original"), self._session_admin()
        if user is None or session_admin is None or not isinstance(response, TemplateResponse):
            return response
        links = {}
        if session_admin.has_view_permission(request):
            links["list"] = session_admin.list_url(user)
        if session_admin.may_end_sessions_of(request, user):
            links["end_all"] = session_admin.url("end_all", user.pk)
        if _may_issue(session_admin, request, user):
            links["issue_token"] = session_admin.url("issue_token", user.pk)
        response.context_data = {
            **(response.context_data or {}),
            "session_links": links,
            "sessions": _shown_sessions(session_admin, request, user),
            "wrapped_template": response.resolve_template(response.template_name),
        }
        response.template_name = "admin/django_sessions_plus/user_change_form.html"
        return response

    def _session_admin(self) -> EndSessionsMixin | None:
        engine = own_engine()
        # With another engine, the message that no session is active would be wrong.
        if engine is None or not self.admin_site.is_registered(engine.get_model_class()):
            return None
        session_admin = self.admin_site.get_model_admin(engine.get_model_class())
        return session_admin if isinstance(session_admin, EndSessionsMixin) else None


def _may_issue(session_admin: EndSessionsMixin, request: HttpRequest, user: Any) -> bool:
    # Compare the permissions of the two users only if the button can be shown at all.
    return (
        isinstance(session_admin, IssueTokenMixin)
        and getattr(user, "is_active", True)
        and session_admin.has_issue_permission(request, user)
    )


def _shown_sessions(session_admin: EndSessionsMixin, request: HttpRequest, user: Any) -> Any:
    """Return the user's active sessions for the page, the last seen first; None without the permission to see them."""
    if not session_admin.has_view_permission(request):
        return None
    rows = list(sessions.list_for(user).defer(*SECRET_COLUMNS)[: SHOWN + 1])
    now, current = timezone.now(), sessions.resolve(request)
    may_end = session_admin.may_end_sessions_of(request, user)
    return {
        "rows": [
            {
                "url": session_admin.url("change", row.pk),
                "device": cells.named(row, is_current=row == current),
                "address": row.ip_address or cells.EMPTY,
                "access": row.access.label,
                "seen": cells.time(row.last_seen_at, now),
                "end": session_admin.url("end", row.pk) if may_end else None,
            }
            for row in rows[:SHOWN]
        ],
        "is_more": len(rows) > SHOWN,
    }
