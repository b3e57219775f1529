"""The addresses of the pages that this package adds to an admin of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from django_sessions_plus.admin.filters import user_query
from django_sessions_plus.presentation import wording

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

    _Base = admin.ModelAdmin[AbstractSession]
else:
    _Base = object


class LinksMixin(_Base):
    """What an admin of sessions needs to name its own pages."""

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

    def trail(
        self, request: HttpRequest, session: AbstractSession | None = None
    ) -> list[tuple[str, str]]:
        """Return the breadcrumbs of a page, as name and URL, without those that the request's user may not see."""
        if not self.has_view_permission(request):
            return []
        found = [(str(capfirst(self.opts.verbose_name_plural)), self.url("changelist"))]
        if session is not None:
            name = wording.session_name(session)
            found.append((name, self.url("change", session.pk)))
        return found
