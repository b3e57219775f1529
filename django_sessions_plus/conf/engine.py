"""The session engine of the project, as Django names it in ``SESSION_ENGINE``: ours or any other."""

from importlib import import_module

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase


def engine() -> type[SessionBase]:
    """Return the class ``SessionStore`` of the module that ``SESSION_ENGINE`` names.

    Raises:
        ImportError: there is no such module.
        AttributeError: the module has no ``SessionStore``.
    """
    store: type[SessionBase] = import_module(settings.SESSION_ENGINE).SessionStore
    return store
