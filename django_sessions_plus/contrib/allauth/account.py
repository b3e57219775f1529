"""For ``allauth.account``: whether its sign-in page would ask for a code or a confirmed address after the password."""

from __future__ import annotations

from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.http import HttpRequest

from django_sessions_plus.accounts.second_factors import (
    SECOND_FACTOR_REQUIRED,
    VERIFICATION_REQUIRED,
    SignInRefusal,
)


def refuse(request: HttpRequest, user: Any) -> SignInRefusal | None:
    """Refuse a user who would have to enter a code, or who has no confirmed address where one is mandatory."""
    if app_settings.LOGIN_BY_CODE_REQUIRED:
        return SECOND_FACTOR_REQUIRED
    if _lacks_email(user) or _lacks_phone(user):
        return VERIFICATION_REQUIRED
    return None


def _lacks_email(user: Any) -> bool:
    if app_settings.EMAIL_VERIFICATION != app_settings.EmailVerificationMethod.MANDATORY:
        return False
    addresses = EmailAddress.objects.filter(user_id=user.pk, verified=True)
    return not addresses.exists()


def _lacks_phone(user: Any) -> bool:
    field = app_settings.SIGNUP_FIELDS.get("phone")
    if not field:
        return False
    phone = get_adapter().get_phone(user)
    if phone is None:
        return bool(field["required"])
    return app_settings.PHONE_VERIFICATION_ENABLED and not phone[1]
