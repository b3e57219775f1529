"""The admin of the demo's people, with their sessions within reach."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from django_sessions_plus.admin import UserSessionsMixin

admin.site.unregister(User)


@admin.register(User)
class PersonAdmin(UserSessionsMixin, UserAdmin):  # type: ignore[type-arg]
    """Django's page of a user, with two more buttons, and one more action in the list."""
