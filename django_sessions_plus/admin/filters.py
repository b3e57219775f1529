"""The filters beside the list of sessions. None of them counts, and none lists the users."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_sessions_plus.admin.user_search import find_user, has_field, of_users
from django_sessions_plus.policy import Access, EndReason

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

Choices = list[tuple[str, Any]]

ENDED = "ended"
SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}


class ChoiceFilter(SimpleListFilter):
    """A filter with a few choices; with any other value in the URL, Django redirects to the list."""

    choices_offered: Choices = []

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """Return the choices."""
        return self.choices_offered

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Filter the sessions by the chosen value; unchanged if there is none.

        Raises:
            IncorrectLookupParameters: the value is none of the choices.
        """
        value = self.value()
        if value is None:
            return queryset
        if value not in dict(self.lookup_choices):
            raise IncorrectLookupParameters
        return self.narrow(queryset, value)

    def narrow(self, queryset: Any, value: str) -> Any:
        """Filter the sessions by ``value``, which is one of the choices."""
        raise NotImplementedError


class StateFilter(ChoiceFilter):
    """Filter by state; by default, active sessions of users."""

    title = _("state")
    parameter_name = "state"
    default = "active"
    choices_offered = [
        (default, pgettext_lazy("sessions", "Active")),
        (ENDED, pgettext_lazy("sessions", "Ended")),
        ("expired", pgettext_lazy("sessions", "Expired")),
        ("users", pgettext_lazy("sessions", "All of users")),
        ("anonymous", pgettext_lazy("sessions", "Anonymous")),
        ("all", pgettext_lazy("sessions", "All")),
    ]

    def value(self) -> str:
        """Return the chosen state."""
        return super().value() or self.default

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the states only: "All" is one of them, not the empty choice as in Django."""
        for value, title in self.lookup_choices:
            chosen = None if value == self.default else value
            yield {
                "selected": value == self.value(),
                # The filters about the end would exclude every session that has not ended.
                "query_string": changelist.get_query_string(
                    {self.parameter_name: chosen},
                    remove=[] if value == ENDED else [spec.parameter_name for spec in ABOUT_ENDS],
                ),
                "display": title,
            }

    @staticmethod
    def active(queryset: Any) -> Any:
        """Keep the active sessions of users."""
        return queryset.active().filter(user__isnull=False)

    def narrow(self, queryset: Any, value: str) -> Any:
        """Keep the sessions in that state; only "anonymous" and "all" show anonymous sessions."""
        match value:
            case "active":
                return self.active(queryset)
            case "ended":
                # Ending a session sets expires_at too, and that column has an index.
                return queryset.ended().filter(expires_at__lte=timezone.now())
            case "expired":
                return queryset.expired().filter(user__isnull=False)
            case "users":
                return queryset.filter(user__isnull=False)
            case "anonymous":
                return queryset.active().filter(user=None)
        return queryset


class EndFilter(ChoiceFilter):
    """The base class of filters about the end of a session; shown only while ended sessions are listed."""

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """Return the choices; none, which hides the filter, unless ended sessions are listed or it is in use."""
        is_asked = self.value() is not None or request.GET.get(StateFilter.parameter_name) == ENDED
        return self.choices_offered if is_asked else []


class ReasonFilter(EndFilter):
    """Filter by end reason."""

    title = _("end reason")
    parameter_name = "reason"
    choices_offered = [*EndReason.choices, ("other", _("another reason"))]

    def narrow(self, queryset: Any, value: str) -> Any:
        """Keep the sessions that ended for that reason; "other" stands for all reasons of the project."""
        if value == "other":
            return queryset.ended().exclude(end_reason__in=EndReason.values)
        return queryset.ended().filter(end_reason=value)


class EndedFilter(EndFilter):
    """Filter by the time of the end."""

    title = _("ended")
    parameter_name = "ended"
    choices_offered = [("day", _("Past 24 hours")), ("week", _("Past 7 days"))]

    def narrow(self, queryset: Any, value: str) -> Any:
        """Keep the sessions that ended in that time; ``expires_at`` has an index, and is the time of the end."""
        return queryset.ended().filter(expires_at__gt=timezone.now() - SPANS[value])


ABOUT_ENDS = (ReasonFilter, EndedFilter)


class AccessFilter(ChoiceFilter):
    """Filter by how the session is used; see ``policy.access()``."""

    title = _("kind of access")
    parameter_name = "access"
    choices_offered = list(Access.choices)

    def narrow(self, queryset: Any, value: str) -> Any:
        """Keep the sessions that are used in that way."""
        return queryset.used_by(Access(value))


class SeenFilter(ChoiceFilter):
    """Filter by last activity."""

    title = _("last seen")
    parameter_name = "seen"
    choices_offered = [
        ("hour", _("Past hour")),
        ("day", _("Past 24 hours")),
        ("week", _("Past 7 days")),
        ("before", _("More than 7 days ago")),
    ]

    def narrow(self, queryset: Any, value: str) -> Any:
        """Keep the sessions that were last seen in that time; "before" means more than a week ago."""
        now = timezone.now()
        if value == "before":
            return queryset.filter(last_seen_at__lte=now - SPANS["week"])
        return queryset.filter(last_seen_at__gt=now - SPANS[value])


class StaffFilter(ChoiceFilter):
    """Filter by whether the user is staff, if the user model has that column; Django's own filter would join."""

    title = _("staff")
    parameter_name = "staff"
    choices_offered = [("yes", _("Yes")), ("no", _("No"))]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """Return yes and no; nothing, which hides the filter, if the user model has no such column."""
        return self.choices_offered if has_field(get_user_model(), "is_staff") else []

    def narrow(self, queryset: Any, value: str) -> Any:
        """Keep the sessions of staff, or of everybody else who is signed in."""
        return of_users(queryset, Q(is_staff=True), negated=value == "no")


class UserFilter(ChoiceFilter):
    """Filter by the user whom a link names. It does not list users to choose from: a site may have millions."""

    title = _("user")
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """Return the one user the link names."""
        key = self.value()
        if key is None:
            return []
        user = find_user(key)
        return [(key, key if user is None else user.get_username())]

    def narrow(self, queryset: Any, value: str) -> Any:
        """Keep the sessions of that user.

        Raises:
            IncorrectLookupParameters: the value cannot be a primary key of the user model.
        """
        try:
            return queryset.for_user(value)
        except (ValueError, ValidationError) as exc:
            raise IncorrectLookupParameters from exc


def user_query(key: Any) -> str:
    """Return the query string of the list that shows the sessions of one user."""
    return f"?{urlencode({UserFilter.parameter_name: key})}"
