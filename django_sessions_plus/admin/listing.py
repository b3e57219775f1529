"""The list of sessions, made for a million rows: no full count, no order that needs a sort."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.functional import cached_property

from django_sessions_plus import sessions

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

COUNT_AT_MOST = 10_000


class BoundedPaginator(_Paginator):
    """Count to ``COUNT_AT_MOST`` and no further. What lies beyond is reached by search and filter."""

    @cached_property
    def count(self) -> int:
        """The number of rows, ``COUNT_AT_MOST`` at most."""
        return min(self._found, COUNT_AT_MOST)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than ``count`` says."""
        return self._found > COUNT_AT_MOST

    @cached_property
    def _found(self) -> int:
        # Newest first, whatever the list's order: unordered, the database would begin with the
        # oldest rows, of which few are active.
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by("-pk")[: COUNT_AT_MOST + 1].count()


class SessionChangeList(ChangeList):
    """Django's list, which sorts only by the columns it offers and knows the session that is looking."""

    paginator: BoundedPaginator

    def get_ordering_field(self, field_name: Any) -> Any:
        """Return what a column sorts by; None for a column that is not offered, whatever the URL says."""
        if self.sortable_by is not None and field_name not in self.sortable_by:
            return None
        return super().get_ordering_field(field_name)

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Return the order: each column once, the primary key in the direction of the first.

        Every index holds the key behind its columns, so that one index serves both.
        """
        columns: dict[str, Any] = {}
        for entry in super().get_ordering(request, queryset):
            columns.setdefault(str(entry).removeprefix("-"), entry)
        *ordering, key = columns.values()
        if ordering and key == "-pk" and not str(ordering[0]).startswith("-"):
            key = "pk"
        return [*ordering, key]

    def get_results(self, request: HttpRequest) -> None:
        """Read the page and mark the session of this request."""
        super().get_results(request)
        current = sessions.resolve(request)
        self.result_list = list(self.result_list)
        for row in self.result_list:
            row.is_current = current is not None and row.pk == current.pk
        if self.paginator.is_cut or not self.query:
            # Else the search form says how many were found, and knows only exact numbers.
            self.full_result_count = self.result_count

    @property
    def at_least(self) -> str:
        """How many rows there are when there are too many to count: "10,000+"."""
        return number_format(self.result_count, force_grouping=True) + "+"

    @property
    def shown_pages(self) -> Any:
        """The page numbers to link to."""
        return self.paginator.get_elided_page_range(self.page_num)
