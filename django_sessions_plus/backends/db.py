"""The database session engine: ``SESSION_ENGINE = "django_sessions_plus.backends.db"``.

Django's session contract in both modes. Every write is one statement that is
conditional on the row still living and still bearing the token it was loaded
with; only when it finds no row does the store look closer, under a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import CreateError

from django_sessions_plus.backends.by_id import IdSession
from django_sessions_plus.backends.settling import news_of, required
from django_sessions_plus.exceptions import StaleSessionError

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession


class SessionStore(IdSession):
    """Keep sessions in the database, each bound to the digest of its token."""

    @classmethod
    def get_model_class(cls) -> type[AbstractSession]:
        """Return the model of the rows; override it in an engine of your own."""
        # Not at import: the engine must be importable while apps are still loading.
        from django_sessions_plus.models import Session  # noqa: PLC0415

        return Session

    # Read

    def load(self) -> dict[str, Any]:
        """Return the session's data; an empty session for a token that opens nothing.

        Unknown, expired, ended and malformed are the same to the caller: no row is
        created (CVE-2015-5143) and nothing is raised. So is a session that ends because it
        is used from elsewhere, where ``SESSIONS_PLUS_CONTEXT_POLICY`` says so.
        """
        data = self._adopt(self._read())
        return self.end_elsewhere() if self.is_refused_here() else data

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        data = self._adopt(await self._aread())
        if self.is_refused_here():
            return await sync_to_async(self.end_elsewhere, thread_sensitive=True)()
        return data

    def exists(self, session_key: str | None) -> bool:
        """Tell whether the token names a session that has not ended."""
        query = self._bearing(session_key)
        return query is not None and query.exists()

    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        query = self._bearing(session_key)
        return query is not None and await query.aexists()

    # Write

    def create(self) -> None:
        """Insert a row under a new token, with the data there is.

        Raises:
            StaleSessionError: the row was opened by its id, and there is none any more. Whoever
                presented that has no use for a token.
        """
        self._refuse_new_row()
        while True:
            self._session_key = self._get_new_session_key()
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    async def acreate(self) -> None:
        """See create()."""
        self._refuse_new_row()
        while True:
            self._session_key = await self._aget_new_session_key()
            try:
                await self.asave(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def save(self, must_create: bool = False) -> None:
        """Write what changed, and only where the session still lives.

        Changes that parallel requests made to other keys are kept. A session that has
        ended, or whose token was rotated, since it was loaded is never written.

        Raises:
            CreateError: ``must_create``, and the token is taken.
            StaleSessionError: (an ``UpdateError``) there is no such row to be written any more.
        """
        if self.session_key is None and not self.is_opened_by_id:
            self.create()
            return
        data = self._get_session(no_load=must_create)
        if must_create:
            self._refuse_new_row()
            self._insert(self.create_model_instance(data))
            return
        row = self._row or required(self._read())
        columns = self._save_columns(row, data)
        if self.is_rolled_back() or (columns and not self._write(row, columns)):
            self._settle(row, data)
            return
        self._keep_row_until_commit(row)
        news = news_of(row, columns)
        self._note_saved(row, columns)
        self._tell_all(row, news)

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        if self.session_key is None and not self.is_opened_by_id:
            await self.acreate()
            return
        data = await self._aget_session(no_load=must_create)
        if must_create:
            self._refuse_new_row()
            await self._ainsert(await self.acreate_model_instance(data))
            return
        row = self._row or required(await self._aread())
        columns = self._save_columns(row, data)
        if await self.ais_rolled_back() or (columns and not await self._awrite(row, columns)):
            await self._asettle(row, data)
            return
        news = news_of(row, columns)
        self._note_saved(row, columns)
        await self._atell_all(row, news)

    def cycle_key(self) -> None:
        """Give the session a new token on the same row; the old one is dead at once.

        Raises:
            StaleSessionError: the session ended or was rotated since it was loaded. To put its
                data under another token would bring it back.
        """
        self.load_if_needed()
        row = self._row or self._read()
        if row is None:
            self.create()
            return
        columns = self._rotation_columns()
        if not self._write(row, columns):
            raise StaleSessionError
        self._keep_row_until_commit(row)
        self._note_rotated(row, columns)

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await self.aload_if_needed()
        row = self._row or await self._aread()
        if row is None:
            await self.acreate()
            return
        columns = self._rotation_columns()
        if not await self._awrite(row, columns):
            raise StaleSessionError
        self._note_rotated(row, columns)

    def touch(self) -> bool:
        """Record that the session is in use, at most once per interval; return whether its expiry moved.

        Of any number of parallel requests one writes: the statement is conditional on
        the time of last activity they all have loaded. Never raises for a session that
        ended meanwhile.
        """
        row, columns = self._row, self._due_columns()
        if row is None or not columns or not self._write_touch(row, columns):
            return False
        news = news_of(row, columns)
        self._note_written(row, columns)
        self._tell_all(row, news)
        return "expires_at" in columns

    async def atouch(self) -> bool:
        """See touch()."""
        row, columns = self._row, self._due_columns()
        if row is None or not columns or not await self._awrite_touch(row, columns):
            return False
        news = news_of(row, columns)
        self._note_written(row, columns)
        await self._atell_all(row, news)
        return "expires_at" in columns

    # End

    def delete(self, session_key: str | None = None) -> None:
        """End the session of this token (default: the store's own).

        The row of a sign-in is kept, its data wiped, until ``SESSIONS_PLUS_RETENTION``
        has passed; an anonymous row is deleted. Harmless for None and unknown tokens.
        """
        row = self._own_row(session_key) or self._first(self._named(session_key))
        if row is not None:
            self._end(row)

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        await sync_to_async(self.delete)(session_key)

    def flush(self) -> None:
        """End the session and become an empty one without a token."""
        self.delete()
        self._become_empty()

    async def aflush(self) -> None:
        """See flush()."""
        await self.adelete()
        self._become_empty()

    @contextmanager
    def ending_as(self, reason: str) -> Iterator[None]:
        """Record ``reason`` should the session end inside the block."""
        before, self.end_reason = self.end_reason, reason
        try:
            yield
        finally:
            self.end_reason = before

    def settle_end(self) -> None:
        """End the session once more if that happened in a transaction that was rolled back.

        A view signs somebody out and then fails: the person must stay signed out.
        """
        row, self._uncommitted_end = self._uncommitted_end, None
        if row is not None:
            self._end(row)

    @property
    def is_end_uncommitted(self) -> bool:
        """Whether ``settle_end()`` may have something to do."""
        return self._uncommitted_end is not None

    @classmethod
    def clear_expired(cls) -> None:
        """Delete expired sessions, and ended and expired sign-ins past their retention, in batches."""
        cls()._rows().purge()

    @classmethod
    async def aclear_expired(cls) -> None:
        """See clear_expired()."""
        await cls()._rows().apurge()

    def _become_empty(self) -> None:
        self.forget()
        # Django's flush() leaves the session modified.
        self.modified = True
