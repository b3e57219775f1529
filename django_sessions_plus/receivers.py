"""Receivers that renew or end sessions at a sign-in, a changed password, and when a user is deactivated or deleted.

They notice and call the verbs. Those that end sessions wait for the commit, except at a
deletion: a password change that is rolled back must not sign anybody out.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models.signals import post_save, pre_delete
from django.http import HttpRequest

from django_sessions_plus import sessions
from django_sessions_plus.backends.base import RowSession
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.middleware import set_request_user
from django_sessions_plus.notices import notice_new_device
from django_sessions_plus.policy import EndReason
from django_sessions_plus.refusals import log_failed_sign_in
from django_sessions_plus.signals import session_started


def connect() -> None:
    """Connect everything; called once, when the app is ready."""
    user_logged_in.connect(renew_session, dispatch_uid="django_sessions_plus.renew_session")
    user_login_failed.connect(
        log_failed_sign_in, dispatch_uid="django_sessions_plus.log_failed_sign_in"
    )
    session_started.connect(limit_sessions, dispatch_uid="django_sessions_plus.limit_sessions")
    session_started.connect(
        notice_new_device, dispatch_uid="django_sessions_plus.notice_new_device"
    )
    post_save.connect(
        follow_user,
        sender=settings.AUTH_USER_MODEL,
        dispatch_uid="django_sessions_plus.follow_user",
    )
    pre_delete.connect(
        end_with_user,
        sender=settings.AUTH_USER_MODEL,
        dispatch_uid="django_sessions_plus.end_with_user",
    )


def renew_session(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Let the sign-in rotate the token, also for a user who is signed in already.

    Django keeps the key in that case, against OWASP ASVS 5.0 7.2.4. Before 6.1 it also keeps the
    anonymous user that ``request.auser()`` may have cached.
    """
    session = getattr(request, "session", None)
    if request is not None and isinstance(session, RowSession):
        session.mark_authenticated(user)
        set_request_user(request, user)


def limit_sessions(session: AbstractSession, user: Any, **kwargs: Any) -> None:
    """Make room for the session that has just started."""
    if user is not None:
        sessions.enforce_limit(user, keep=session)


def follow_user(instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    """End sessions when a user is saved as inactive or with a new password (OWASP ASVS 5.0 7.4.2, 7.4.3)."""
    if created or raw:
        return
    # Whose request this is has to be asked now: the commit may come after it.
    if not getattr(instance, "is_active", True) and config.END_ON_DEACTIVATION:
        reason, keep = EndReason.USER_DEACTIVATED, None
    # AbstractBaseUser keeps a newly set password in the clear until the save is over;
    # an upgrade of how it is stored clears it first and is no change.
    elif getattr(instance, "_password", None) is not None and config.END_ON_PASSWORD_CHANGE:
        reason, keep = EndReason.PASSWORD_CHANGED, _own_session(instance)
    else:
        return
    actor = _acting()

    def end_sessions() -> None:
        # Who changed the password in the dark, to sign in with it in the same transaction, stays.
        kept = keep or (_own_session(instance) if reason == EndReason.PASSWORD_CHANGED else None)
        sessions.revoke_others(instance, keep=kept, reason=reason, actor=actor)

    transaction.on_commit(end_sessions, using=using)


def end_with_user(instance: Any, **kwargs: Any) -> None:
    """End the sessions of a user about to be deleted, before the cascade takes the rows."""
    sessions.revoke_all(instance, reason=EndReason.USER_DELETED, actor=_acting())


def _own_session(user: Any) -> AbstractSession | None:
    """Return the session of the running request if it is one of ``user``."""
    store = sessions.current()
    row = None if store is None else store.row
    return row if row is not None and row.user_id == user.pk else None


def _acting() -> Any:
    """Return the person whose request this happens in; None outside of one."""
    store = sessions.current()
    try:
        return None if store is None or store.row is None else store.row.user
    except ObjectDoesNotExist:
        # No constraint ties the row to its user.
        return None
