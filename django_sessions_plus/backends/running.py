"""The session store of the running request, for code that has no access to the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from django_sessions_plus.backends import opened
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.opened import Scope
from django_sessions_plus.base_session import AbstractSession


def current() -> SessionStore | None:
    """Return the session store of the running request; None outside of one, or if the engine is not one of ours."""
    store = opened.current()
    return store if isinstance(store, SessionStore) else None


def set_current(store: SessionBase | None) -> Scope:
    """Set the session store of the running request, and return what ``reset_current()`` needs to undo that.

    With None, or a store of another engine, the running request has no session. For the middleware and
    header authentication.
    """
    before = opened.scope()
    if isinstance(store, SessionStore):
        opened.add(store, is_current=True)
    else:
        opened.begin(before.meta)
    return before


def reset_current(scope: Scope) -> None:
    """Undo set_current(), which returned ``scope``."""
    opened.restore(scope)


def store_of(request: HttpRequest | None) -> SessionStore | None:
    """Return the session store of ``request``; None if there is none, or it is of another engine. No I/O."""
    store = getattr(request, "session", None)
    return store if isinstance(store, SessionStore) else None


def resolve(request: HttpRequest) -> AbstractSession | None:
    """Return the active signed-in session behind ``request``, by cookie or header; None if there is none.

    Loads the session if it is not loaded yet. An authentication backend may still refuse the
    row's user; ``request.user`` is authoritative for that.
    """
    store = getattr(request, "session", None)
    if not isinstance(store, SessionStore):
        return None
    store.get("")
    return store.row if store.row and store.row.user_id is not None else None


async def aresolve(request: HttpRequest) -> AbstractSession | None:
    """See resolve()."""
    store = getattr(request, "session", None)
    if not isinstance(store, SessionStore):
        return None
    await store.aget("")
    return store.row if store.row and store.row.user_id is not None else None


def adopt(request_or_scope: HttpRequest | Mapping[str, Any], store: SessionBase) -> None:
    """Register ``store`` as a session of this request or ASGI scope that no middleware of this package opened.

    For code that opens sessions by a credential of its own: a header, a WebSocket, a token for
    single sign-on. ``save()`` and ``touch()`` then record the device and the activity, and the session
    is not ended when its user changes the password in this request. Call it only if the client itself
    presented the credential of this session, and in the request, task or thread that uses it.

    No cookie is set for the store, unless the request's cookie holds its token. Does nothing for a
    store of another engine. No I/O.
    """
    if not isinstance(store, SessionStore):
        return
    meta = request_or_scope if isinstance(request_or_scope, Mapping) else request_or_scope.META
    if isinstance(request_or_scope, Mapping):
        meta = _meta_of(request_or_scope)
        is_by_cookie = False
    else:
        cookie = request_or_scope.COOKIES.get(settings.SESSION_COOKIE_NAME)
        is_by_cookie = store.session_key in (None, cookie)
    if store.transport == "cookie" and not is_by_cookie:
        store.transport = "bearer"
        # A token that came in another cookie, perhaps an HttpOnly one, must not be sent back in a
        # header, which scripts can read.
        headers = {name: value for name, value in meta.items() if name != "HTTP_COOKIE"}
        token = store.session_key
        store.is_token_sent = token is not None and opened.is_presented(headers, token)
    store.meta = meta
    opened.add(store)


def _meta_of(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of ``request.META`` that describes the client, from an ASGI scope."""
    client = scope.get("client") or ()
    meta: dict[str, Any] = {"REMOTE_ADDR": client[0]} if client else {}
    for name, value in scope.get("headers") or ():
        text = name.decode("latin1")
        # Django drops these too: a header with an underscore would overwrite one with a hyphen.
        if "_" not in text:
            meta[f"HTTP_{text.upper().replace('-', '_')}"] = value.decode("latin1")
    return meta
