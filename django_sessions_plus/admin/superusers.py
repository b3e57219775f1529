"""Which sessions staff may end: those of superusers only as a superuser, unless a setting says otherwise."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist

from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config


def is_protected_from(actor: Any, user: Any) -> bool:
    """Return whether ``actor`` must not end the sessions of ``user`` (None for anonymous ones)."""
    return _is_restricted(actor) and bool(getattr(user, "is_superuser", False))


def is_session_protected_from(actor: Any, session: AbstractSession) -> bool:
    """Return whether ``actor`` must not end this session; one query at most."""
    return session.user_id in keys_protected_from(actor, [session.user_id])


def keys_protected_from(actor: Any, keys: Collection[Any]) -> set[Any]:
    """Return the keys of those users whose sessions ``actor`` must not end; one query at most."""
    if not _is_restricted(actor):
        return set()
    found = get_user_model()._base_manager.filter(pk__in=keys)
    return {user.pk for user in found if is_protected_from(actor, user)}


def without_protected(actor: Any, rows: Any) -> Any:
    """Return the queryset without the sessions that ``actor`` must not end; for sets of any size."""
    users = get_user_model()
    try:
        users._meta.get_field("is_superuser")
    except FieldDoesNotExist:
        return rows
    if not _is_restricted(actor):
        return rows
    # No join: the users may be in another database.
    keys = list(users._base_manager.filter(is_superuser=True).values_list("pk", flat=True))
    return rows.exclude(user__in=keys)


def _is_restricted(actor: Any) -> bool:
    is_superuser = getattr(actor, "is_superuser", False) and getattr(actor, "is_active", True)
    return config.ADMIN_PROTECTS_SUPERUSERS and not is_superuser
