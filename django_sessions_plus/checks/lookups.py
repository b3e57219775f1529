"""Lookups for several checks: the project's engine, and the callables and columns that its settings name."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from django_sessions_plus.backends import opened
from django_sessions_plus.conf.engine import engine

_PARTS = {
    "django_sessions_plus.urls": "django_sessions_plus:devices",
    "django_sessions_plus.api.urls": "django_sessions_plus_api:session",
    "django_sessions_plus.api.oauth_urls": "django_sessions_plus_oauth:introspect",
}

Store = TypeVar("Store", bound=SessionBase)


def engine_of(base: type[Store]) -> type[Store] | None:
    """Return the store class of ``SESSION_ENGINE`` if it is a ``base``; else None, also if it cannot be imported."""
    try:
        store = engine()
    except (ImportError, AttributeError):
        return None
    return store if isinstance(store, type) and issubclass(store, base) else None


def middleware(base: type[MiddlewareMixin], attribute: str) -> list[str]:
    """Return the paths in ``MIDDLEWARE`` of subclasses of ``base`` that set this attribute of the request.

    One that sets another attribute, with a cookie of its own, as djangosaml2's does, is none of them.
    Django itself reports one that cannot be imported.
    """
    return [path for path in settings.MIDDLEWARE if _sets_attribute(path, base, attribute)]


def _sets_attribute(path: str, base: type[MiddlewareMixin], attribute: str) -> bool:
    try:
        found = import_string(path)
    except ImportError:
        return False
    if not (isinstance(found, type) and issubclass(found, base)):
        return False
    request = HttpRequest()
    if attribute != "session":
        request.session = SessionBase()
    outside = opened.scope()
    try:
        instance: Any = found(lambda request: HttpResponse())
        instance.process_request(request)
    except Exception:  # noqa: BLE001 - a middleware of the project may raise anything
        return True
    finally:
        # The checks run in the thread of a command, which must not take this request for its own.
        opened.restore(outside)
    return hasattr(request, attribute)


def is_mounted(name: str) -> bool:
    """Return whether the project has mounted a URL with this name."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return False
    try:
        reverse(name)
    except NoReverseMatch:
        return False
    return True


def mounted_parts() -> list[str]:
    """Return which of the package's URL modules the project has mounted."""
    return [module for module, name in _PARTS.items() if is_mounted(name)]


def is_callable_at(path: str) -> bool:
    """Return whether ``path`` leads to a callable."""
    try:
        return callable(import_string(path))
    except ImportError:
        return False


def without_column(names: Iterable[str]) -> list[str]:
    """Return the ``names`` that are no columns of the user model."""
    columns = {field.name for field in get_user_model()._meta.concrete_fields}
    return [name for name in names if name not in columns]


def cache_values() -> dict[str, Any]:
    """Return the entry of ``CACHES`` for the cache of sessions; empty if there is none."""
    found: dict[str, Any] = settings.CACHES.get(settings.SESSION_CACHE_ALIAS, {})
    return found


def cache_of_sessions() -> type[BaseCache] | None:
    """Return the class of the cache of sessions; None if it cannot be imported."""
    try:
        found = import_string(cache_values().get("BACKEND", ""))
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, BaseCache) else None
