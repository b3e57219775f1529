"""Checks of the installation: engine, middleware, other apps."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.middleware import (
    AuthenticationMiddleware as DjangoAuthenticationMiddleware,
)
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.checks import Tags
from django.db import models

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.checks.lookups import engine_of, middleware, mounted_parts
from django_sessions_plus.checks.registry import Problems, check, problem
from django_sessions_plus.conf import config
from django_sessions_plus.middleware import AuthenticationMiddleware, SessionMiddleware

# Fields with a session key that are not called "session_key".
_OTHER_KEY_FIELDS = {"hitcount.hit": {"session"}}
_STOCK_ENGINES_ON_ROWS = {
    "django.contrib.sessions.backends.db",
    "django.contrib.sessions.backends.cached_db",
}
_UNSHARED_CACHES = {
    "django.core.cache.backends.dummy.DummyCache",
    "django.core.cache.backends.locmem.LocMemCache",
}


@check()
def check_engine() -> Problems:
    """Find an engine that does not import, or is not one of ours."""
    store = engine_of(SessionBase)
    if store is None:
        yield problem(
            "E008",
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, where there is no class SessionStore.",
            "Name a module, such as 'django_sessions_plus.backends.db'.",
        )
    elif issubclass(store, SessionStore):
        return
    elif mounted := mounted_parts():
        yield problem(
            "E030",
            f"The URLs of django_sessions_plus are mounted ({', '.join(mounted)}), and SESSION_ENGINE"
            f" is {settings.SESSION_ENGINE!r}: they answer nothing but 503.",
            "Set SESSION_ENGINE = 'django_sessions_plus.backends.db', or mount them when you do.",
        )
    else:
        yield problem(
            "W001",
            f"django_sessions_plus is installed, and SESSION_ENGINE is"
            f" {settings.SESSION_ENGINE!r}: sign-ins leave no rows that could be listed or ended.",
            "Set SESSION_ENGINE = 'django_sessions_plus.backends.db', or name an engine of your own"
            " that extends it.",
        )


@check()
def check_stock_table() -> Problems:
    """Find Django's own engine without the app that has its table."""
    is_stock = settings.SESSION_ENGINE in _STOCK_ENGINES_ON_ROWS
    if is_stock and not apps.is_installed("django.contrib.sessions"):
        yield problem(
            "E031",
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, and 'django.contrib.sessions' is not"
            " installed: every sign-in is an error 500.",
            "Set SESSION_ENGINE = 'django_sessions_plus.backends.db', which needs no other app.",
        )


@check()
def check_model() -> Problems:
    """Find an engine and a model that do not name each other."""
    store = engine_of(SessionStore)
    if store is None:
        return
    model: type[models.Model] = store.get_model_class()
    if not issubclass(model, AbstractSession):
        yield problem(
            "E009",
            f"{_path(store)} keeps its rows in {model._meta.label}, which is no session model.",
            "Let the model extend django_sessions_plus.base_session.AbstractSession.",
        )
    elif not _reads(model.get_session_store_class(), model):
        yield problem(
            "E009",
            f"{_path(store)} keeps its rows in {model._meta.label}, and that names another store.",
            f"Return {_path(store)} from {model.__name__}.get_session_store_class().",
        )


@check()
def check_session_middleware() -> Problems:
    """Find a session middleware that is missing, listed twice or not ours."""
    found = middleware(DjangoSessionMiddleware, "session")
    if len(found) > 1:
        yield problem(
            "E011",
            f"MIDDLEWARE has more than one session middleware: {', '.join(found)}.",
            f"Keep {_path(SessionMiddleware)} alone: each would load and save a session of its own.",
        )
    elif not found and engine_of(SessionStore):
        yield problem(
            "E010",
            "MIDDLEWARE has no session middleware: requests have no session.",
            f"Add {_path(SessionMiddleware)}, before the authentication middleware.",
        )
    elif not middleware(SessionMiddleware, "session") and engine_of(SessionStore):
        yield problem(
            "W002",
            f"{found[0]} serves the sessions of this engine: their expiry does not move with use,"
            " and last activity, IP address and user agent are not recorded.",
            f"Put {_path(SessionMiddleware)} in its place.",
        )


@check()
def check_authentication_middleware() -> Problems:
    """Find an authentication middleware that is listed twice, or is not ours beside our session middleware."""
    found = middleware(DjangoAuthenticationMiddleware, "user")
    if len(found) > 1:
        yield problem(
            "E013",
            f"MIDDLEWARE has more than one authentication middleware: {', '.join(found)}.",
            f"Keep {_path(AuthenticationMiddleware)} alone: the last one decides who the user is.",
        )
    elif (
        found
        and not middleware(AuthenticationMiddleware, "user")
        and middleware(SessionMiddleware, "session")
    ):
        yield problem(
            "W003",
            f"{found[0]} reads session and user with two queries, and keeps the user of a request"
            " whose session has ended.",
            f"Put {_path(AuthenticationMiddleware)} in its place: one query reads both.",
        )


@check()
def check_order() -> Problems:
    """Find a session middleware that comes after one that reads the session."""
    order = list(settings.MIDDLEWARE)
    sessions = middleware(DjangoSessionMiddleware, "session")
    readers = middleware(DjangoAuthenticationMiddleware, "user")
    if sessions and readers and order.index(sessions[0]) > order.index(readers[0]):
        yield problem(
            "E012",
            f"{sessions[0]} comes after {readers[0]}, which needs the session.",
            f"Move {sessions[0]} before {readers[0]}.",
        )


@check(Tags.security, Tags.models)
def check_copies_of_tokens() -> Problems:
    """Find apps that store session keys, because a session key is the raw token."""
    copies: dict[str, list[str]] = {}
    for model in apps.get_models():
        for field in _key_fields(model):
            copies.setdefault(model._meta.app_config.name, []).append(f"{model.__name__}.{field}")
    for app, fields in copies.items():
        yield problem(
            "W014",
            f"The app {app!r} has fields for session keys: {', '.join(fields)}. A session key opens"
            " the session, so a copy of that table is as good as the cookies.",
            "Keep the id of the session (request.session.row.id) instead, which opens nothing and"
            " outlives rotation. Silence this check if the field holds something else.",
        )


@check(Tags.security, deploy=True)
def check_throttle_cache() -> Problems:
    """Find caches in which each process counts attempts separately, or no process does."""
    backend = settings.CACHES.get("default", {}).get("BACKEND", "")
    if backend in _UNSHARED_CACHES and (config.rate("sign_in") or config.rate("reauthenticate")):
        yield problem(
            "I004",
            f"The default cache is {backend}: the API counts password attempts there, so each"
            " process counts for itself, or none does.",
            "Use a cache that all processes share, such as Redis or Memcached.",
        )


def _key_fields(model: type[models.Model]) -> Iterator[str]:
    # The primary key of another session engine's table never contains a token of this package.
    names = {"session_key", *_OTHER_KEY_FIELDS.get(model._meta.label_lower, ())}
    for field in model._meta.local_fields:
        is_text = isinstance(field, (models.CharField, models.TextField))
        if field.name in names and is_text and not field.primary_key:
            yield field.name


def _reads(store: Any, model: type[models.Model]) -> bool:
    return issubclass(store, SessionStore) and store.get_model_class() is model


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
