"""The admin: every session at a glance, and ended with one act.

Django imports it when ``django.contrib.admin`` is installed. ``Session`` is registered
unless the configured engine keeps its rows in another model; for a model of your own
register a subclass of ``AbstractSessionAdmin``, and for your user model put
``UserSessionsMixin`` before your ``UserAdmin``.

Nothing here adds, edits or deletes a row. Ending is the act: it signs out at once and
leaves a trace, while a deleted row leaves none; old rows go by the purge.
"""

from django.contrib import admin

from django_sessions_plus.admin.session_admin import AbstractSessionAdmin
from django_sessions_plus.admin.users import UserSessionsMixin
from django_sessions_plus.models import Session
from django_sessions_plus.sessions import session_model

__all__ = ["AbstractSessionAdmin", "SessionAdmin", "UserSessionsMixin"]


class SessionAdmin(AbstractSessionAdmin):
    """The admin of the package's own model."""


# A project whose engine has a model of its own would only ever see an empty table.
if session_model() is Session:
    admin.site.register(Session, SessionAdmin)
