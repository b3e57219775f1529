"""Drop values cached from settings when a setting changes, which happens only in tests: ``override_settings``."""

from collections.abc import Callable

from django.core.signals import setting_changed


def on_setting_change(function: Callable[[], object], *names: str) -> None:
    """Call ``function`` after each change of a setting; of the settings ``names`` only, if any are given.

    ``function`` takes no argument. Register it while its module is imported. In production no setting
    changes, so it is never called.
    """

    def receive(*, setting: str, **kwargs: object) -> None:
        if not names or setting in names:
            function()

    setting_changed.connect(receive, weak=False)
