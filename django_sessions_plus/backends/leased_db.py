"""The database engine without a lookup: ``SESSION_ENGINE = "django_sessions_plus.backends.leased_db"``.

Who a session belongs to is served from the memory of the process, for as long as a lease says that the process has
heard of every session that ended (``SESSIONS_PLUS_LEASE``). The session's data is read from the database when it is
used, and every write is that of ``backends.db``. Without a valid lease, so is every read: see ``leasing``.
"""

from __future__ import annotations

import uuid
from asyncio import get_running_loop
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections
from django.utils.functional import cached_property

from django_sessions_plus import tokens
from django_sessions_plus.backends import context, opened
from django_sessions_plus.backends.db import SessionStore as DBStore
from django_sessions_plus.backends.leasing.listening import memory_of
from django_sessions_plus.backends.leasing.rows import LeasedRows
from django_sessions_plus.backends.twins import async_twin, in_thread
from django_sessions_plus.backends.use import NO_META


class SessionStore(DBStore):
    """Store sessions in the database, and who they belong to in memory."""

    identity: Mapping[str, Any] | None = None
    """What the memory knows of the data, while the data itself is not loaded."""

    @cached_property
    def rows(self) -> LeasedRows:
        """The object that finds and writes the rows of this store."""
        model = self.get_model_class()
        return LeasedRows(model, memory_of(model))

    @property
    def known_data(self) -> Mapping[str, Any] | None:
        """See BaseStore; also what the memory knows."""
        return self.identity if self.identity is not None else super().known_data

    def identify(self) -> Mapping[str, Any]:
        """See BaseStore; without a query if the memory has the row."""
        if not self._open_leased():
            return self.load_if_needed()
        if self._is_context_refused():
            self.end_for_context_change()
        return self.known_data or {}

    async def aidentify(self) -> Mapping[str, Any]:
        """See BaseStore; without a thread if the memory has the row."""
        if not self._open_leased():
            return await self.aload_if_needed()
        if self._is_context_refused():
            await in_thread(self.end_for_context_change)
        return self.known_data or {}

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:
        # Django would not load the data of a session that has no token, because it was opened by its id.
        if self.identity is not None and not no_load:
            self._session_cache = self._load_beside() if _is_in_event_loop() else self.load()
        return super()._get_session(no_load)

    # Django's property calls Django's method.
    _session = property(_get_session)

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        if self.identity is not None and not no_load:
            data = await self.aload()
            if super().known_data is None:
                self._session_cache = data
        return await super()._aget_session(no_load)

    def _load_beside(self) -> dict[str, Any]:
        """Load the data in a thread that nobody else uses, while the event loop waits.

        For async code that has awaited the user and then reads the session without awaiting: with Django's
        engines that works, because the data was loaded with the user.
        """

        def load() -> dict[str, Any]:
            try:
                return self.load()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(load).result()

    def load(self) -> dict[str, Any]:
        """See SessionStore. If the session that the memory knew has ended since, the request becomes anonymous."""
        leased, self.identity = self.row if self.identity is not None else None, None
        data = super().load()
        self._keep(data)
        is_gone = leased is not None and (self.row is None or self.row.user_id != leased.user_id)
        if is_gone and self.on_end is not None:
            self.on_end()
        return data

    aload = async_twin(load)

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
        self.identity = None
        super().forget(modified=modified)

    def _open_leased(self) -> bool:
        """Return whether the memory knows the session of this store, which then has its row."""
        if self.identity is not None:
            return True
        if super().known_data is not None or not tokens.is_well_formed(self.session_key):
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


def _is_in_event_loop() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True
