"""Whether a password alone may sign a user in: the hook ``SESSIONS_PLUS_SIGN_IN`` decides.

The API's sign-in calls it, and so does re-authentication before a password makes a session fresh.
Sign-in pages of the project or of the admin do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.http import HttpRequest
from django.utils.module_loading import import_string

from django_sessions_plus.accounts.failed_sign_ins import log_failed_attempt
from django_sessions_plus.backends.twins import in_thread
from django_sessions_plus.conf import PREFIX, callables
from django_sessions_plus.exceptions import ConfigurationError, IncompleteSignInError


@dataclass(frozen=True)
class SignInRefusal:
    """Why a password is not enough: a ``code`` for programs, and a message for users.

    ``code`` is snake_case. Without ``detail`` the message is that of the code in docs/errors.md.
    """

    code: str
    detail: Any = ""


SECOND_FACTOR_REQUIRED = SignInRefusal("second_factor_required")
"""This user has a second factor, which the API cannot ask for."""
VERIFICATION_REQUIRED = SignInRefusal("verification_required")
"""This user has to confirm an e-mail address or a telephone number first."""

ASKED = {
    "allauth.mfa": "django_sessions_plus.contrib.allauth.mfa.refuse",
    "allauth.account": "django_sessions_plus.contrib.allauth.account.refuse",
    "django_otp": "django_sessions_plus.contrib.django_otp.refuse",
}
"""Which apps the default hook knows, and the callable for each that decides."""


def refuse_incomplete_sign_in(request: HttpRequest, user: Any) -> SignInRefusal | None:
    """Refuse users if the sign-in page of an installed package would ask them for more than the password.

    Returns None if the password is enough. This is the default of ``SESSIONS_PLUS_SIGN_IN``. It knows
    ``allauth.mfa``, ``allauth.account`` and ``django_otp``; without them it costs nothing.
    """
    for app, path in ASKED.items():
        if apps.is_installed(app):
            refusal: SignInRefusal | None = import_string(path)(request, user)
            if refusal is not None:
                return refusal
    return None


def check_sign_in(request: HttpRequest, user: Any) -> None:
    """Do nothing if the password that ``user`` has entered is enough; call it after the password was verified.

    Raises:
        IncompleteSignInError: it is not enough; this is logged as a sign-in that was refused.
        ConfigurationError: ``SESSIONS_PLUS_SIGN_IN`` leads to no callable, or that returned
            something else than None or a ``SignInRefusal``.
    """
    refusal = callables.sign_in_hook()(request, user)
    if refusal is None:
        return
    if not isinstance(refusal, SignInRefusal):
        # Not the value: a wrong hook may have returned the user, or the password.
        raise ConfigurationError(
            f"{PREFIX}SIGN_IN must return None or a SignInRefusal; it returned a {type(refusal).__name__}."
        )
    log_failed_attempt(request, reason=refusal.code, user_id=user.pk)
    raise IncompleteSignInError(refusal.code, refusal.detail)


async def acheck_sign_in(request: HttpRequest, user: Any) -> None:
    """See check_sign_in()."""
    await in_thread(check_sign_in, request, user)
