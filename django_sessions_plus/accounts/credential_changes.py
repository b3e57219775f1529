"""Report to users that their password or another credential has changed (OWASP ASVS 5.0 6.3.7).

Nothing here can break the change: it runs after the commit, and failures are logged.
"""

from __future__ import annotations

from typing import Any

from django.db import router, transaction
from django.utils import timezone

from django_sessions_plus import events, sessions
from django_sessions_plus.accounts.attempts import wait_after
from django_sessions_plus.accounts.new_devices import message_to, site_context
from django_sessions_plus.accounts.password_changes import has_new_password
from django_sessions_plus.backends.twins import in_thread
from django_sessions_plus.bookkeeping import best_effort
from django_sessions_plus.conf import config
from django_sessions_plus.events import logger
from django_sessions_plus.signals import credential_changed

PASSWORD = "password"

_TEMPLATES = "django_sessions_plus/email/credential_changed"


def report_new_password(instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    """Report that a user was saved with a new password: a receiver of ``post_save``."""
    if not (created or raw) and has_new_password(instance):
        report_changed_credential(instance, PASSWORD, using=using)


def report_changed_credential(user: Any, credential: str, *, using: str | None = None) -> None:
    """Log that a credential of ``user`` has changed, send ``credential_changed``, and an e-mail if that is on.

    Call it where a second factor is added, changed or removed; you choose the name ``credential``,
    such as ``totp``. It runs after the transaction on ``using`` (default: the user's database) is
    committed, and never raises then: failures are logged.
    """

    def report() -> None:
        with best_effort("report a changed credential"):
            events.CREDENTIAL_CHANGED.log(user_id=user.pk, credential=credential)
            sender = sessions.session_model()
            credential_changed.send_robust(sender=sender, user=user, credential=credential)
            if config.CREDENTIAL_EMAIL:
                send_email(user, credential)

    transaction.on_commit(report, using=using or router.db_for_write(type(user)))


async def areport_changed_credential(
    user: Any, credential: str, *, using: str | None = None
) -> None:
    """See report_changed_credential()."""
    await in_thread(report_changed_credential, user, credential, using=using)


def send_email(user: Any, credential: str) -> bool:
    """Send the user an e-mail about the change; return whether it was sent. Never raises.

    Nothing is sent to a user without an address, nor beyond ``SESSIONS_PLUS_RATES``.
    A failure is logged as ``credential_email_failed``.
    """
    try:
        message = message_to(user, _TEMPLATES, lambda: _context(user, credential))
        if message is None:
            return False
        rate = config.rate("email")
        if wait_after("credential-email", str(user.pk), rate) is not None:
            events.CREDENTIAL_EMAIL_FAILED.log(user_id=user.pk, error="throttled")
            return False
        return message.send() == 1
    except Exception as error:  # noqa: BLE001 - a change must not fail because an e-mail did
        # A mail server's message may contain the address, so the traceback is logged at level DEBUG only.
        logger.debug("The e-mail about a credential could not be sent.", exc_info=True)
        events.CREDENTIAL_EMAIL_FAILED.log(user_id=user.pk, error=type(error).__name__)
        return False


def _context(user: Any, credential: str) -> dict[str, Any]:
    is_password = credential == PASSWORD
    return {**site_context(user), "is_password": is_password, "moment": timezone.now()}
