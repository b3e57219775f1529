"""Receivers that rotate or end sessions at a sign-in or a new password, or when a user is deactivated or deleted.

Those that end sessions wait for the commit, except at a deletion: a password change that is
rolled back must not sign anybody out.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core.exceptions import ObjectDoesNotExist
from django.core.signals import request_finished, request_started
from django.db import router, transaction
from django.db.models.signals import post_save, pre_delete
from django.dispatch import Signal
from django.http import HttpRequest
from django.utils.module_loading import import_string

from django_sessions_plus import events, sessions
from django_sessions_plus.accounts import password_changes, proxies
from django_sessions_plus.accounts.credential_changes import report_new_password
from django_sessions_plus.accounts.failed_sign_ins import log_failed_sign_in
from django_sessions_plus.accounts.new_devices import report_new_device
from django_sessions_plus.accounts.reauthentication import log_authentication
from django_sessions_plus.backends import opened
from django_sessions_plus.backends.running import store_of
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.bulk.deleting import forget_user
from django_sessions_plus.middleware import set_request_user
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.signals import session_started

_RENEW_SESSION = "django_sessions_plus.renew_session"


# Packages with second factors, and the modules that watch for changes of those.
_FACTORS = {
    "allauth.mfa": "django_sessions_plus.contrib.allauth.mfa.connect",
    "django_otp": "django_sessions_plus.contrib.django_otp.connect",
}


def connect() -> None:
    """Connect all receivers; called once, when the app is ready."""
    request_started.connect(begin_request, dispatch_uid="django_sessions_plus.begin_request")
    request_finished.connect(end_request, dispatch_uid="django_sessions_plus.end_request")
    user_logged_in.connect(renew_session, dispatch_uid=_RENEW_SESSION)
    _put_first(user_logged_in, _RENEW_SESSION)
    user_login_failed.connect(
        log_failed_sign_in, dispatch_uid="django_sessions_plus.log_failed_sign_in"
    )
    session_started.connect(limit_sessions, dispatch_uid="django_sessions_plus.limit_sessions")
    session_started.connect(
        report_new_device, dispatch_uid="django_sessions_plus.report_new_device"
    )
    for app, connect_factors in _FACTORS.items():
        if apps.is_installed(app):
            import_string(connect_factors)()
    user_model = get_user_model()
    for model in apps.get_models():
        # The sender of these signals may be a proxy model or a child of the user model.
        if issubclass(model, user_model):
            post_save.connect(
                follow_user, sender=model, dispatch_uid="django_sessions_plus.follow_user"
            )
            post_save.connect(
                report_new_password,
                sender=model,
                dispatch_uid="django_sessions_plus.report_new_password",
            )
            pre_delete.connect(
                end_with_user, sender=model, dispatch_uid="django_sessions_plus.end_with_user"
            )


def _put_first(signal: Signal, uid: str) -> None:
    """Have the receiver with this ``dispatch_uid`` run before all others.

    The others have to see the session key that the cookie will have, and Django calls receivers in
    the order in which they were connected. Private names of Django 5.2 to 6.1: ``Signal.lock``, and
    ``Signal.receivers``, whose entries begin with a pair that begins with the ``dispatch_uid``;
    tests/test_private_names.py fails if they disappear.
    """
    with signal.lock:
        signal.receivers.sort(key=lambda entry: entry[0][0] != uid)


def begin_request(environ: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """Forget the sessions of earlier code in this context, and note the credentials of a WSGI request.

    Under ASGI the signal is sent in another task, whose context is not the request's. The request has
    a new context in any case, and the middleware notes its credentials.
    """
    opened.begin(environ)


def end_request(**kwargs: Any) -> None:
    """End the unusable sessions of a request that ran without our middleware, and forget its sessions."""
    password_changes.end_unusable_sessions()
    opened.end()


def renew_session(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Rotate the token at a sign-in, also for a user who is signed in already.

    Django keeps the key in that case, although OWASP ASVS 5.0 7.2.4 asks for a new one. Before 6.1 it
    also keeps the anonymous user that ``request.auser()`` may have cached.
    """
    with best_effort("look for a proxy that is not trusted"):
        proxies.warn_if_untrusted(getattr(request, "META", {}))
    session = store_of(request)
    if session is not None:
        is_again = session.row is not None and session.row.user_id == user.pk
        session.mark_authenticated(user)
        if is_again:
            log_authentication(events.SIGNED_IN_AGAIN, session)
        set_request_user(request, user)


def limit_sessions(session: AbstractSession, user: Any, **kwargs: Any) -> None:
    """End the user's sessions beyond the limit, but not the one that has just started.

    Never raises: failures are logged, and the next sign-in ends what this one left.
    """
    if user is not None:
        with best_effort("end the sessions beyond the limit", using=session._state.db):
            sessions.enforce_limit(user, keep=session)


def follow_user(instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    """End sessions when a user is saved as inactive or with a new password (OWASP ASVS 5.0 7.4.2, 7.4.3)."""
    if created or raw:
        return
    # The user of the request has to be read now: the commit may come after the request.
    if not getattr(instance, "is_active", True):
        reason, kept = EndReason.USER_DEACTIVATED, set()
    elif password_changes.has_new_password(instance):
        reason, kept = EndReason.PASSWORD_CHANGED, password_changes.ids_to_keep(instance)
    else:
        return
    actor = _acting()

    def end_sessions() -> None:
        if reason == EndReason.PASSWORD_CHANGED:
            # Also keep a session that was signed in to with the new password later in this transaction.
            kept.update(password_changes.ids_to_keep(instance))
            password_changes.expect_renewal(instance, kept)
        sessions.revoke_others(instance, keep=kept, reason=reason, actor=actor)

    transaction.on_commit(end_sessions, using=using)


def end_with_user(instance: Any, using: str, **kwargs: Any) -> None:
    """End the sessions of a user who is about to be deleted, and delete their rows, in the sessions' database.

    If they are in the database of the user, this is part of the transaction that deletes the user.
    Otherwise they end at once, and the rows are deleted after its commit.
    """
    sessions.revoke_all(instance, reason=EndReason.USER_DELETED, actor=_acting())
    models: list[type[AbstractSession]] = [sessions.session_model(), Session]
    for model in dict.fromkeys(models):
        rows = model.objects.for_writing()
        forget = partial(forget_user, rows, instance.pk)
        if rows.db == using:
            forget()
        else:
            transaction.on_commit(forget, using=using, robust=True)


def _acting() -> Any:
    """Return the user of the running request; None outside of a request."""
    row = None if (store := sessions.current()) is None else store.row
    using = router.db_for_read(get_user_model())
    # The user may have been deleted: the column has no constraint in the database.
    with best_effort("find the user of a session", using=using), suppress(ObjectDoesNotExist):
        return None if row is None else row.user
    return None
