"""Checks of the import of sessions from another engine."""

from collections.abc import Collection
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, router, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.checks.lookups import engine_of
from django_sessions_plus.checks.registry import Problems, check, database_check, problem
from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.switching.sources.named import ENGINES, TOKENS, source_of
from django_sessions_plus.switching.sources.rows import RowSource
from django_sessions_plus.switching.sources.tokens import COLUMNS

_APP = "django_sessions_plus.switching"
# By its path, because it needs REST framework.
_IS_READ = "django_sessions_plus.contrib.tokens.is_read"
# Apps of engines whose sessions can be imported, and the name of each as a source.
_APPS = {
    "django.contrib.sessions": "django",
    "user_sessions": "user_sessions",
    "qsessions": "qsessions",
}


@check()
def check_import() -> Problems:
    """Find an import that cannot work: without its app, or from something that is no source."""
    if not config.IMPORT_FROM:
        return
    if not apps.is_installed(_APP):
        yield problem(
            "E036",
            f"{PREFIX}IMPORT_FROM is set, and {_APP!r} is not in INSTALLED_APPS: requests with a token"
            " that nobody knows are errors 500.",
            f"Add {_APP!r} to INSTALLED_APPS and migrate.",
        )
    for name in config.IMPORT_FROM:
        reason = _why_unusable(name)
        if reason is not None:
            yield problem(
                "E037",
                reason,
                "Leave the app of your previous engine, or of the tokens, installed, and name what SESSION_ENGINE was.",
            )


def _why_unusable(name: str) -> str | None:
    try:
        if name in TOKENS:
            import_module(TOKENS[name])
        else:
            source_of(name)
    except ConfigurationError as error:
        return str(error)
    except (ImportError, RuntimeError) as error:
        # A RuntimeError is Django's for a model whose app is not installed.
        return f"{PREFIX}IMPORT_FROM names {name!r}, and its tokens cannot be read: {error}"
    return None


@check()
def check_tokens_are_read() -> Problems:
    """Find packages whose tokens are to be imported, but are only read by their own classes."""
    for name in config.IMPORT_FROM:
        if name in COLUMNS and _why_unusable(name) is None and not import_string(_IS_READ)(name):
            yield problem(
                "W044",
                f"{PREFIX}IMPORT_FROM names {name!r}, and no view has the class that reads its tokens: they open"
                " no session, and are neither listed nor ended here.",
                f"Put {TOKENS[name]}.TokenAuthentication in the place of the package's class, in"
                " DEFAULT_AUTHENTICATION_CLASSES and in your views.",
            )


@check()
def check_import_database() -> Problems:
    """Find tables of the import that are in another database than the sessions."""
    store = engine_of(SessionStore)
    if store is None or not apps.is_installed(_APP):
        return
    alias = router.db_for_write(store.get_model_class())
    model = apps.get_model("django_sessions_plus_switching", "ImportedKey")
    if not router.allow_migrate_model(alias, model):
        yield problem(
            "E038",
            f"Sessions are written to the database {alias!r}, and DATABASE_ROUTERS keep the tables of {_APP}"
            " out of it: no session can be imported.",
            "Have your router treat the app django_sessions_plus_switching like django_sessions_plus.",
        )


@check()
def check_kept_source() -> Problems:
    """Find a previous store that is no longer told of the sessions that end here."""
    if config.IMPORT_KEEP_SOURCE and not config.IMPORT_FROM:
        yield problem(
            "W043",
            f"{PREFIX}IMPORT_KEEP_SOURCE has no effect without {PREFIX}IMPORT_FROM: sessions that end here"
            " stay in the previous store.",
            f"Leave {PREFIX}IMPORT_FROM set as long as you may go back; else remove both.",
        )


@database_check
def check_import_is_over(databases: Collection[str]) -> Problems:
    """Find sources from which nothing more will come."""
    if not config.IMPORT_FROM or engine_of(SessionStore) is None or not apps.is_installed(_APP):
        return
    alias = router.db_for_write(apps.get_model("django_sessions_plus_switching", "ImportedKey"))
    for name in config.IMPORT_FROM if alias in databases else ():
        if name not in TOKENS and _is_over(name, alias):
            yield problem(
                "I008",
                f"{PREFIX}IMPORT_FROM names {name!r}, from which nothing more will come: no session is left, or none"
                " was imported within SESSION_COOKIE_AGE. Each token that nobody knows still costs a query there.",
                "Remove the name, and clean up (docs/switching.md); if the source is kept, once you need no way back.",
            )


def _is_over(name: str, alias: str) -> bool:
    # Not imported above: its models need the app, which may not be installed.
    remaining: Any = import_module(f"{_APP}.remaining")
    source = source_of(name)
    try:
        with transaction.atomic(using=alias):
            last = remaining.last_imported_at(name, using=alias)
            is_empty = isinstance(source, RowSource) and not source.rows().exists()
    except DatabaseError:
        # The tables are not made yet: "migrate" runs the checks first.
        return False
    return bool(remaining.is_over(last, 0 if is_empty else None, timezone.now()))


@check()
def check_previous_engine() -> Problems:
    """Find another engine's app whose sessions are not imported."""
    if engine_of(SessionStore) is None:
        return
    for app, name in _APPS.items():
        if app in settings.INSTALLED_APPS and not _is_imported(app):
            yield problem(
                "I001",
                f"{app!r} is still installed, and its sessions are not imported. Its table keeps the keys of"
                " former sessions in clear, and no command purges it any more.",
                f"Set {PREFIX}IMPORT_FROM = [{name!r}] to import them (docs/switching.md); if you need neither them"
                " nor a way back, empty the table and remove the app.",
            )


def _is_imported(app: str) -> bool:
    """Return whether a source in ``SESSIONS_PLUS_IMPORT_FROM`` is an engine of ``app``."""
    return any(
        name == app or ENGINES.get(name, name).startswith(f"{app}.") for name in config.IMPORT_FROM
    )


@check()
def check_old_refresh_cookie() -> Problems:
    """Find a refresh cookie of dj-rest-auth with the name of ours."""
    name = getattr(settings, "REST_AUTH", {}).get("JWT_AUTH_REFRESH_COOKIE")
    if "simplejwt" in config.IMPORT_FROM and name == config.REFRESH_COOKIE_NAME:
        yield problem(
            "E039",
            f"{PREFIX}REFRESH_COOKIE_NAME and JWT_AUTH_REFRESH_COOKIE in REST_AUTH are both {name!r}. Their paths"
            " differ, so a browser keeps both cookies, and the old one hides ours: its user is signed out.",
            f"Set {PREFIX}REFRESH_COOKIE_NAME to another name.",
        )
