"""Find a source by its name: a word for a well-known engine, or what ``SESSION_ENGINE`` was."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from typing import Any

from django.apps import apps
from django.contrib.sessions.backends.file import SessionStore as FileStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore
from django.db import models

from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.conf.changes import on_setting_change
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.switching.sources.base import KeptSource, Source
from django_sessions_plus.switching.sources.caches import CacheSource
from django_sessions_plus.switching.sources.cookies import SignedCookieSource
from django_sessions_plus.switching.sources.files import FileSource
from django_sessions_plus.switching.sources.rows import RowSource
from django_sessions_plus.switching.sources.tokens import MODELS, TokenSource

ENGINES = {
    # Its store also deletes the copies that its own cached_db keeps; the rows are the same.
    "django": "django.contrib.sessions.backends.cached_db",
    "cache": "django.contrib.sessions.backends.cache",
    "signed_cookies": "django.contrib.sessions.backends.signed_cookies",
    "file": "django.contrib.sessions.backends.file",
    "user_sessions": "user_sessions.backends.db",
    "qsessions": "qsessions.backends.cached_db",
}
"""The engines that have a short name in ``SESSIONS_PLUS_IMPORT_FROM``."""

TOKENS = {
    "authtoken": "django_sessions_plus.contrib.authtoken",
    "knox": "django_sessions_plus.contrib.knox",
    "simplejwt": "django_sessions_plus.contrib.simplejwt",
}
"""The other names there: packages whose tokens are imported, and the modules that read these tokens.

Such a token comes in a header, and is never looked for when a cookie is unknown.
"""

_COLUMNS = {"session_key", "session_data", "expire_date"}


def sources() -> list[Source]:
    """Return the sources of sessions that ``SESSIONS_PLUS_IMPORT_FROM`` names, in its order.

    Raises:
        ConfigurationError: an entry names no engine, or one from which nothing can be imported.
    """
    return [source_of(name) for name in config.IMPORT_FROM if name not in TOKENS]


@lru_cache(maxsize=16)
def source_of(name: str) -> Source:
    """Return the source with this name; raises like ``sources()``."""
    path = ENGINES.get(name, name)
    try:
        module = import_module(path)
        store_class: Any = module.SessionStore
        model = _model_of(module)
    except (ImportError, AttributeError, RuntimeError) as error:
        # A RuntimeError is Django's for a model whose app is not installed.
        raise ConfigurationError(
            f"{PREFIX}IMPORT_FROM names {name!r}, and {path} cannot be used: {error}"
        ) from error
    if model is not None and model._meta.app_label not in apps.app_configs:
        raise ConfigurationError(
            f"{PREFIX}IMPORT_FROM names {name!r}, whose app {model._meta.app_label!r} is not installed."
        )
    if model is not None and {each.name for each in model._meta.get_fields()} >= _COLUMNS:
        return RowSource(name, store_class, model)
    if hasattr(store_class, "cache_key_prefix"):
        return CacheSource(name, store_class)
    if getattr(store_class, "load", None) is SignedCookieStore.load:
        return SignedCookieSource(name, store_class)
    if isinstance(store_class, type) and issubclass(store_class, FileStore):
        return FileSource(name, store_class)
    raise ConfigurationError(
        f"{PREFIX}IMPORT_FROM names {name!r}, from which nothing can be imported: its SessionStore keeps"
        " sessions neither in a table, a cache, a signed cookie nor in files as Django's engines do."
    )


def token_sources() -> list[TokenSource]:
    """Return the tables of tokens that ``SESSIONS_PLUS_IMPORT_FROM`` names, each once.

    Raises:
        ImportError: a package is not installed.
    """
    named = [package for package in TOKENS if package in config.IMPORT_FROM]
    for package in named:
        import_module(TOKENS[package])
    found = {}
    for package, label in MODELS:
        # A project with a model of its own need not have that of the package.
        with suppress(LookupError):
            source = TokenSource(package, apps.get_model(label))
            if package in named and source.is_of_users:
                found[source.name] = source
    return list(found.values())


def kept_source_of(name: str) -> KeptSource:
    """Return the source that an ``ImportedKey`` names; for tokens, the name is ``package:app.Model``.

    Raises:
        ConfigurationError: it can no longer be used, because its app was removed, for example.
    """
    package, _, label = name.partition(":")
    if package not in TOKENS:
        return source_of(name)
    if not label:
        return _revoking_source(name)
    try:
        return TokenSource(package, apps.get_model(label))
    except (LookupError, ValueError) as error:
        raise ConfigurationError(f"The tokens of {name} cannot be found: {error}") from error


def _revoking_source(name: str) -> KeptSource:
    try:
        found: KeptSource = import_module(TOKENS[name]).RevokingSource(name)
    except (AttributeError, ImportError, RuntimeError) as error:
        raise ConfigurationError(f"The tokens of {name} cannot be revoked: {error}") from error
    return found


def _model_of(module: Any) -> type[models.Model] | None:
    """Return the model of an engine's rows: as Django's engines name it, or as a ``Session`` of its module."""
    store_class = module.SessionStore
    model: type[models.Model] | None = getattr(module, "Session", None)
    if hasattr(store_class, "get_model_class"):
        model = store_class.get_model_class()
    return model


on_setting_change(source_of.cache_clear)
