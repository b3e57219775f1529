"""The Django app of the switch, whose tables ``migrate django_sessions_plus_switching zero`` drops."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SwitchingConfig(AppConfig):
    """Import sessions of another engine."""

    name = "django_sessions_plus.switching"
    label = "django_sessions_plus_switching"
    verbose_name = _("Session import")
    default_auto_field = "django.db.models.BigAutoField"
