"""The admin of a session model: who is signed in where, at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth import get_permission_codename, get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from django_sessions_plus import wording
from django_sessions_plus.admin import cells, people, timeline
from django_sessions_plus.admin.ending import SECRET_COLUMNS, user_query
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
)
from django_sessions_plus.admin.issuing import IssueTokenMixin
from django_sessions_plus.admin.listing import ENDED_FIRST, BoundedPaginator, SessionChangeList

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

    _Base = admin.ModelAdmin[AbstractSession]
else:
    _Base = admin.ModelAdmin


class AbstractSessionAdmin(IssueTokenMixin, SignEveryoneOutMixin, _Base):
    """Show sessions and end them; register a subclass for a session model of your own.

    Read only. The model's view permission shows the sessions, the permission
    ``revoke_session`` ends them, and superusers may sign everyone out. ``issue_token`` starts
    one for a user and shows its token, once. Of those there are, neither token nor digest
    nor session data is ever read here.

    The order is that of the primary key, which is time-ordered: newest session first,
    from an index that exists anyway. Last activity has no index, for each update of it
    would have to write one; the sessions of one user are few and sorted by it.
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
                    ("access", "remember"),
                    "user_agent",
                )
            },
        ),
        (
            # Translators: points in time, above the dates of one session.
            _("Times"),
            {
                "fields": (
                    ("created_at", "authenticated_at"),
                    ("last_seen_at", "updated_at"),
                    "expires_at",
                )
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
        """Refuse: what happened is not edited. Who has the permission may end sessions."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let sessions go with their user, for who may delete users; nobody deletes them here.

        Django asks it for each session of a user who is about to be deleted.
        """
        opts = get_user_model()._meta
        permission = f"{opts.app_label}.{get_permission_codename('delete', opts)}"
        return obj is not None and request.user.has_perm(permission)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Refuse: end the session instead."""
        raise PermissionDenied

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow what the list's filters offer; Django would let a URL ask for any column's content."""
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
        """Return the sessions with their users, and without what nobody is to see."""
        rows = super().get_queryset(request)
        # Not joined, for the users may live in another database.
        return rows.defer(*SECRET_COLUMNS).prefetch_related("user")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[SessionChangeList]:
        """Return the list made for many rows."""
        return SessionChangeList

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Return the columns the search looks at; the names depend on the user model."""
        names = people.search_fields(get_user_model())
        return ["ip_address", *(f"user__{name}" for name in names)]

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Return the sessions of matching people and addresses; never a row twice."""
        return people.search(queryset, search_term), False

    def get_ordering(self, request: HttpRequest) -> Any:
        """Return newest first; for one user last activity first, of what has ended the last end."""
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
        """Show the list under what it is, and not "Select session to view"."""
        context: dict[str, Any] = {"title": capfirst(self.opts.verbose_name_plural)}
        if self.has_everyone_permission(request):
            context["session_links"] = {"everyone": self.url("everyone")}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    # One session

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show one session with the ways to end it, for those who may."""
        session = context["original"]
        context["title"] = wording.device_name(session.device)
        context["show_delete"] = False
        # The way to the user's other sessions is the link on the user.
        links = context["session_links"] = {}
        may_end = self.has_revoke_permission(request, session)
        if may_end and session.is_active():
            links["end"] = self.url("end", session.pk)
        if may_end and session.user_id is not None:
            links["end_all"] = self.url("end_all", session.user_id)
        now = timezone.now()
        ended_by = people.person(session.ended_by_id)
        story = timeline.events(session, now, ended_by and ended_by.get_username())
        context["timeline"] = [(event, cells.moment(event.at, now)) for event in story]
        return super().render_change_form(request, context, *args, **kwargs)

    # Columns

    @admin.display(description=_("device"))
    def device(self, session: AbstractSession) -> str:
        """Return the device, marked when it is the one that is looking."""
        return cells.device(session.device, is_current=getattr(session, "is_current", False))

    @admin.display(description=_("user"))
    def person(self, session: AbstractSession) -> str:
        """Return who is signed in, linked to all sessions of that user."""
        if session.user_id is None:
            return cells.EMPTY
        user = session.user
        name = str(session.user_id) if user is None else user.get_username()
        # Within the list its own address will do, and need not be found out fifty times.
        is_listed = hasattr(session, "is_current")
        link = user_query(session.user_id) if is_listed else self.list_url(session.user_id)
        return format_html('<a href="{}">{}</a>', link, name)

    @admin.display(description=_("state"))
    def state(self, session: AbstractSession) -> str:
        """Return the state, with the reason of an end."""
        return cells.state(session.status(), session.end_reason_label)

    @admin.display(description=_("last seen"), ordering="last_seen_at")
    def seen(self, session: AbstractSession) -> str:
        """Return the time of last activity."""
        return cells.moment(session.last_seen_at, timezone.now())

    @admin.display(description=_("signed in"), ordering="authenticated_at")
    def signed_in(self, session: AbstractSession) -> str:
        """Return the time of the last authentication."""
        return cells.moment(session.authenticated_at, timezone.now())

    @admin.display(description=_("expires"), ordering="expires_at")
    def expiry(self, session: AbstractSession) -> str:
        """Return when the session expires, or stopped."""
        return cells.moment(session.expires_at, timezone.now())

    @admin.display(description=_("kind of access"))
    def access(self, session: AbstractSession) -> str:
        """Return how it is used."""
        return str(session.access.label)

    @admin.display(description=_("end reason"))
    def reason(self, session: AbstractSession) -> str:
        """Return why the session ended, in words."""
        return session.end_reason_label or cells.EMPTY
