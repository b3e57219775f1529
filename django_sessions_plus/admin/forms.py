"""What the admin's own forms share: the focus, and a key with which a form counts once, however often it is sent."""

from __future__ import annotations

from django.forms import BaseForm
from django.http import HttpRequest

from django_sessions_plus import sessions, tokens
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bulk.locking import locked

ONCE_FIELD = "once"
_KEY = "_sessions_plus_once"


def focus_first_error(form: BaseForm) -> None:
    """Set the focus on the first field with an error, if there is one."""
    for field in form:
        if form.is_bound and field.errors:
            form.fields[field.name].widget.attrs["autofocus"] = True
            return


def once_key(request: HttpRequest) -> str:
    """Return the value that a form has to send as ``ONCE_FIELD``; all open forms of a session share one."""
    found: str | None = request.session.get(_KEY)
    if found is None:
        found = request.session[_KEY] = tokens.make_id().hex
    return found


def use_once_key(request: HttpRequest, row: AbstractSession) -> bool:
    """Use up the key of the session, and return whether the form has sent it; False for a copy sent later.

    ``row`` is that of the request's session. Needs a transaction: parallel requests wait until it ends,
    so the action of the form belongs into the same transaction.
    """
    rows = locked(sessions.session_model().objects.for_writing().filter(pk=row.pk))
    known = [now.get_decoded().get(_KEY) for now in rows]
    request.session.pop(_KEY, None)
    request.session.save()
    sent = request.POST.get(ONCE_FIELD)
    return sent is not None and sent in known
