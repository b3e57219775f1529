"""Which sessions the running request, ASGI scope or task has opened, for code that has no access to the request.

When a user's password is saved, only these sessions may stay. A context variable holds them, in
an immutable tuple of weak references: threads of WSGI servers and task queues use one context
for many requests, so a session must not stay here after its request.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import ReferenceType, ref

# A task that creates thousands of sessions must not keep all of them here.
MAX_STORES = 8

Stores = tuple["ReferenceType[Any]", ...]
Expected = tuple[tuple[Any, str], ...]


class Store(Protocol):
    """The part of a session store that this module uses."""

    is_opened_by_id: bool
    cookie_value: str | None

    @property
    def session_key(self) -> str | None:
        """The session token."""


class Scope:
    """The state of the running request. Immutable. Its repr shows nothing, because error reports contain variables."""

    __slots__ = ("current", "expected", "meta", "stores")

    def __init__(
        self,
        meta: Mapping[str, Any] | None = None,
        current: ReferenceType[Any] | None = None,
        stores: Stores = (),
        expected: Expected = (),
    ) -> None:
        self.meta = meta
        """``request.META``; None outside of a request."""
        self.current = current
        """The request's own session."""
        self.stores = stores
        """The sessions that the request has opened, its own among them."""
        self.expected = expected
        """The ids and hashes that ``add_expected()`` has added."""

    def __repr__(self) -> str:
        return "<Scope>"


EMPTY = Scope()

_scope: ContextVar[Scope] = ContextVar("django_sessions_plus_scope", default=EMPTY)


def scope() -> Scope:
    """Return the state of the running request, for ``restore()``."""
    return _scope.get()


def restore(scope: Scope) -> None:
    """Go back to a state that ``scope()`` returned."""
    _scope.set(scope)


def begin(meta: Mapping[str, Any] | None = None, store: Store | None = None) -> None:
    """Begin a request: forget the sessions of earlier ones. ``store`` is the request's own session."""
    if store is None:
        _scope.set(Scope(meta))
    else:
        reference = ref(store)
        _scope.set(Scope(meta, reference, (reference,)))


def end() -> None:
    """Forget everything, at the end of the request, scope or task."""
    _scope.set(EMPTY)


def add(store: Store, *, is_current: bool = False) -> None:
    """Add ``store`` to the sessions of the running request; with ``is_current``, make it the request's own session."""
    now = _scope.get()
    others = [each for each in now.stores if each() is not None and each() is not store]
    reference = ref(store)
    kept = (*others[1 - MAX_STORES :], reference)
    _scope.set(Scope(now.meta, reference if is_current else now.current, kept, now.expected))


def add_expected(session_id: Any, auth_hash: str) -> None:
    """Note that the session with this id has to end after the request, unless its data has ``auth_hash`` by then."""
    now = _scope.get()
    others = [each for each in now.expected if each[0] != session_id]
    _scope.set(Scope(now.meta, now.current, now.stores, (*others, (session_id, auth_hash))))


def find_expected(session_id: Any) -> str | None:
    """Return the auth hash that ``add_expected()`` was given for this session; None if there is none."""
    return dict(_scope.get().expected).get(session_id)


def has_expected() -> bool:
    """Return whether ``add_expected()`` was called since ``take_expected()``."""
    return bool(_scope.get().expected)


def take_expected() -> tuple[tuple[Any, str], ...]:
    """Return the ids and auth hashes that ``add_expected()`` has added, and forget them."""
    now = _scope.get()
    if now.expected:
        _scope.set(Scope(now.meta, now.current, now.stores))
    return now.expected


def add_if_presented(store: Store) -> None:
    """Add a session that other code has opened, if the running request presented its token.

    A session that was opened by its id, or by a token that is not in the request, is not the
    client's own: an admin tool may read it, or a package may end it.
    """
    meta = _scope.get().meta
    token = None if store.is_opened_by_id else store.cookie_value or store.session_key
    if meta is not None and token is not None and is_presented(meta, token):
        add(store)


def is_presented(meta: Mapping[str, Any], token: str) -> bool:
    """Return whether a header of the request, such as Cookie, contains ``token``."""
    return any(
        token in value
        for name, value in meta.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    )


def current() -> Any:
    """Return the session of the running request; None if there is none."""
    reference = _scope.get().current
    return None if reference is None else reference()


def stores_of_request() -> list[Any]:
    """Return the stores to empty when a session ends: all of the running request; outside of one, the current store.

    A store that a script or a test has opened stays as it is when it ends the session.
    """
    if _scope.get().meta is not None:
        return stores()
    store = current()
    return [] if store is None else [store]


def stores() -> list[Any]:
    """Return the sessions that the running request has opened, its own among them."""
    found = (each() for each in _scope.get().stores)
    return [store for store in found if store is not None]
