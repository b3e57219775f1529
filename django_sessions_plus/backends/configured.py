"""A store of the configured engine, for what works with the engines of this package alone."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.exceptions import ConfigurationError


def new_store(token: str | None = None) -> SessionStore:
    """Return a store of ``SESSION_ENGINE``, not loaded: of the session of ``token``, or a new one.

    Raises:
        ConfigurationError: ``SESSION_ENGINE`` is not an engine of this package.
    """
    engine = import_module(settings.SESSION_ENGINE).SessionStore
    if not issubclass(engine, SessionStore):
        raise ConfigurationError(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, and tokens need an engine of this package:"
            " set it to 'django_sessions_plus.backends.db', or to one of your own that extends it."
        )
    store: SessionStore = engine(token)
    return store
