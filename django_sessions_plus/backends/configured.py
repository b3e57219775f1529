"""The engine in ``SESSION_ENGINE`` and its stores, for code that only works with the engines of this package."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db import router, transaction

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf.engine import engine
from django_sessions_plus.exceptions import ConfigurationError


def own_engine() -> type[SessionStore] | None:
    """Return the store class of ``SESSION_ENGINE`` if it is an engine of this package, or extends one; else None.

    Raises:
        ImportError, AttributeError: ``SESSION_ENGINE`` names no engine.
    """
    store = engine()
    return store if issubclass(store, SessionStore) else None


def invalidation_delay() -> int | None:
    """Return after how many seconds all processes refuse a session that this one has ended; None: they do already."""
    store = own_engine()
    return None if store is None else store.invalidation_delay()


def report_invalidation_delay(report: Callable[[int], None]) -> None:
    """Call ``report`` with ``invalidation_delay()``, unless that is None, after the commit of a running transaction.

    For code that has just ended sessions. The cache is only invalidated after the commit, so a view with
    ATOMIC_REQUESTS cannot know the delay before that.
    """
    store = own_engine()
    if store is None:
        return

    def ask() -> None:
        within = store.invalidation_delay()
        if within is not None:
            report(within)

    transaction.on_commit(ask, using=router.db_for_write(store.get_model_class()))


def new_store(token: str | None = None) -> SessionStore:
    """Return a store of ``SESSION_ENGINE`` for the session with this ``token``, not loaded; without one, a new store.

    Raises:
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    store = own_engine()
    if store is None:
        raise ConfigurationError(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, and tokens need an engine of this package:"
            " set it to 'django_sessions_plus.backends.db', or to one of your own that extends it."
        )
    return store(token)
