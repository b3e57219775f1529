"""Which columns a write has to carry: the decisions between a session and its row. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.core.exceptions import ValidationError

from django_sessions_plus import policy, tokens
from django_sessions_plus.backends.base import EXPIRY_KEY
from django_sessions_plus.backends.context import NO_CONTEXT_CHANGE, Columns, ContextSession
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

# By how much the clocks of the hosts that write one row may differ.
CLOCK_SKEW = timedelta(minutes=1)

NO_REFRESH_TOKENS: Columns = {
    "refresh_digest": None,
    "refresh_started_at": None,
    "refreshed_at": None,
}


class ColumnSession(ContextSession):
    """A session that knows what of it differs from its row, and writes nothing else."""

    def is_row_user(self, data: Mapping[str, Any]) -> bool:
        """Tell whether the data names the same user as the loaded row."""
        return self._row is not None and self._is_user_of(self._row, data)

    def _is_user_of(self, row: AbstractSession, data: Mapping[str, Any]) -> bool:
        # As Django writes it, mostly; what else may mean the same key has to be converted.
        key = row.user_id
        is_as_written = key is not None and data.get(SESSION_KEY) == str(key)
        return is_as_written or self.user_id(data) == key

    def user_id(self, data: Mapping[str, Any]) -> Any:
        """Return the key of the user the data names, in the type of the user's key; None if it names none.

        Data can hold anything under that name; what cannot be a key is nobody.
        """
        value = data.get(SESSION_KEY)
        if value is None:
            return None
        field = self.get_model_class()._meta.get_field("user").target_field
        try:
            key = field.to_python(value)
            field.run_validators(key)
        except (ValidationError, ValueError, TypeError, OverflowError):
            return None
        return key

    def extra_columns(self, data: Mapping[str, Any]) -> Columns:
        """Return the values of your own columns for a session with this ``data``.

        The hook for models with columns of their own. They are written with the
        session when their value differs from the row's.
        """
        return {}

    def _new_columns(self, data: dict[str, Any], now: datetime) -> Columns:
        user_id = self.user_id(data)
        since = None if user_id is None else now
        return {
            "token_digest": tokens.digest(self._get_or_create_session_key()),
            "user_id": user_id,
            "session_data": self.encode(data),
            "created_at": now,
            "authenticated_at": since if self.is_authenticated_at_start else None,
            "updated_at": now,
            "last_seen_at": now,
            "expires_at": self._next_expiry(data, since, now),
            "remember": self.remember,
            **self._client(),
            **self.extra_columns(data),
        }

    def _changed_columns(
        self, row: AbstractSession, data: dict[str, Any], now: datetime
    ) -> Columns:
        """Return what a save of ``data`` has to write over ``row``, and nothing it has not.

        A save is a use like any other: the expiry, and with it the cookie and two indexes,
        moves no more often than by touches.
        """
        columns = {**self._identity_columns(row, data, now), **self.extra_columns(data)}
        if self._remember is not None:
            columns["remember"] = self._remember
        text = self.encode(data)
        if text != row.session_data:
            columns |= {"session_data": text, "version": row.version + 1}
        if "authenticated_at" in columns:
            expires_at = self._next_expiry(data, columns["authenticated_at"], now)
            columns |= {"updated_at": now, "last_seen_at": now, "expires_at": expires_at}
            columns |= self._changed_client(row)
        else:
            columns |= self._touch_columns(row, data, now)
            if self._is_expiry_decided(row, data):
                columns |= self._slide_columns(row, data, now)
        changed = {
            name: value
            for name, value in columns.items()
            # What is not read with a row is no part of what it may have already.
            if name in NO_CONTEXT_CHANGE or getattr(row, name) != value
        }
        if row.user_id is not None and self._is_line_over(row, data, changed):
            # Also if this row was read before there were any.
            changed |= NO_REFRESH_TOKENS
        if row.user_id is not None and "user_id" in changed:
            # Where one person was is nothing to tell of another.
            changed |= NO_CONTEXT_CHANGE
        if changed or not self.counts_as_activity:
            return changed
        # A save without a statement could not tell that the session has ended meanwhile.
        return {"last_seen_at": now}

    def _is_line_over(
        self, row: AbstractSession, data: Mapping[str, Any], changed: Columns
    ) -> bool:
        """Tell whether the refresh tokens are now another person's, or of whoever had them before.

        Who authenticates again, or changes the password, must have rid the session of every
        copy of what it gave out so far (OWASP ASVS 5.0 7.2.4, 7.4.3).
        """
        if self._authenticated_now or "user_id" in changed:
            return True
        return "session_data" in changed and self._is_password_changed(row, data)

    def _is_password_changed(self, row: AbstractSession, data: Mapping[str, Any]) -> bool:
        auth_hash, text = data.get(HASH_SESSION_KEY), row.session_data
        # As it stands in nearly all data, which needs no decoding.
        if text.startswith("{") and f'"{HASH_SESSION_KEY}":"{auth_hash}"' in text:
            return False
        before = self.decode(text).get(HASH_SESSION_KEY)
        return before != auth_hash and not self._is_renewed(row, before, auth_hash)

    def _is_renewed(self, row: AbstractSession, before: Any, auth_hash: Any) -> bool:
        """Tell whether both are of the password the user has, before and after a change of ``SECRET_KEY``."""
        user = self._user
        if getattr(user, "pk", None) != row.user_id:
            user = row._state.fields_cache.get("user")
        return (
            hasattr(user, "get_session_auth_hash")
            and auth_hash == user.get_session_auth_hash()
            and before in user.get_session_auth_fallback_hash()
        )

    def _is_expiry_decided(self, row: AbstractSession, data: dict[str, Any]) -> bool:
        """Tell whether somebody has decided how long the session is to last since its expiry was set."""
        explicit, text = data.get(EXPIRY_KEY), row.session_data
        # Nearly all data is plain and without that key, which needs no decoding.
        if explicit is None and text.startswith("{") and EXPIRY_KEY not in text:
            lasted = row.expires_at - row.updated_at
            return abs(self._idle_age() - lasted) > CLOCK_SKEW
        return self.decode(text).get(EXPIRY_KEY) != explicit

    def _identity_columns(
        self, row: AbstractSession, data: dict[str, Any], now: datetime
    ) -> Columns:
        if not self._authenticated_now and self._is_user_of(row, data):
            return {}
        user_id = self.user_id(data)
        if user_id is None:
            return {} if row.user_id is None else {"user_id": None, "authenticated_at": None}
        return {"user_id": user_id, "authenticated_at": now, **self._client()}

    def _touch_columns(
        self, row: AbstractSession, data: Mapping[str, Any], now: datetime
    ) -> Columns:
        """Return what use without a change has to write: nothing, most of the time."""
        if not self.counts_as_activity:
            return {}
        columns: Columns = {}
        explicit = data.get(EXPIRY_KEY)
        if not isinstance(explicit, (str, datetime)) and policy.is_slide_due(
            updated_at=row.updated_at,
            idle_age=timedelta(seconds=explicit) if explicit else self._idle_age(),
            update_age=self._update_age(),
            now=now,
        ):
            columns |= self._slide_columns(row, data, now)
        doubt = self._doubt_columns(row, now)
        if (
            columns
            or doubt
            or policy.is_last_seen_due(
                last_seen_at=row.last_seen_at, interval=config.LAST_SEEN_INTERVAL, now=now
            )
        ):
            columns |= {**self._used_columns(row, now), **doubt}
        return columns

    def _slide_columns(
        self, row: AbstractSession, data: Mapping[str, Any], now: datetime
    ) -> Columns:
        expires_at = self._next_expiry(data, row.limited_from, now)
        is_moved = expires_at != row.expires_at
        return {"updated_at": now, "expires_at": expires_at} if is_moved else {}

    def _update_age(self) -> timedelta:
        # Who asks Django to save with every request asks for exactly that.
        return timedelta(0) if settings.SESSION_SAVE_EVERY_REQUEST else config.UPDATE_AGE
