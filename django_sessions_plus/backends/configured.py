"""The configured engine and its stores, for what works with the engines of this package alone."""

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
    """Return within how many seconds every process refuses what this one has ended; None if all do by now."""
    store = own_engine()
    return None if store is None else store.invalidation_delay()


def report_invalidation_delay(report: Callable[[int], None]) -> None:
    """Call ``report`` with ``invalidation_delay()`` unless that is None; after the commit of a running transaction.

    For whoever has just ended sessions. A cache is told of it after the commit, so what a view with
    ATOMIC_REQUESTS asks before that says nothing.
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
    """Return a store of ``SESSION_ENGINE``, not loaded: of the session of ``token``, or a new one.

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
