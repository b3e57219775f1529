"""Users whose changes are announced by Django's signals: ``SESSIONS_PLUS_LEASE_USERS = "signals"``.

Signals tell of ``save()`` and ``delete()``. They miss ``QuerySet.update()``, ``bulk_update()``, raw SQL, and processes
without this setting; for these the age of a snapshot is the bound.
"""

from __future__ import annotations

from threading import local
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.models import signals

from django_sessions_plus.backends.leasing import announcing
from django_sessions_plus.backends.leasing.holds import ALL
from django_sessions_plus.conf import config
from django_sessions_plus.conf.changes import on_setting_change
from django_sessions_plus.exceptions import ConfigurationError

_UID = "django_sessions_plus.leasing.users"

_connected: list[tuple[Any, Any]] = []


class _Running(local):
    """The changes that a thread has begun outside of a transaction, by the id of the instance."""

    def __init__(self) -> None:
        self.changes: dict[int, list[announcing.Change]] = {}


_running = _Running()


def connect() -> None:
    """Connect the receivers of what is saved and deleted, or disconnect them, as the settings say."""
    while _connected:
        signal, model = _connected.pop()
        signal.disconnect(sender=model, dispatch_uid=_UID)
    if not _is_wanted():
        # Then the user model is not looked for either: a test of somebody else may have set one that there is not.
        return
    try:
        models = _models_of_users()
    except ImproperlyConfigured:
        # Django says so wherever the user model is needed, and without one nobody is signed in.
        return
    for model in models:
        for signal, receiver in (
            (signals.pre_save, _before_save),
            (signals.post_save, _after_save),
            (signals.pre_delete, _before_delete),
        ):
            signal.connect(receiver, sender=model, dispatch_uid=_UID)
            _connected.append((signal, model))


def _before_save(instance: Any, using: str, **kwargs: Any) -> None:
    if instance._state.adding and not instance.pk:
        return
    if connections[using].in_atomic_block:
        announcing.announce(_announcements(instance), using)
        return
    change = announcing.Change(_announcements(instance))
    # The signal after it is not sent if the save fails.
    change.begin(config.CACHE_AGE.total_seconds())
    _running.changes.setdefault(id(instance), []).append(change)


def _after_save(instance: Any, **kwargs: Any) -> None:
    for change in _running.changes.pop(id(instance), ()):
        change.end()


def _before_delete(instance: Any, using: str, **kwargs: Any) -> None:
    # Django deletes in a transaction, because this receiver is connected.
    announcing.announce(_announcements(instance), using)


def _announcements(instance: Any) -> tuple[str, ...]:
    """Return what announces this user to memories that know it by the text of its key."""
    field = get_user_model()._meta.pk
    value: Any = getattr(instance, field.attname, None)
    if field.remote_field is None:
        value = field.to_python(value)
    # A text may be written in another way here than in the database, where case may make no difference.
    is_exact = isinstance(value, (int, UUID)) and not isinstance(value, bool)
    return (f"u {value}",) if is_exact else (ALL,)


def _models_of_users() -> list[Any]:
    """Return the models that write to a table of users: also proxies, parents and children of the user model."""
    user = get_user_model()._meta
    tables = {user.concrete_model, *user.all_parents}
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if tables & {model._meta.concrete_model, *model._meta.all_parents}
    ]


def _is_wanted() -> bool:
    try:
        return config.LEASE_USERS == "signals" and announcing.is_needed()
    except ConfigurationError:
        # A system check reports it.
        return False


on_setting_change(
    connect, "SESSIONS_PLUS_LEASE_USERS", "SESSIONS_PLUS_LEASE_CHANNEL", "AUTH_USER_MODEL"
)
