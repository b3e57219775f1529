"""The admin twice: as it registers itself, and made of unfold's own class as its guide says."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.urls import path
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from django_sessions_plus.admin import AbstractSessionAdmin, SessionAdmin, UserSessionsMixin
from django_sessions_plus.models import Session


class DressedSessionAdmin(AbstractSessionAdmin, ModelAdmin):  # type: ignore[misc]
    """Ours, and theirs behind it."""


class PersonAdmin(UserSessionsMixin, UserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]
    """Users, likewise."""


def site(name: str, session_admin: Any) -> UnfoldAdminSite:
    found = UnfoldAdminSite(name=name)
    found.register(Session, session_admin)
    found.register(User, PersonAdmin)
    return found


urlpatterns = [
    path("admin/", admin.site.urls),
    path("plain/", site("plain", SessionAdmin).urls),
    path("dressed/", site("dressed", DressedSessionAdmin).urls),
]
