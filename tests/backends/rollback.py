"""Transactions that fail, and sessions to be used in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from tests.backends.drivers import SyncSession
from tests.conftest import OpenSession


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def view(session: SyncSession) -> SyncSession:
    """Return the session as a view uses it: views with a transaction are synchronous."""
    inside = SyncSession()
    inside.store = session.store
    return inside


def saved(open_session: OpenSession, **data: object) -> SyncSession:
    session = open_session()
    session.update(data)
    session.save()
    again = open_session(session.token)
    again.get("")
    return again
