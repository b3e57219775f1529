"""For ``django_otp``, and packages on top of it such as django-two-factor-auth.

Whether a user has a device, and when that changes.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.http import HttpRequest
from django_otp import user_has_device
from django_otp.models import Device

from django_sessions_plus.accounts.second_factors import SECOND_FACTOR_REQUIRED, SignInRefusal
from django_sessions_plus.contrib.factor_changes import watch


def refuse(request: HttpRequest, user: Any) -> SignInRefusal | None:
    """Refuse a user who has confirmed a device. One query for each kind of device that is installed."""
    return SECOND_FACTOR_REQUIRED if user_has_device(user) else None


def connect() -> None:
    """Report devices of every kind that are confirmed, or removed after that."""
    for model in apps.get_models():
        if issubclass(model, Device):
            watch(model, lambda device: str(device._meta.model_name), confirmed="confirmed")
