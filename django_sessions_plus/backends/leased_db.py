"""The database engine without a lookup: ``SESSION_ENGINE = "django_sessions_plus.backends.leased_db"``.

Who a session belongs to is served from the memory of the process, for as long as a lease says that the process has
heard of every session that ended (``SESSIONS_PLUS_LEASE``). The session's data is read from the database when it is
used, unless ``SESSIONS_PLUS_LEASE_DATA`` is set, and every write is that of ``backends.db``. Without a valid lease, so
is every read: see ``leasing``.

Longer than other modules, because what a store has from memory concerns each way to open and to use it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.db import router
from django.utils.functional import cached_property

from django_sessions_plus import tokens
from django_sessions_plus.backends import context, opened
from django_sessions_plus.backends.db import SessionStore as DBStore
from django_sessions_plus.backends.leasing import announcing
from django_sessions_plus.backends.leasing.channels import Channel
from django_sessions_plus.backends.leasing.listening import channel_of, memory_of
from django_sessions_plus.backends.leasing.rows import LeasedRows
from django_sessions_plus.backends.session import is_user_missing
from django_sessions_plus.backends.twins import async_twin, beside_event_loop, in_thread
from django_sessions_plus.backends.use import NO_META
from django_sessions_plus.conf import config
from django_sessions_plus.exceptions import StaleSessionError

if TYPE_CHECKING:
    # Not at run time: the engine must be importable while apps are still loading.
    from django_sessions_plus.base_session import AbstractSession


class SessionStore(DBStore):
    """Store sessions in the database, and who they belong to in memory."""

    identity: Mapping[str, Any] | None = None
    """What the memory knows of the data, while the data itself is not loaded."""
    is_loading = False
    """Whether a thread is reading the row, so that no other coroutine of the request may open it meanwhile."""
    has_ended_meanwhile = False
    """Whether the session that the memory knew had ended when its data was read."""

    @cached_property
    def rows(self) -> LeasedRows:
        """The object that finds and writes the rows of this store."""
        model = self.get_model_class()
        return LeasedRows(model, memory_of(model))

    @classmethod
    def longest_lease(cls) -> float:
        """See backends.db. The lease, if this process could hear what has ended, so that memory may be served."""
        channel = cls._channel()
        # Without a connection there is no other process, or what it serves is not bounded by a lease.
        is_served = channel.has_connection and channel.why_impossible() is None
        return config.LEASE.total_seconds() if is_served else 0.0

    @classmethod
    def invalidation_delay(cls) -> int | None:
        """See backends.db. While others may not have heard of it, it is the longest time that a snapshot is used."""
        return cls._channel().unheard_for()

    @classmethod
    def _channel(cls) -> Channel:
        model = cls.get_model_class()
        return channel_of(model, router.db_for_write(model))

    @property
    def known_data(self) -> Mapping[str, Any] | None:
        """See BaseStore; also what the memory knows."""
        data = super().known_data
        return self.identity if data is None else data

    def identify(self) -> Mapping[str, Any]:
        """See BaseStore; without a query if the memory has the row."""
        if not self._open_leased():
            return self.load_if_needed()
        if self._is_context_refused():
            self.end_for_context_change()
        self._add_user()
        return self.known_data or {}

    async def aidentify(self) -> Mapping[str, Any]:
        """See BaseStore; without a thread if the memory has the row."""
        if not self._open_leased():
            return await self.aload_if_needed()
        if self._is_context_refused():
            await in_thread(self.end_for_context_change)
        if is_user_missing(self) and not self.rows.memory.has_users:
            await in_thread(self._add_user)
        return self.known_data or {}

    def is_verified(self, data: Mapping[str, Any]) -> bool:
        """See BaseStore. A snapshot with a user is made only after they were compared."""
        return data is self.identity and self.rows.memory.has_users

    def _add_user(self) -> None:
        if self.row is not None and is_user_missing(self):
            self.rows.add_user(self.row)

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:
        # Django would not load the data of a session that has no token, because it was opened by its id.
        if self._is_data_missing and not no_load and not self._load_leased():
            # Async code may await the user and then read the session without awaiting: with Django's
            # engines that works, because the data was loaded with the user.
            beside_event_loop(self._load_stored)
        return super()._get_session(no_load)

    # Django's property calls Django's method.
    _session = property(_get_session)

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        if self._is_data_missing and not no_load:
            await self.aload()
        return await super()._aget_session(no_load)

    @property
    def _is_data_missing(self) -> bool:
        """Whether only the memory has been asked. Other engines have loaded the data by then."""
        return self.identity is not None and super().known_data is None

    def load(self) -> dict[str, Any]:
        """See SessionStore; without a query if the memory has the data."""
        return self._session_cache if self._load_leased() else self._load_stored()

    async def aload(self) -> dict[str, Any]:
        """See load(); without a thread if the memory has the data."""
        return self._session_cache if self._load_leased() else await in_thread(self._load_stored)

    def _load_stored(self) -> dict[str, Any]:
        """Read the database. If the session that the memory knew has ended since, the request becomes anonymous."""
        leased = self.row if self.identity is not None else None
        self.is_loading = True
        try:
            data = super().load()
        finally:
            self.is_loading = False
        self._keep(data)
        # The policy for another network may have ended it just now, and has forgotten the identity then.
        if leased is not None and self.identity is not None and not self._is_still(leased):
            data = self._end_meanwhile()
        # At once: another coroutine that finds neither of them would take the session for an empty one.
        if super().known_data is None:
            self._session_cache = data
        self.identity = None
        return data

    def _load_leased(self) -> bool:
        """With ``SESSIONS_PLUS_LEASE_DATA``, load the data from memory; return whether the memory has it."""
        if not config.LEASE_DATA or not self._open_leased() or self._is_context_refused():
            return False
        text = None if self.row is None else vars(self.row).get("session_data")
        if text is None:
            return False
        self._session_cache, self.identity = self.decode(text), None
        return True

    def _is_still(self, leased: AbstractSession) -> bool:
        return self.row is not None and self.row.user_id == leased.user_id

    def _end_meanwhile(self) -> dict[str, Any]:
        if self.row is not None:
            # It has another user now.
            self.forget_and_keep_cookie()
        elif self.on_end is not None:
            self.on_end()
        self.has_ended_meanwhile = True
        return {}

    def mark_authenticated(self, user: Any = None) -> None:
        """See SessionStore. The data is loaded first, by the token that the client has."""
        if self._is_data_missing:
            self._get_session()
        super().mark_authenticated(user)

    def create(self) -> None:
        """See SessionStore. As with other engines, the data goes along once somebody has asked for the user."""
        if self._is_data_missing:
            self._get_session()
        super().create()

    acreate = async_twin(create)

    def save(self, must_create: bool = False) -> None:
        """See SessionStore.

        Raises:
            StaleSessionError: also if the session has ended between the user and the data. A new session would
                have what the view has written for the user whom the memory knew.
        """
        if self.has_ended_meanwhile and self.row is None and not must_create:
            raise StaleSessionError
        super().save(must_create)

    asave = async_twin(save)

    def open_by_id(self, session_id: uuid.UUID, *, from_primary: bool = False) -> bool:
        """See SessionStore; without a query if the memory has the row."""
        if not from_primary and self._open_leased_by_id(session_id):
            if self._is_context_refused():
                self.end_for_context_change()
            return self.row is not None
        self.identity = None
        is_active = super().open_by_id(session_id, from_primary=from_primary)
        if is_active and not from_primary:
            self._keep(self._session_cache)
        return is_active

    async def aopen_by_id(self, session_id: uuid.UUID, *, from_primary: bool = False) -> bool:
        """See open_by_id(); without a thread if the memory has the row."""
        if not from_primary and self._open_leased_by_id(session_id):
            if self._is_context_refused():
                await in_thread(self.end_for_context_change)
            return self.row is not None
        return await in_thread(self.open_by_id, session_id, from_primary=from_primary)

    def forget(self, *, modified: bool = False) -> None:
        """See SessionStore."""
        self.identity, self.has_ended_meanwhile = None, False
        super().forget(modified=modified)

    @classmethod
    def needs_invalidation(cls) -> bool:
        """Return whether code that writes rows without a store has to call ``invalidate()``: not with triggers."""
        return announcing.is_needed()

    @classmethod
    def invalidate(cls, digests: Iterable[str], using: str) -> None:
        """Remove these rows from the memories that hear of it, now and at the commit of the running transaction.

        For code that writes rows without a store; the querysets of the model call it.
        """
        announcing.announce([f"d {digest}" for digest in digests], using)

    @classmethod
    def named_at_most(cls) -> int:
        """Return how many digests ``invalidate()`` takes before it removes all rows instead."""
        return announcing.MOST_NAMED

    def _open_leased(self) -> bool:
        """Return whether the memory knows the session of this store, which then has its row."""
        if self.identity is not None:
            return True
        if self.is_loading or super().known_data is not None or not _is_load_ours(type(self)):
            return False
        if not tokens.is_well_formed(self.session_key):
            return False
        return self._set_leased(tokens.digest(self.session_key))

    def _open_leased_by_id(self, session_id: uuid.UUID) -> bool:
        self.is_opened_by_id = True
        self.transport = "jwt"
        vars(self).pop("_session_cache", None)
        return self._set_leased(session_id)

    def _set_leased(self, key: str | uuid.UUID) -> bool:
        snapshot = self.rows.leased(key)
        if snapshot is None:
            return False
        row = snapshot.instance()
        if not row.is_active():
            # Another process may have moved its expiry a moment ago.
            return False
        self.row, self.identity = row, snapshot.identity
        self.accessed = True
        if self.meta is NO_META:
            opened.add_if_presented(self)
        return True

    def _is_context_refused(self) -> bool:
        return self.applies_context_policy and context.apply_context_policy(self.row, self)

    def _keep(self, data: Mapping[str, Any]) -> None:
        if self.row is not None:
            self.rows.keep(self.row, data)


def _is_load_ours(store: type[SessionStore]) -> bool:
    """Return whether no engine of the project has a ``load()`` of its own, which may refuse sessions."""
    return store.load is SessionStore.load and store.aload is SessionStore.aload
