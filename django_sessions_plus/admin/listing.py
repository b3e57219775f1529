"""The list of sessions, for a million rows: no full count, and no order that needs a sort."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.http import urlencode

from django_sessions_plus import sessions, tokens
from django_sessions_plus.admin import dashboard, periods
from django_sessions_plus.admin.dashboard import MAX_COUNT
from django_sessions_plus.admin.filters import StateFilter, UserFilter

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

# A placeholder for an id in a URL.
_SOME_ID = "00000000-0000-7000-8000-000000000000"

ENDED_FIRST = ("-expires_at", "-pk")
"""The order of ended sessions: the last end first, from an index."""


class BoundedPaginator(_Paginator):
    """Count at most ``MAX_COUNT`` rows. Rows beyond that can be found by search and filter."""

    @cached_property
    def count(self) -> int:
        """The number of rows, ``MAX_COUNT`` at most."""
        return min(self._found, MAX_COUNT)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than ``count``."""
        return self._found > MAX_COUNT

    @cached_property
    def _found(self) -> int:
        return count_up_to(cast("QuerySet[Any]", self.object_list))


def count_up_to(rows: QuerySet[Any]) -> int:
    """Return how many rows there are, at most ``MAX_COUNT`` + 1."""
    # Newest first, even if the list has another order: without an order, the database would begin
    # with the oldest rows, of which few are active. Ended sessions have their own order.
    order = rows.query.order_by[:1] if ENDED_FIRST[0] in rows.query.order_by else ("-pk",)
    return rows.order_by(*order)[: MAX_COUNT + 1].count()


class SessionChangeList(ChangeList):
    """Django's list, but sorted only by the columns it offers, and with the session of the request marked."""

    paginator: BoundedPaginator

    def get_ordering_field(self, field_name: Any) -> Any:
        """Return what a column sorts by; None for a column that is not offered, even if the URL names it."""
        if self.sortable_by is not None and field_name not in self.sortable_by:
            return None
        return super().get_ordering_field(field_name)

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Return the order: each column once, the primary key in the direction of the first.

        Every index contains the key after its columns, so one index serves both.
        """
        columns: dict[str, Any] = {}
        for entry in super().get_ordering(request, queryset):
            columns.setdefault(str(entry).removeprefix("-"), entry)
        *ordering, key = columns.values()
        if ordering and key == "-pk" and not str(ordering[0]).startswith("-"):
            key = "pk"
        return [*ordering, key]

    def get_filters_params(self, params: Any = None) -> Any:
        """Return the parameters without that of the date hierarchy, which is no filter of the sidebar."""
        found = super().get_filters_params(params)
        found.pop(periods.PARAMETER, None)
        return found

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        """Return the sessions of the chosen period that match the filters and the search."""
        self.period = periods.parse(self.params.get(periods.PARAMETER))
        return self.period.narrow(super().get_queryset(request, exclude_parameters))

    def get_results(self, request: HttpRequest) -> None:
        """Read the page and mark the session of this request."""
        super().get_results(request)
        current = sessions.resolve(request)
        self.result_list = list(self.result_list)
        for row in self.result_list:
            row.is_current = current is not None and row.pk == current.pk
        if self.paginator.is_cut or not self.query:
            # Otherwise the search form would show an exact number, which is not known here.
            self.full_result_count = self.result_count

    def url_for_result(self, result: Any) -> str:
        """Return the URL of a session's page; only the id differs between rows, so reverse() is called once."""
        return self._url_of_all.replace(_SOME_ID, str(result.pk))

    @cached_property
    def _url_of_all(self) -> str:
        return super().url_for_result(self.model(pk=_SOME_ID))

    @property
    def at_least(self) -> str:
        """How many rows there are when there are too many to count: "10,000+"."""
        return dashboard.at_least(self.result_count, is_more=True)

    def cards(self) -> list[tuple[dashboard.Card, str]]:
        """Return the counts above the list, of all sessions that the request's user may see, with their links.

        Empty for the result of a search, or for the sessions of one user.
        """
        if self.query or UserFilter.parameter_name in self.params:
            return []
        found = dashboard.cards(self.root_queryset, timezone.now(), self._active)
        return [(card, "?" + urlencode(card.parameters)) for card in found]

    def hierarchy(self) -> dict[str, Any]:
        """Return what the template of the date hierarchy shows; one query, for the oldest session."""
        oldest = self.root_queryset.order_by("pk").values_list("pk", flat=True).first()
        began = None if oldest is None else tokens.made_at(oldest)
        return periods.hierarchy(self.period, began, self._began_link)

    def _active(self) -> tuple[int, bool]:
        # Without filters, the list shows the active sessions and has counted them.
        if not self.filter_params.keys() - {ORDER_VAR}:
            return self.paginator.count, self.paginator.is_cut
        found = count_up_to(StateFilter.active(self.root_queryset))
        return found, found > MAX_COUNT

    def _began_link(self, text: str | None) -> str:
        return self.get_query_string({periods.PARAMETER: text})

    @property
    def shown_pages(self) -> Any:
        """The page numbers to link to."""
        return self.paginator.get_elided_page_range(self.page_num)
