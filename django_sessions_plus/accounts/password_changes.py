"""Which sessions stay when a password changes in a request.

``receivers`` ends the others after the commit. Those that stay must have the new auth hash by the end of
the request, or they end then.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.db import Error
from django.utils.crypto import constant_time_compare

from django_sessions_plus import sessions
from django_sessions_plus.backends import opened, user_key
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.twins import in_thread
from django_sessions_plus.policy import EndReason

logger = logging.getLogger("django_sessions_plus")

IMPERSONATION_KEYS = frozenset({"hijack_history", "exit_users_pk"})
"""Keys that django-hijack and django-su store in the session while somebody acts as another user."""


def has_new_password(user: Any) -> bool:
    """Return whether ``user`` is being saved with a new password; for receivers of ``post_save``.

    Private names of Django 5.2 to 6.1: ``AbstractBaseUser._password`` holds the new password until
    the save is done. The stored hash is no substitute: an upgrade of its algorithm changes it too,
    and clears ``_password`` before it saves. tests/test_private_names.py fails if it disappears.
    """
    return getattr(user, "_password", None) is not None


def ids_to_keep(user: Any) -> set[UUID]:
    """Return the ids of the sessions that may stay when the password of ``user`` changes in the running request.

    These are the sessions of ``user`` whose credential the request presented, that ``user`` has signed
    in to in this request, or that were adopted. None while somebody else acts as ``user``.
    """
    return {
        store.row.pk
        for store in opened.stores()
        if isinstance(store, SessionStore)
        and store.row is not None
        and _is_signed_in(store, user)
        and not is_acting_as_another(store)
    }


def expect_renewal(user: Any, kept: set[UUID]) -> None:
    """End the sessions with these ids at the end of the request, unless they have the auth hash of the new password."""
    if hasattr(user, "get_session_auth_hash"):
        auth_hash = user.get_session_auth_hash()
        for session_id in kept:
            opened.add_expected(session_id, auth_hash)


def end_unusable_sessions(session: SessionStore | None = None) -> None:
    """End sessions that nobody can use after this request: ``session`` itself, or those of an earlier password.

    The auth hash would refuse the latter at their next use, but until then the list would show them.
    Failures are logged.
    """
    try:
        if session is not None and session.is_token_lost:
            _end_unusable(session)
        for session_id, auth_hash in opened.take_expected():
            _end_if_outdated(session_id, auth_hash)
    except Error:
        logger.exception("A session that nobody can use any more could not be ended")


async def aend_unusable_sessions(session: SessionStore | None = None) -> None:
    """See end_unusable_sessions()."""
    if opened.has_expected() or (session is not None and session.is_token_lost):
        await in_thread(end_unusable_sessions, session)


def _end_unusable(store: SessionStore) -> None:
    """End a session whose new token nobody knows, unless it has refresh tokens.

    Either it was opened by an access token, and a sign-in or a new password (which is the end reason
    then) has invalidated its refresh tokens. Or the response failed and could not send the new token.
    """
    if store.row is None or store.row.refresh_digest is not None:
        return
    # What the failed view had saved was rolled back, so the client's old token is still valid.
    if store.uncommitted.is_rolled_back():
        return
    # Another instance of the row, or a parallel request, may have issued new refresh tokens.
    stored = store.reread()
    if stored is not None and stored.refresh_digest is None:
        reason = store.refresh_family_ended_by if store.is_opened_by_id else None
        store.end_as(reason or EndReason.REVOKED)


def _end_if_outdated(session_id: UUID, auth_hash: str) -> None:
    """End the session unless its data has this auth hash."""
    rows = sessions.session_model().objects.filter(pk=session_id).for_writing()
    row = rows.active().first()
    stored = None if row is None else row.get_decoded().get(HASH_SESSION_KEY)
    if row is not None and not constant_time_compare(str(stored), auth_hash):
        # The version makes sure that nobody has stored the new hash since.
        sessions.revoke_many(rows.filter(version=row.version), reason=EndReason.PASSWORD_CHANGED)


def _is_signed_in(store: SessionStore, user: Any) -> bool:
    row = store.row
    if row is None or row.user_id is None or row.user_id != user.pk:
        return False
    return user_key.is_user_of(row, store.load_if_needed())


def is_acting_as_another(store: SessionStore) -> bool:
    """Return whether somebody else acts as the user of this session, by keys that hijack and loginas store in it."""
    data = store.load_if_needed()
    # With django-loginas the project can choose the key.
    flag = getattr(settings, "LOGINAS_FROM_USER_SESSION_FLAG", "loginas_from_user")
    return flag in data or not IMPERSONATION_KEYS.isdisjoint(data)
