"""How a check is written and registered. The checks are in the modules of their subjects; see ``docs/checks.md``."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from django.conf import settings
from django.core import checks

from django_sessions_plus.conf import PREFIX
from django_sessions_plus.exceptions import ConfigurationError

TAG = "django_sessions_plus"

Problems = Iterator[checks.CheckMessage]
Finder = Callable[[], Problems]
Check = Callable[..., list[checks.CheckMessage]]

_LEVELS = {"E": checks.Error, "W": checks.Warning, "I": checks.Info}


def check(*tags: str, deploy: bool = False) -> Callable[[Finder], Check]:
    """Register a generator of problems as a system check; ``deploy`` ones run with ``--deploy`` only.

    A check that meets a setting of the wrong type finds nothing: E001 reports it, and the value has to
    change anyway.
    """

    def decorate(find: Finder) -> Check:
        def run(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
            try:
                return list(find())
            except ConfigurationError:
                return []

        # Not wraps(): Django inspects the signature, and would see that of the generator.
        run.__name__, run.__doc__ = find.__name__, find.__doc__
        checks.register(run, TAG, *tags, deploy=deploy)
        return run

    return decorate


def database_check(find: Callable[[Collection[str]], Problems]) -> Check:
    """Register a generator of problems that queries, for ``check --database``; it gets the databases it may query."""

    def run(
        app_configs: Any = None, databases: Collection[str] | None = None, **kwargs: Any
    ) -> list[checks.CheckMessage]:
        try:
            return list(find(databases or ()))
        except ConfigurationError:
            return []

    run.__name__, run.__doc__ = find.__name__, find.__doc__
    checks.register(run, TAG, checks.Tags.database)
    return run


def problem(code: str, message: str, hint: str) -> checks.CheckMessage:
    """Return a message with the id ``django_sessions_plus.<code>``; the letter of the code is its level."""
    return _LEVELS[code[0]](message, hint=hint, id=f"{TAG}.{code}")


def is_set(name: str) -> bool:
    """Return whether the project sets ``SESSIONS_PLUS_<name>``, even to the default."""
    return bool(settings.is_overridden(PREFIX + name))  # type: ignore[misc]
