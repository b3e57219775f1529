"""What is special about sessions that come as a signed cookie: their token is derived, and there may be copies.

A cookie says when it was signed, but neither to which session it belongs nor which earlier cookie it has replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.views.decorators.debug import sensitive_variables

from django_sessions_plus import tokens
from django_sessions_plus.policy import EndReason
from django_sessions_plus.switching.models import ImportedKey
from django_sessions_plus.switching.sources.cookies import SignedCookieSource
from django_sessions_plus.switching.sources.named import sources

if TYPE_CHECKING:
    from django_sessions_plus.backends.rows import Rows
    from django_sessions_plus.backends.session import SessionStore
    from django_sessions_plus.base_session import AbstractSession


@sensitive_variables()
def take_cookie(store: SessionStore) -> bool:
    """If the token of ``store`` is a cookie with the signed data of another engine, use the token derived from it.

    Returns whether it was. No query.

    Raises:
        ConfigurationError: ``SESSIONS_PLUS_IMPORT_FROM`` names something that cannot be used.
    """
    derived = _token_of(store.session_key)
    if derived is not None:
        store.cookie_value, store._session_key = store.session_key, derived
    return derived is not None


def is_cookie_used(store: SessionStore) -> bool:
    """Return whether the session of the cookie that ``take_cookie()`` has taken was imported, or forbidden, before."""
    digest = tokens.digest(_token_of(store.cookie_value) or "")
    return ImportedKey.objects.using(store.rows.alias).filter(digest=digest).exists()


def is_copy_of_ended(row: AbstractSession, rows: Rows) -> bool:
    """Return whether the session may be an earlier state of one that was imported, and that was ended here.

    Nothing tells it from a session that the same user has in another browser. So all that were signed no later
    are refused. A session that ended at the limit does not count, because nobody wanted it to end.
    """
    if row.user_id is None:
        return False
    ended = rows.query().filter(
        user=row.user_id,
        transport="cookie",
        imported_at__isnull=False,
        created_at__gte=row.created_at,
        end_reason__in=[each for each in EndReason if each is not EndReason.LIMIT],
    )
    return ended.exists()


@sensitive_variables()
def _token_of(value: str | None) -> str | None:
    cookies = (each for each in sources() if isinstance(each, SignedCookieSource))
    derived = (each.token_for(value) for each in cookies if value is not None)
    return next((token for token in derived if token is not None), None)
