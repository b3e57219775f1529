"""What is kept because settings seldom change, and has to go when one does: in tests, by ``override_settings``."""

from collections.abc import Callable

from django.core.signals import setting_changed


def on_setting_change(function: Callable[[], object], *names: str) -> None:
    """Call ``function`` after each change of a setting; of the settings ``names`` only, if any are given.

    Called while a module is imported, with a function that needs no argument. A project
    that runs never changes a setting, so nothing calls it there.
    """

    def receive(*, setting: str, **kwargs: object) -> None:
        if not names or setting in names:
            function()

    setting_changed.connect(receive, weak=False)
