"""Sessions of this package while ``SESSION_ENGINE`` still names another engine: before the switch, and on the way back.

With ``SESSIONS_PLUS_IMPORT_FROM`` set, the middleware also opens sessions that began in a process where the switch has
been made. So both can serve side by side, and going back signs nobody out. Each session is in one store at
a time, and the engine that has it reads and writes it.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from django_sessions_plus import tokens
from django_sessions_plus.backends.base import BaseStore
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.conf import config
from django_sessions_plus.conf.engine import engine


def may_be_own(request: HttpRequest) -> bool:
    """Return whether the request's cookie may be that of a session of this package, though another engine is set."""
    if not config.IMPORT_FROM or issubclass(engine(), BaseStore):
        return False
    return tokens.is_well_formed(request.COOKIES.get(settings.SESSION_COOKIE_NAME))


def own_session(request: HttpRequest) -> SessionStore | None:
    """Return the session of this package that the request's cookie opens; None if it opens none. One query.

    Call it only if ``may_be_own()``.
    """
    session = SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    session.meta = request.META
    session.wants_user = True
    session.load_if_needed()
    # The view has not read it yet.
    session.accessed = False
    return None if session.row is None else session
