"""Bring two sets of changes to one session's data together, key by key.

Pure: three dictionaries in, one out. Who is signed in is never merged from two.
"""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

IDENTITY_KEYS = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)

_ABSENT = object()


def is_same_identity(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether both say the same about who is signed in, and how."""
    return all(one.get(key) == other.get(key) for key in IDENTITY_KEYS)


def is_same_user(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether both name the same user, or nobody."""
    return one.get(SESSION_KEY) == other.get(SESSION_KEY)


def merge(
    *,
    base: Mapping[str, Any],
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
    is_my_password_new: bool = False,
) -> dict[str, Any] | None:
    """Return ``theirs`` with every key that ``mine`` changed since ``base``.

    A key that both changed takes my value, as if I had written a moment later. Who is signed in, and
    how, is taken as a whole: from mine if I signed somebody in or set a new password
    (``is_my_password_new``), else from theirs if they changed it, such as after a change of
    ``SECRET_KEY``. None means that they signed in another user, or signed out: what was done on
    behalf of somebody else must not reach that user's session.
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
    """Return whether both would be stored alike: to Python, not to JSON, 1 and 1.0 and True are equal."""
    if type(before) is not type(after) or before != after:
        return False
    if isinstance(before, dict):
        return all(_is_unchanged(value, after[key]) for key, value in before.items())
    if isinstance(before, list):
        return all(map(_is_unchanged, before, after))
    return True
