"""Which columns a write has to carry: the decisions between a session and its row. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.auth import SESSION_KEY
from django.core.exceptions import ValidationError

from django_sessions_plus import devices, policy, tokens
from django_sessions_plus.backends.base import EXPIRY_KEY, NO_META, RowSession
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

Columns = dict[str, Any]


class ColumnSession(RowSession):
    """A session that knows what of it differs from its row, and writes nothing else."""

    def is_row_user(self, data: Mapping[str, Any]) -> bool:
        """Tell whether the data names the same user as the loaded row."""
        if self._row is None:
            return False
        # As Django writes it, mostly; what else may mean the same key has to be converted.
        key = self._row.user_id
        return data.get(SESSION_KEY) == str(key) or self.user_id(data) == key

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
        authenticated_at = None if user_id is None else now
        return {
            "token_digest": tokens.digest(self._get_or_create_session_key()),
            "user_id": user_id,
            "session_data": self.encode(data),
            "created_at": now,
            "authenticated_at": authenticated_at,
            "updated_at": now,
            "last_seen_at": now,
            "expires_at": self._next_expiry(data, authenticated_at, now),
            "remember": self.remember,
            **self._client(),
            **self.extra_columns(data),
        }

    def _changed_columns(
        self, row: AbstractSession, data: dict[str, Any], now: datetime
    ) -> Columns:
        """Return what a save of ``data`` has to write over ``row``, and nothing it has not."""
        columns = {**self._identity_columns(row, data, now), **self.extra_columns(data)}
        if self._remember is not None:
            columns["remember"] = self._remember
        text = self.encode(data)
        if text != row.session_data:
            columns |= {"session_data": text, "version": row.version + 1}
        if self.counts_as_activity or "authenticated_at" in columns:
            authenticated_at = columns.get("authenticated_at", row.authenticated_at)
            expires_at = self._next_expiry(data, authenticated_at, now)
            columns |= {"updated_at": now, "last_seen_at": now, "expires_at": expires_at}
            columns |= self._changed_client(row)
        elif self._is_expiry_decided(row, data):
            columns["expires_at"] = self._next_expiry(data, row.authenticated_at, now)
        return {name: value for name, value in columns.items() if getattr(row, name) != value}

    def _is_expiry_decided(self, row: AbstractSession, data: dict[str, Any]) -> bool:
        """Tell whether the expiry was set, or the session's being remembered changed, since the row was read."""
        if self._remember not in (None, row.remember):
            return True
        return self.decode(row.session_data).get(EXPIRY_KEY) != data.get(EXPIRY_KEY)

    def _identity_columns(
        self, row: AbstractSession, data: dict[str, Any], now: datetime
    ) -> Columns:
        user_id = self.user_id(data)
        if user_id is None:
            return {} if row.user_id is None else {"user_id": None, "authenticated_at": None}
        if user_id == row.user_id and not self._authenticated_now:
            return {}
        return {"user_id": user_id, "authenticated_at": now, **self._client()}

    def _touch_columns(self, row: AbstractSession, now: datetime) -> Columns:
        """Return what use without a change has to write: nothing, most of the time."""
        if not self.counts_as_activity:
            return {}
        columns: Columns = {}
        explicit = self._session_cache.get(EXPIRY_KEY)
        if not isinstance(explicit, (str, datetime)) and policy.is_slide_due(
            updated_at=row.updated_at,
            idle_age=timedelta(seconds=explicit) if explicit else self._idle_age(),
            update_age=config.UPDATE_AGE,
            now=now,
        ):
            expires_at = self._next_expiry(self._session_cache, row.authenticated_at, now)
            columns |= {"updated_at": now, "expires_at": expires_at}
        if columns or policy.is_last_seen_due(
            last_seen_at=row.last_seen_at, interval=config.LAST_SEEN_INTERVAL, now=now
        ):
            columns |= {"last_seen_at": now, **self._changed_client(row)}
        return columns

    def _client(self) -> Columns:
        """Return what the request said of its device, as far as recording is switched on."""
        if self._meta is NO_META:
            return {}
        address = devices.client_ip(self._meta, config.TRUSTED_PROXIES, config.CLIENT_IP_HEADER)
        user_agent = self._meta.get("HTTP_USER_AGENT")
        return {
            "ip_address": devices.recorded_ip(address, config.RECORD_IP),
            "user_agent": devices.recorded_user_agent(user_agent, config.RECORD_USER_AGENT),
        }

    def _changed_client(self, row: AbstractSession) -> Columns:
        # What a request does not tell (a health check without a user agent) changes nothing.
        known = {name: value for name, value in self._client().items() if value is not None}
        return {name: value for name, value in known.items() if getattr(row, name) != value}
