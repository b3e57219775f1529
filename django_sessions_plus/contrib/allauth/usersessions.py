"""For ``allauth.usersessions``: what it has recorded of sessions that are imported from another engine.

Its rows are left alone: an imported session keeps its key, so allauth's page still lists it and ends it. Rows of
sessions that have ended are deleted by that page, and when their user signs in.
"""

from __future__ import annotations

from typing import Any

from allauth.usersessions import app_settings
from allauth.usersessions.models import UserSession
from django.db import router
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.bookkeeping import best_effort


@sensitive_variables()
def recorded(keys: list[str]) -> dict[str, dict[str, Any]]:
    """Return what ``allauth.usersessions`` knows of the sessions with these keys, as fields of an ``OldSession``.

    One query. Never raises: what fails is logged, and nothing is known then.
    """
    using = router.db_for_write(UserSession)
    found: dict[str, dict[str, Any]] = {}
    with best_effort("read what allauth has recorded of sessions", using=using):
        rows = UserSession.objects.using(using).filter(session_key__in=keys)
        found = {row.session_key: _known(row) for row in rows}
    return found


def _known(row: UserSession) -> dict[str, Any]:
    agent = row.user_agent
    if len(agent) == UserSession._meta.get_field("user_agent").max_length:
        # It was cut off, and would look like another browser than the one that sends all of it.
        agent = None
    known = {"ip_address": row.ip, "user_agent": agent}
    if app_settings.TRACK_ACTIVITY:
        # Any request makes a missing row then, so the session may have begun long before.
        return {**known, "first_seen_at": row.created_at, "last_seen_at": row.last_seen_at}
    # Without it, ``last_seen_at`` is when the user signed in.
    return {**known, "created_at": row.created_at}
