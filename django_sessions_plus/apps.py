"""The Django app."""

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class SessionsPlusConfig(AppConfig):
    """Connect receivers and checks once the models are loaded."""

    name = "django_sessions_plus"
    verbose_name = _("Sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what needs loaded models."""
        # Imported here because they import models.
        from django_sessions_plus import checks, receivers, upkeep  # noqa: F401, PLC0415

        receivers.connect()
        upkeep.connect()
        if apps.is_installed("drf_spectacular"):
            # An extra: its extensions register themselves by being imported.
            from django_sessions_plus.api import schema  # noqa: F401, PLC0415
