"""The Django app of the switch, whose tables ``migrate django_sessions_plus_switching zero`` drops."""

from django.apps import AppConfig


class SwitchingConfig(AppConfig):
    """Import sessions of another engine."""

    name = "django_sessions_plus.switching"
    label = "django_sessions_plus_switching"
    verbose_name = "Session import"
    default_auto_field = "django.db.models.BigAutoField"
