"""The Django app of the switch, whose tables ``migrate django_sessions_plus_switching zero`` drops."""

from contextlib import suppress
from importlib import import_module

from django.apps import AppConfig

from django_sessions_plus.exceptions import ConfigurationError


class SwitchingConfig(AppConfig):
    """Import sessions of another engine."""

    name = "django_sessions_plus.switching"
    label = "django_sessions_plus_switching"
    verbose_name = "Session import"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Watch the tokens of other packages in every process: one that is deleted must end its session."""
        # Not at import: the packages have models.
        named = import_module("django_sessions_plus.switching.sources.named")
        # A package that is missing is reported by check E037.
        with suppress(ImportError, RuntimeError, ConfigurationError):
            named.token_sources()
