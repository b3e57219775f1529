"""Which sessions the running request, scope or task has opened for itself, for code that has no access to the request.

When somebody's password is saved, these are the ones that may stay. They are held by weak references in
an immutable tuple in a context variable: threads of WSGI servers and of task queues share one context
between requests, so what is found here must not outlive the request that put it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import ReferenceType, ref

from django_sessions_plus.backends.use import NO_META, Meta

# A task that creates thousands of sessions has no use for more than the last ones.
MAX_STORES = 8

Stores = tuple["ReferenceType[Any]", ...]
Expected = tuple[tuple[Any, str], ...]


class Store(Protocol):
    """What of a session store has to be known here."""

    meta: Meta
    is_opened_by_id: bool

    @property
    def session_key(self) -> str | None:
        """Its token."""


class Scope:
    """What is known of the running request. Immutable; its repr is silent, for error reports show local variables."""

    __slots__ = ("current", "expected", "meta", "stores")

    def __init__(
        self,
        meta: Mapping[str, Any] | None = None,
        current: ReferenceType[Any] | None = None,
        stores: Stores = (),
        expected: Expected = (),
    ) -> None:
        self.meta = meta
        """What the request presented, as in ``request.META``."""
        self.current = current
        """The request's own session."""
        self.stores = stores
        """The sessions it has opened for itself."""
        self.expected = expected
        """What ``expect_auth_hash()`` noted."""

    def __repr__(self) -> str:
        return "<Scope>"


EMPTY = Scope()

_scope: ContextVar[Scope] = ContextVar("django_sessions_plus_scope", default=EMPTY)


def scope() -> Scope:
    """Return what is known of the running request, to be given to ``restore()`` later."""
    return _scope.get()


def restore(scope: Scope) -> None:
    """Go back to what was known before."""
    _scope.set(scope)


def begin(meta: Mapping[str, Any] | None = None, store: Store | None = None) -> None:
    """Forget the sessions of earlier requests: from here on this is the running one. ``store`` is its session."""
    if store is None:
        _scope.set(Scope(meta))
    else:
        reference = ref(store)
        _scope.set(Scope(meta, reference, (reference,)))


def end() -> None:
    """Forget everything: the request, scope or task is over."""
    _scope.set(EMPTY)


def add(store: Store, *, is_current: bool = False) -> None:
    """Have ``store`` belong to the running request; with ``is_current`` it takes the place of its session."""
    now = _scope.get()
    others = [each for each in now.stores if each() is not None and each() is not store]
    reference = ref(store)
    kept = (*others[1 - MAX_STORES :], reference)
    _scope.set(Scope(now.meta, reference if is_current else now.current, kept, now.expected))


def expect_auth_hash(session_id: Any, auth_hash: str) -> None:
    """Note that a session stays after the request only if ``auth_hash`` is stored in it by then."""
    now = _scope.get()
    others = [each for each in now.expected if each[0] != session_id]
    _scope.set(Scope(now.meta, now.current, now.stores, (*others, (session_id, auth_hash))))


def has_expected_hashes() -> bool:
    """Return whether ``take_expected_hashes()`` has something to return."""
    return bool(_scope.get().expected)


def take_expected_hashes() -> tuple[tuple[Any, str], ...]:
    """Return what ``expect_auth_hash()`` has noted, each an id and an auth hash, and forget it."""
    now = _scope.get()
    if now.expected:
        _scope.set(Scope(now.meta, now.current, now.stores))
    return now.expected


def note_opened(store: Store) -> None:
    """Add a session that other code has opened, if the running request presented its token.

    A session that was opened by its id, or by a token that came from elsewhere, is that of
    somebody else: an admin's tool looks at it, or a package ends it.
    """
    if store.meta is not NO_META:
        # It belongs to a request already.
        return
    meta = _scope.get().meta
    token = None if store.is_opened_by_id else store.session_key
    if meta is not None and token is not None and is_presented(meta, token):
        add(store)


def note_created(store: Store) -> None:
    """Add a session that other code has created: its token was made here, so nobody else has presented it."""
    if store.meta is NO_META:
        add(store)


def is_presented(meta: Mapping[str, Any], token: str) -> bool:
    """Return whether a header of the request, which may be its cookie, holds ``token``."""
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
    """Return the stores that an end has to empty: all of the running request, or outside of one only the current store.

    What a script or a test has in its hands is not emptied when it ends the session.
    """
    if _scope.get().meta is not None:
        return stores()
    store = current()
    return [] if store is None else [store]


def stores() -> list[Any]:
    """Return the sessions that the running request has opened for itself, its own among them."""
    found = (each() for each in _scope.get().stores)
    return [store for store in found if store is not None]
