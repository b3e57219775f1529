"""A session store in either mode, driven by one set of verbs."""

from collections.abc import Mapping
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User

from django_sessions_plus.backends.db import SessionStore as DBStore
from django_sessions_plus.base_session import AbstractSession

# The store of the engine the suite runs on.
SessionStore: type[DBStore] = import_module(settings.SESSION_ENGINE).SessionStore


class SyncSession:
    """A store used by its synchronous methods; what is not a verb is the store's."""

    engine: type[DBStore] = SessionStore

    def __init__(self, token: str | None = None, meta: Mapping[str, Any] | None = None) -> None:
        self.store = self.engine(token)
        if meta is not None:
            self.store.meta = meta

    def set(self, key: Any, value: Any) -> None:
        self.store[key] = value

    @property
    def token(self) -> str:
        assert self.store.session_key is not None
        return self.store.session_key

    @property
    def row(self) -> AbstractSession:
        """The row as the store knows it."""
        assert self.store.row is not None
        return self.store.row

    @property
    def stored(self) -> AbstractSession:
        """The row as the database knows it."""
        return type(self.row).objects.get(pk=self.row.pk)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class AsyncSession(SyncSession):
    """A store used by its coroutines, wherever it has one."""

    def set(self, key: Any, value: Any) -> None:
        async_to_sync(self.store.aset)(key, value)

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self.store, f"a{name}", None)
        return async_to_sync(twin) if iscoroutinefunction(twin) else getattr(self.store, name)


def identity(user: User) -> dict[str, str]:
    """Return what Django's login() stores of a user."""
    return {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }


def sign_in(session: SyncSession, user: User) -> None:
    """Sign ``user`` in as a request does: Django's login(), our receiver, and the save at its end."""
    if session.get(SESSION_KEY) is None:
        session.cycle_key()
    session.update(identity(user))
    session.mark_authenticated(user)
    session.save()
