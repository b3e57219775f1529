"""The database session engine: ``SESSION_ENGINE = "django_sessions_plus.backends.db"``.

Every read and write of a session is one query. The module ``session`` says what a store does, ``rows`` how.

An engine of your own is a module with a class ``SessionStore`` that extends this one. It may override:

- ``get_model_class()``: the model of the rows, which extends ``AbstractSession``
- ``extra_columns(data)``: the values of columns of your own
- ``create_model_instance(data)``: a new row
- ``get_session_cookie_age()``: the idle timeout in seconds
- ``encode(session_dict)`` and ``decode(session_data)``: the data as text
- ``_get_new_session_key()``: a new token, 32 characters of ``[a-z0-9]``
- ``rows``: the ``Rows`` object that finds and writes rows
- ``invalidation_delay()``: for how many seconds another process may accept a session that this one has ended

and any method of Django's ``SessionBase``, if it calls the inherited one. Override both a method and its coroutine,
or neither: ``asave()`` runs the ``save()`` of this package in a thread, not yours. Everything else may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_sessions_plus.backends import session
from django_sessions_plus.bulk import purging

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.base_session import AbstractSession


class SessionStore(session.SessionStore):
    """Store sessions in the database. A row contains only the digest of its token."""

    @classmethod
    def get_model_class(cls) -> type[AbstractSession]:
        """Return the model of the rows."""
        # Not at import: the engine must be importable while apps are still loading.
        from django_sessions_plus.models import Session  # noqa: PLC0415

        return Session

    @classmethod
    def invalidation_delay(cls) -> int | None:
        """Return after how many seconds all processes refuse a session that this one has ended; None: they do already.

        Always None here, because every process reads the row at every request.
        """
        return None

    @classmethod
    def longest_lease(cls) -> float:
        """Return for how many seconds after the commit of an end another process may accept the session from memory.

        Always zero here.
        """
        return 0.0

    @classmethod
    def clear_expired(cls) -> None:
        """Delete expired anonymous rows, and sign-ins past their retention; wipe the data of other expired sign-ins."""
        purging.purge(cls().rows.query())

    @classmethod
    async def aclear_expired(cls) -> None:
        """See clear_expired()."""
        await purging.apurge(cls().rows.query())
