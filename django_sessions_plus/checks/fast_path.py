"""Whether the statements that nearly every request runs can be compiled."""

from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.rows import Rows
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.checks.lookups import engine_of
from django_sessions_plus.checks.registry import Problems, check, problem
from django_sessions_plus.conf import PREFIX, config


@check()
def check_fast_path() -> Problems:
    """Find a Django in which something has changed that the fast path needs."""
    store = engine_of(SessionStore)
    if store is None or not config.FAST_PATH:
        return
    model = store.get_model_class()
    # Another model is an error of its own, which check_model() reports.
    error = Rows(model).compilation_error() if issubclass(model, AbstractSession) else None
    if error is not None:
        yield problem(
            "W042",
            "The fast path does not work with this version of Django"
            f" ({type(error).__name__}: {error}): the ORM is used instead, which takes longer.",
            "See whether a newer django-sessions-plus knows this Django. To accept it, set"
            f" {PREFIX}FAST_PATH = False.",
        )
