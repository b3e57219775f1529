"""Merge the changes of two requests to one session's data, key by key. Pure functions.

The keys that say who is signed in are always taken together from one of the two.
"""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

IDENTITY_KEYS = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)

_ABSENT = object()


def is_same_identity(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether both have the same user, authentication backend and auth hash."""
    return all(one.get(key) == other.get(key) for key in IDENTITY_KEYS)


def is_same_user(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether both have the same user, or none."""
    return one.get(SESSION_KEY) == other.get(SESSION_KEY)


def merge(
    *,
    base: Mapping[str, Any],
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
    is_my_password_new: bool = False,
) -> dict[str, Any] | None:
    """Return the stored data ``theirs`` with every change from ``base``, which this request loaded, to ``mine``.

    If both changed a key, the value of ``mine`` wins, as with a later write. ``IDENTITY_KEYS`` are taken
    together: from ``mine`` if this request signed a user in or set a new password
    (``is_my_password_new``), else from ``theirs`` if they differ from ``base``, for example after a
    change of ``SECRET_KEY``. None if ``theirs`` has another user than ``base``: nothing that was done for
    one user may be saved in another user's session.
    """
    if not is_same_user(base, theirs):
        return None
    merged = dict(theirs)
    skipped = IDENTITY_KEYS if _is_identity_theirs(base, mine, theirs, is_my_password_new) else ()
    for key in base.keys() | mine.keys():
        value = mine.get(key, _ABSENT)
        if key in skipped or _is_unchanged(base.get(key, _ABSENT), value):
            continue
        if value is _ABSENT:
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def _is_identity_theirs(
    base: Mapping[str, Any],
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
    is_my_password_new: bool,
) -> bool:
    if is_my_password_new or not is_same_user(base, mine):
        return False
    return not is_same_identity(base, theirs)


def _is_unchanged(before: Any, after: Any) -> bool:
    """Return whether both are the same JSON: Python alone says that 1, 1.0 and True are equal."""
    if type(before) is not type(after) or before != after:
        return False
    if isinstance(before, dict):
        return all(_is_unchanged(value, after[key]) for key, value in before.items())
    if isinstance(before, list):
        return all(map(_is_unchanged, before, after))
    return True
