"""The Django app."""

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class SessionsPlusConfig(AppConfig):
    """Connect receivers and checks once the models are loaded."""

    name = "django_sessions_plus"
    verbose_name = _("Sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect receivers and register checks."""
        # Imported here because they import models.
        from django_sessions_plus import checks  # noqa: F401, PLC0415
        from django_sessions_plus.accounts import receivers  # noqa: PLC0415
        from django_sessions_plus.backends.leasing import users  # noqa: PLC0415
        from django_sessions_plus.bulk import upkeep  # noqa: PLC0415

        receivers.connect()
        upkeep.connect()
        users.connect()
        if apps.is_installed("drf_spectacular"):
            # Optional: importing it registers its extensions of drf-spectacular.
            from django_sessions_plus.api import schema  # noqa: F401, PLC0415
