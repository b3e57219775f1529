"""The admin of a session model: who is signed in where.

Longer than other modules, because Django looks for all that an admin shows in one class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth import get_permission_codename, get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_sessions_plus.admin import cells, timeline, user_search
from django_sessions_plus.admin.bounds import ENDED_FIRST
from django_sessions_plus.admin.ending import SECRET_COLUMNS
from django_sessions_plus.admin.everyone import SignEveryoneOutMixin
from django_sessions_plus.admin.filters import (
    ENDED,
    AccessFilter,
    EndedFilter,
    ReasonFilter,
    SeenFilter,
    StaffFilter,
    StateFilter,
    UserFilter,
    user_query,
)
from django_sessions_plus.admin.issuing import IssueTokenMixin
from django_sessions_plus.admin.listing import BoundedPaginator, SessionChangeList
from django_sessions_plus.policy import Status
from django_sessions_plus.presentation import wording

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

    _Base = admin.ModelAdmin[AbstractSession]
else:
    _Base = admin.ModelAdmin

# Ending a session sets expires_at to ended_at, and the purge sets ended_at to expires_at: show only one of them.
_REPEATED_MOMENT = {Status.ENDED: "expires_at", Status.EXPIRED: "ended_at"}


def _time_zone() -> str:
    return gettext("In the time zone %(zone)s.") % {"zone": timezone.get_current_timezone_name()}


def _without(name: str | None, fields: Any) -> list[Any]:
    """Return the fields of a fieldset, and of its nested lines, without the one with this name."""
    return [
        _without(name, field) if isinstance(field, (list, tuple)) else field
        for field in fields
        if field != name
    ]


class AbstractSessionAdmin(IssueTokenMixin, SignEveryoneOutMixin, _Base):
    """Show sessions and end them; register a subclass for a session model of your own.

    Read only. The model's view permission is needed to see the sessions, ``revoke_session`` to end
    them; superusers may sign everyone out. With ``issue_token``, a session can be started for a user,
    and its token is shown once. Digests and session data of existing sessions are never read here.

    The order is that of the primary key, which is time-ordered: newest session first, from an index
    that exists anyway. Last activity has no index, because each update would have to write it; the
    sessions of one user are few and are sorted by it.
    """

    list_display: Any = (
        "device",
        "person",
        "state",
        "seen",
        "ip_address",
        "signed_in",
        "expiry",
    )
    list_display_links = ("device",)
    list_filter: ClassVar[Any] = (
        StateFilter,
        ReasonFilter,
        EndedFilter,
        AccessFilter,
        SeenFilter,
        StaffFilter,
        UserFilter,
    )
    list_per_page = 50
    ordering = ("-pk",)
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_help_text = _(
        "Part of a user name or e-mail address, an IP address, its beginning, or a network"
        " such as 192.0.2.0/24."
    )
    fieldsets: ClassVar[Any] = (
        (
            None,
            {
                "fields": (
                    ("person", "state"),
                    ("device", "ip_address"),
                    ("access", "transport"),
                    "remember",
                    "user_agent",
                )
            },
        ),
        (
            # Translators: points in time, above the dates of one session.
            _("Times"),
            {
                "description": lazy(_time_zone, str)(),
                "fields": (
                    ("created_at", "authenticated_at"),
                    "reauthentication_required",
                    ("last_seen_at", "updated_at"),
                    "expires_at",
                ),
            },
        ),
        # Translators: a heading, above when and why one session ended.
        (_("End"), {"fields": (("ended_at", "reason", "ended_by"),)}),
    )
    readonly_fields: ClassVar[Any] = ("person", "state", "device", "access", "reason")
    change_list_template = "admin/django_sessions_plus/change_list.html"
    change_form_template = "admin/django_sessions_plus/change_form.html"

    class Media:
        css = {"all": ["django_sessions_plus/admin.css"]}

    # Who may do what

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: a session comes from a sign-in."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a session is not edited; with the permission for it, it can be ended."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow it only as part of deleting a user, with the permission for that.

        Django calls this for each session of a user who is about to be deleted.
        """
        opts = get_user_model()._meta
        permission = f"{opts.app_label}.{get_permission_codename('delete', opts)}"
        return obj is not None and request.user.has_perm(permission)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Always raise ``PermissionDenied``: end the session instead."""
        raise PermissionDenied

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow what the list's filters offer; Django would let a URL query the content of any column."""
        offered = {
            getattr(
                entry, "parameter_name", entry[0] if isinstance(entry, (list, tuple)) else entry
            )
            for entry in self.get_list_filter(request)  # type: ignore[arg-type]
        }
        if not any(lookup == name or lookup.startswith(f"{name}__") for name in offered):
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    # The list

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the sessions with their users, without the secret columns."""
        rows = super().get_queryset(request)
        # No join: the users may be in another database.
        return rows.defer(*SECRET_COLUMNS).prefetch_related("user")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[SessionChangeList]:
        """Return a change list that is fast with many rows."""
        return SessionChangeList

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Return the columns that the search uses; their names depend on the user model."""
        names = user_search.search_fields(get_user_model())
        return ["ip_address", *(f"user__{name}" for name in names)]

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Return the sessions of matching users and addresses, without duplicates."""
        return user_search.search(queryset, search_term), False

    def get_ordering(self, request: HttpRequest) -> Any:
        """Return newest first; for one user, last activity first; for ended sessions, the last end first."""
        if UserFilter.parameter_name in request.GET:
            return ("-last_seen_at", "-pk")
        if request.GET.get(StateFilter.parameter_name) == ENDED:
            return ENDED_FIRST
        return super().get_ordering(request)

    def get_sortable_by(self, request: HttpRequest) -> Any:
        """Return the columns with an index, and for one user the times that have none."""
        if UserFilter.parameter_name in request.GET:
            return ("seen", "signed_in", "expiry")
        return ("expiry",)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list with a title of its own instead of "Select session to view"."""
        context: dict[str, Any] = {"title": capfirst(self.opts.verbose_name_plural)}
        if self.has_everyone_permission(request):
            context["session_links"] = {"everyone": self.url("everyone")}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    # One session

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show one session, with buttons to end it for users who may."""
        session = context["original"]
        context["title"] = wording.session_name(session)
        context["show_delete"] = False
        # The user's other sessions are linked from the user's name.
        links = context["session_links"] = {}
        may_end = self.has_revoke_permission(request, session)
        if may_end and session.is_active():
            links["end"] = self.url("end", session.pk)
        if may_end and session.user_id is not None:
            links["end_all"] = self.url("end_all", session.user_id)
        now = timezone.now()
        ended_by = user_search.find_user(session.ended_by_id)
        story = timeline.events(session, now, ended_by and ended_by.get_username())
        context["timeline"] = [(event, cells.time(event.at, now)) for event in story]
        return super().render_change_form(request, context, *args, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields, without the expiry of an ended session, and without the end of an expired one."""
        fieldsets = super().get_fieldsets(request, obj)
        hidden = _REPEATED_MOMENT.get(obj.status()) if obj is not None else None
        return [
            (name, {**options, "fields": _without(hidden, options["fields"])})
            for name, options in fieldsets
        ]

    # Columns

    @admin.display(description=_("device"))
    def device(self, session: AbstractSession) -> str:
        """Return the device, marked if it is that of the request."""
        return cells.named(session, is_current=getattr(session, "is_current", False))

    @admin.display(description=_("user"))
    def person(self, session: AbstractSession) -> str:
        """Return the user, linked to all sessions of that user."""
        if session.user_id is None:
            return cells.EMPTY
        user = session.user
        name = str(session.user_id) if user is None else user.get_username()
        # On the list, a relative URL is enough and saves fifty calls of reverse().
        is_listed = hasattr(session, "is_current")
        link = user_query(session.user_id) if is_listed else self.list_url(session.user_id)
        return format_html('<a href="{}">{}</a>', link, name)

    @admin.display(description=_("state"))
    def state(self, session: AbstractSession) -> str:
        """Return the state, with the reason of an end, or the timeout."""
        return cells.state(session.status(), session.end_reason_label)

    @admin.display(description=_("last seen"), ordering="last_seen_at")
    def seen(self, session: AbstractSession) -> str:
        """Return the time of last activity."""
        return cells.time(session.last_seen_at, timezone.now())

    @admin.display(description=_("signed in"), ordering="authenticated_at")
    def signed_in(self, session: AbstractSession) -> str:
        """Return the time of the last authentication."""
        return cells.time(session.authenticated_at, timezone.now())

    @admin.display(description=_("expires"), ordering="expires_at")
    def expiry(self, session: AbstractSession) -> str:
        """Return when the session expires, or expired; empty for one that was ended before."""
        # The column then holds the time of the end, which is shown as such.
        expires_at = None if session.status() is Status.ENDED else session.expires_at
        return cells.time(expires_at, timezone.now())

    @admin.display(description=_("kind of access"))
    def access(self, session: AbstractSession) -> str:
        """Return how it is used."""
        return str(session.access.label)

    @admin.display(description=_("end reason"))
    def reason(self, session: AbstractSession) -> str:
        """Return why the session ended or expired, in words."""
        return session.end_reason_label or cells.EMPTY
