"""The list of sessions, for a million rows: no full count, no order that needs a sort, no long read."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.http import urlencode
from django.utils.translation import gettext

from django_sessions_plus import sessions, tokens
from django_sessions_plus.admin import bounds, dashboard, periods
from django_sessions_plus.admin.bounds import ENDED_FIRST
from django_sessions_plus.admin.dashboard import MAX_COUNT
from django_sessions_plus.admin.filters import ENDED, StateFilter, UserFilter
from django_sessions_plus.bulk.time_limit import TimeIsUpError, time_limit

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

# A placeholder for an id in a URL.
_SOME_ID = "00000000-0000-7000-8000-000000000000"

# Where the first session cannot be found in time, the date hierarchy begins so long ago.
_A_YEAR = timedelta(days=365)


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
    def first_page(self) -> list[Any]:
        """The rows of the first page, and one more if there is one."""
        return list(self.object_list[: self.per_page + 1])

    @cached_property
    def _found(self) -> int:
        # Few matches may take the whole table to find. Then the count would read it once more.
        if len(self.first_page) <= self.per_page:
            return len(self.first_page)
        return count_up_to(cast("QuerySet[Any]", self.object_list))


def count_up_to(rows: QuerySet[Any]) -> int:
    """Return how many rows there are, at most ``MAX_COUNT`` + 1."""
    # Newest first, even if the list has another order: without an order, the database would begin
    # with the oldest rows, of which few are active. Ended sessions have their own order.
    order = rows.query.order_by[:1] if ENDED_FIRST[0] in rows.query.order_by else ("-pk",)
    return rows.order_by(*order)[: MAX_COUNT + 1].count()


def count_in_time(rows: QuerySet[Any]) -> tuple[int, bool]:
    """Return how many rows there are, ``MAX_COUNT`` at most, and whether there are or may be more.

    If that takes too long, only those among the latest sessions are counted.
    """
    with suppress(TimeIsUpError), time_limit(rows.db, bounds.SECONDS):
        found = count_up_to(rows)
        return min(found, MAX_COUNT), found > MAX_COUNT
    with suppress(TimeIsUpError), time_limit(rows.db, bounds.LAST_SECONDS):
        return min(count_up_to(bounds.latest(rows)), MAX_COUNT), True
    return 0, True


class SessionChangeList(ChangeList):
    """Django's list, but sorted only by the columns it offers, and with the session of the request marked."""

    paginator: BoundedPaginator
    is_partial = False
    """Whether only the latest sessions were searched, because it would take too long to search all."""

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
        current = sessions.resolve(request)
        self._read_in_time(request)
        for row in self.result_list:
            row.is_current = current is not None and row.pk == current.pk
        if self.is_cut or not self.query:
            # Otherwise the search form would show an exact number, which is not known here.
            self.full_result_count = self.result_count

    def _read_in_time(self, request: HttpRequest) -> None:
        """Read the page; among the latest sessions only, if that takes too long."""
        with suppress(TimeIsUpError), time_limit(self.queryset.db, bounds.SECONDS):
            self._read(request)
            return
        self.is_partial = True
        # There may be fewer pages of these than the one that is asked for.
        too_much = (TimeIsUpError, IncorrectLookupParameters)
        with suppress(*too_much), time_limit(self.queryset.db, bounds.LAST_SECONDS):
            are_ended = self.params.get(StateFilter.parameter_name) == ENDED
            self.queryset = bounds.latest(self.queryset, self.period, are_ended=are_ended)
            self._read(request)
            return
        self.queryset, self.page_num = self.queryset.none(), 1
        self._read(request)

    def _read(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.multi_page:
            # Django shows the only page, whichever is asked for.
            self.page_num = 1
        if self.page_num == 1 and not self.show_all:
            # The paginator has read them to see whether there are more.
            self.result_list = self.paginator.first_page[: self.list_per_page]
        self.result_list = list(self.result_list)

    @property
    def is_cut(self) -> bool:
        """Whether there are, or may be, more rows than were counted."""
        return self.is_partial or self.paginator.is_cut

    @property
    def note(self) -> str:
        """What to say above the list if not all sessions were searched; else empty."""
        if not self.is_partial:
            return ""
        text = gettext(
            "Searching all sessions takes too long. These are among the latest %(count)s;"
            " choose a date or a user to find others."
        )
        return text % {"count": number_format(bounds.MAX_READ, force_grouping=True)}

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
        keys = self.root_queryset.order_by("pk").values_list("pk", flat=True)
        began: Any = timezone.now() - _A_YEAR
        # PostgreSQL steps over all that was deleted and not yet vacuumed.
        with suppress(TimeIsUpError), time_limit(keys.db, bounds.SECONDS):
            oldest = keys.first()
            began = None if oldest is None else tokens.made_at(oldest)
        return periods.hierarchy(self.period, began, self._began_link)

    def _active(self) -> tuple[int, bool]:
        # Without filters, the list shows the active sessions and has counted them.
        if not self.filter_params.keys() - {ORDER_VAR}:
            return self.result_count, self.is_cut
        return count_in_time(StateFilter.active(self.root_queryset))

    def _began_link(self, text: str | None) -> str:
        return self.get_query_string({periods.PARAMETER: text})

    @property
    def shown_pages(self) -> Any:
        """The page numbers to link to."""
        return self.paginator.get_elided_page_range(self.page_num)
