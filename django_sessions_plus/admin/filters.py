"""The filters beside the list of sessions. None of them counts, and none lists the users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_sessions_plus.admin.people import has_field, of_people, person

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

Choices = list[tuple[str, Any]]


class StateFilter(SimpleListFilter):
    """By state. Without a choice the list shows who is signed in now, which is what one comes for."""

    title = _("state")
    parameter_name = "state"
    default = "active"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """Return the states, the default first."""
        return [
            (self.default, _("Active")),
            ("ended", _("Ended")),
            ("expired", _("Expired")),
            ("anonymous", _("Anonymous")),
            ("all", _("All")),
        ]

    def value(self) -> str:
        """Return the chosen state."""
        return super().value() or self.default

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the states alone: "All" is one of them, and not what an empty choice means."""
        for value, title in self.lookup_choices:
            chosen = None if value == self.default else value
            yield {
                "selected": value == self.value(),
                "query_string": changelist.get_query_string({self.parameter_name: chosen}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the sessions in that state; only "anonymous" and "all" show visits nobody signed in to."""
        match self.value():
            case "active":
                return queryset.active().filter(user__isnull=False)
            case "ended":
                return queryset.ended()
            case "expired":
                return queryset.expired().filter(user__isnull=False)
            case "anonymous":
                return queryset.active().filter(user=None)
            case "all":
                return queryset
            case _:
                raise IncorrectLookupParameters


class StaffFilter(SimpleListFilter):
    """By staff, where the user model stores who is staff."""

    title = _("staff")
    parameter_name = "staff"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """Return yes and no, or nothing, which hides the filter."""
        if not has_field(get_user_model(), "is_staff"):
            return []
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the sessions of staff, or of everybody else who is signed in."""
        if self.value() is None:
            return queryset
        if self.value() not in {"yes", "no"}:
            raise IncorrectLookupParameters
        return of_people(queryset, Q(is_staff=True), negated=self.value() == "no")


class UserFilter(SimpleListFilter):
    """By one user, whom a link names; shown only then, for a site may have millions."""

    title = _("user")
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """Return the one user the link names."""
        key = self.value()
        if key is None:
            return []
        user = person(key)
        return [(key, key if user is None else user.get_username())]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep that user's sessions; a key that cannot be one is an error, and not everybody."""
        if self.value() is None:
            return queryset
        try:
            return queryset.for_user(self.value())
        except (ValueError, ValidationError) as exc:
            raise IncorrectLookupParameters from exc
