"""What several checks look up in a project: its engine, the callables and the columns its settings name."""

from collections.abc import Iterable
from importlib import import_module
from typing import TypeVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.utils.module_loading import import_string

Store = TypeVar("Store", bound=SessionBase)


def engine_of(base: type[Store]) -> type[Store] | None:
    """Return the class of ``SESSION_ENGINE`` if it is a ``base``; None if not, or if it does not import."""
    try:
        store = import_module(settings.SESSION_ENGINE).SessionStore
    except (ImportError, AttributeError):
        return None
    return store if isinstance(store, type) and issubclass(store, base) else None


def is_callable_at(path: str) -> bool:
    """Tell whether ``path`` leads to something that can be called."""
    try:
        return callable(import_string(path))
    except ImportError:
        return False


def without_column(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that are no column of the user model."""
    columns = {field.name for field in get_user_model()._meta.concrete_fields}
    return [name for name in names if name not in columns]
