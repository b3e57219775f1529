"""The admin: list and end sessions.

Django imports it when ``django.contrib.admin`` is installed. ``Session`` is registered,
and hidden if the configured engine uses another model; for a model of your own register a subclass
of ``AbstractSessionAdmin``, and for your user model put ``UserSessionsMixin`` before your ``UserAdmin``.

Nothing here adds, edits or deletes a row. Ending a session signs out at once and keeps a record,
which deleting it would not; the purge deletes old rows.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from django_sessions_plus.admin.session_admin import AbstractSessionAdmin
from django_sessions_plus.admin.users import UserSessionsMixin
from django_sessions_plus.models import Session
from django_sessions_plus.sessions import session_model

__all__ = ["AbstractSessionAdmin", "SessionAdmin", "UserSessionsMixin"]


@admin.register(Session)
class SessionAdmin(AbstractSessionAdmin):
    """The admin of the package's own model; nobody has access while the engine uses another model.

    This is checked in each request, not at the registration: while apps load, the engine may not be
    importable yet, and an error in its path is reported by the system checks.
    """

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the app is listed."""
        return _is_in_use() and super().has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether sessions are shown."""
        return _is_in_use() and super().has_view_permission(request, obj)

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the request's user may end sessions."""
        return _is_in_use() and super().has_revoke_permission(request, obj)

    def has_everyone_permission(self, request: HttpRequest) -> bool:
        """Return whether the request's user may sign everyone out."""
        return _is_in_use() and super().has_everyone_permission(request)

    def has_issue_permission(self, request: HttpRequest, user: Any = None) -> bool:
        """Return whether the request's user may issue tokens."""
        return _is_in_use() and super().has_issue_permission(request, user)


def _is_in_use() -> bool:
    # With another model in use, this table would always be empty.
    return session_model() is Session
