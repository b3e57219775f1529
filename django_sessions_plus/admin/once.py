"""Forms that count once: what a session has to bring back, and whose second copy finds gone."""

from __future__ import annotations

from django.http import HttpRequest

from django_sessions_plus import sessions, tokens
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.locking import locked

FIELD = "once"
_KEY = "_sessions_plus_once"


def mark(request: HttpRequest) -> str:
    """Return what a form has to send as ``FIELD``; one mark serves all the forms a session has open."""
    found: str | None = request.session.get(_KEY)
    if found is None:
        found = request.session[_KEY] = tokens.make_id().hex
    return found


def is_first(request: HttpRequest, row: AbstractSession) -> bool:
    """Tell whether nobody else has sent a form with this mark, and spend it.

    ``row`` is that of the request's session. Needs a transaction, and of several at once all but
    one wait for the end of it: what the form is for belongs into the same one.
    """
    rows = locked(sessions.session_model().objects.for_writing().filter(pk=row.pk))
    known = [now.get_decoded().get(_KEY) for now in rows]
    request.session.pop(_KEY, None)
    request.session.save()
    sent = request.POST.get(FIELD)
    return sent is not None and sent in known
