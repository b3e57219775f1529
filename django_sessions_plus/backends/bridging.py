"""Sessions of this package while ``SESSION_ENGINE`` still names another engine: before the switch, and on the way back.

With ``SESSIONS_PLUS_IMPORT_FROM`` set, the middleware also opens sessions that began in a process where the switch has
been made. So both can serve side by side, and going back signs nobody out. Each session is in one store at
a time, and the engine that has it reads and writes it.
"""

from __future__ import annotations

from functools import lru_cache
from inspect import signature
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from django_sessions_plus import tokens
from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.importing import is_cookie_used
from django_sessions_plus.conf import config


def may_be_own(request: HttpRequest) -> bool:
    """Return whether the request's cookie may be that of a session of this package.

    Ask only while ``SESSION_ENGINE`` names another engine.
    """
    if not config.IMPORT_FROM:
        return False
    value = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    # With a colon, it may be signed data.
    return tokens.is_well_formed(value) or (value is not None and ":" in value)


def own_session(request: HttpRequest) -> SessionStore | None:
    """Return the session of this package that the request's cookie opens; None if it opens none. One query.

    If the session has ended here, the other engine does not get the key any more: its store may have kept a copy.
    Call it only if ``may_be_own()``.
    """
    session = SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    session.meta = request.META
    session.wants_user = True
    session.load_if_needed()
    # The view has not read it yet.
    session.accessed = False
    if session.inactive_row is not None or (session.row is None and is_cookie_used(session)):
        request.session._session_key = None
    return None if session.row is None else session


def own_engine_for_headers() -> type[SessionStore] | None:
    """Return the store class for sessions by header: that of ``SESSION_ENGINE``, if it is of this package.

    While it is not, None, or with ``SESSIONS_PLUS_IMPORT_FROM`` the class for sessions that began elsewhere.
    """
    return own_engine() or (SessionStore if config.IMPORT_FROM else None)


def record_device(request: HttpRequest, store_class: type[SessionBase]) -> None:
    """Open the session of the other engine once more with the device, if that engine records it. No query.

    django-user-sessions and django-qsessions have a middleware of their own for that. In their place, ours
    works for them too.
    """
    if _takes_device(store_class):
        open_store: Any = store_class
        request.session = open_store(
            request.session.session_key,
            ip=request.META.get("REMOTE_ADDR"),
            user_agent=request.META.get("HTTP_USER_AGENT", ""),
        )


@lru_cache(maxsize=16)
def _takes_device(store_class: type[SessionBase]) -> bool:
    return {"ip", "user_agent"} <= signature(store_class).parameters.keys()


def has_moved(request: HttpRequest) -> bool:
    """Return whether the other engine has found no session, because it was imported since the request began.

    If the view has ended the session meanwhile, it ends here too.
    """
    session = own_session(request) if request.session.is_empty() else None
    if session is None or not request.session.modified:
        return session is not None
    session.flush()
    return False
