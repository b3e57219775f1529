"""For ``allauth.mfa``: whether a user has a second factor, and when that changes."""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.http import HttpRequest

from django_sessions_plus.accounts.second_factors import SECOND_FACTOR_REQUIRED, SignInRefusal
from django_sessions_plus.contrib.factor_changes import watch

# The same as in allauth's own sign-in: recovery codes alone are no second factor.
_FACTORS = ["totp", "webauthn"]


def refuse(request: HttpRequest, user: Any) -> SignInRefusal | None:
    """Refuse a user who has a TOTP app or a key. One query."""
    return SECOND_FACTOR_REQUIRED if get_adapter().is_mfa_enabled(user, types=_FACTORS) else None


def connect() -> None:
    """Report authenticators that are added or removed, recovery codes included."""
    watch(Authenticator, lambda authenticator: str(authenticator.type))
