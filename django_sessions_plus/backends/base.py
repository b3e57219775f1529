"""Django's contract of a session, as far as it needs no storage: its data as text, its key, and its expiry.

Private names of Django 5.2 to 6.1: ``_session_cache``, ``_session_key``, ``_get_session()``,
``_aget_session()`` and ``_get_new_session_key()``, because Django's own engines, and other packages, know a
store by them. tests/test_private_names.py notices if they go.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.serializers import JSONSerializer
from django.utils import timezone

from django_sessions_plus import tokens
from django_sessions_plus.backends import changes, encoding
from django_sessions_plus.backends.changes import EXPIRY_KEY
from django_sessions_plus.backends.use import NO_META, Meta
from django_sessions_plus.conf import config, lifetimes
from django_sessions_plus.conf.kinds import Transport

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession


class BaseStore(SessionBase):
    """A session whose data is text, and that knows from its row, its data and the settings when it expires."""

    if TYPE_CHECKING:
        row: AbstractSession | None
        _session_cache: dict[str, Any]

        # Django's own, which its published types leave out.
        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...
        def _get_or_create_session_key(self) -> str: ...
        @property
        def _session(self) -> dict[str, Any]: ...

    # Defaults of the class, not of __init__: most sessions change none of them.

    meta: Meta = NO_META
    """``request.META`` of the request that the store serves, read when something is recorded."""
    transport: Transport = "cookie"
    """How the token reached us. Only a session of the cookie transport gets a cookie."""
    counts_as_activity = True
    """Whether this use moves the expiry and the time of last activity."""
    can_set_cookie = False
    """Whether the response to the request that uses this store can set its cookie; the middleware says so."""
    is_cookie_due = False
    """Whether the token or the expiry is not what the browser's cookie says any more."""
    is_token_outdated = False
    """Whether a parallel request has rotated the token, which this store then does not know any more."""
    is_authenticated_now = False
    """Whether the user has authenticated since the last save."""
    is_authenticated_at_start = True
    """Whether a session that begins with a user in it begins with the authentication of that user."""
    access_issued_at: int | None = None
    """When the access token was issued that this store was opened for, in seconds since 1970."""
    pending_remember: bool | None = None
    """What somebody has decided of ``remember`` since the last save; None if nobody has."""
    name = ""
    """The name a new row is given; use never changes it."""
    user: Any = None
    """The user who is signed in, where that is known without a query; else None."""

    # Its data

    def encode(self, session_dict: dict[str, Any]) -> str:
        """Return the data as it is stored: plain JSON, compressed above 2 KB.

        Any other serializer than Django's JSON keeps Django's signed form: unpickling what
        somebody wrote into the table would run it.
        """
        if self.serializer is not JSONSerializer:
            return super().encode(session_dict)
        return encoding.to_text(session_dict)

    def decode(self, session_data: str) -> dict[str, Any]:  # type: ignore[override]  # no bytes here
        """Return stored data, Django's signed form included; bad data is an empty session."""
        if not session_data:
            return {}
        if self.serializer is not JSONSerializer:
            return super().decode(session_data)
        if not encoding.is_text_of_ours(session_data):
            return super().decode(session_data)
        try:
            return encoding.from_text(session_data)
        except (ValueError, RecursionError, zlib.error):
            # As Django says it of data whose signature is wrong.
            logging.getLogger("django.security.SuspiciousSession").warning("Session data corrupted")
            return {}

    async def adelete_test_cookie(self) -> None:
        """See delete_test_cookie(). Django's own forgets to mark the session as modified."""
        await self.apop(self.TEST_COOKIE_NAME)

    # Its key

    def _validate_session_key(self, key: Any) -> bool:
        return isinstance(key, str) and len(key) >= 8

    def _get_new_session_key(self) -> str:
        # Without asking the database whether it is taken: 165 random bits are not, and the
        # unique index has the last word.
        return tokens.make_token()

    async def _aget_new_session_key(self) -> str:
        return tokens.make_token()

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        # Django's own loads once for each coroutine that gets here before the first has loaded, and
        # the last one replaces the data in which the others have made their changes.
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            is_nothing_to_load = self.session_key is None or no_load
            data = {} if is_nothing_to_load else await self.aload()
            if not hasattr(self, "_session_cache"):
                self._session_cache = data
        return self._session_cache

    # Its expiry

    @property
    def remember(self) -> bool:
        """Whether the session outlives the browser. Setting it decides anew, as at sign-in.

        Known once the session is loaded; a session is remembered unless somebody said otherwise.
        """
        if self.pending_remember is not None:
            return self.pending_remember
        return self.row is None or self.row.remember

    @remember.setter
    def remember(self, value: bool) -> None:
        self.pending_remember = bool(value)
        self.modified = True

    def set_expiry(self, value: Any) -> None:
        """Set the expiry as Django does; with 0 the session is not to be remembered, see ``remember``."""
        self._note_expiry_asked_for(self.get(EXPIRY_KEY), value)
        super().set_expiry(value)

    async def aset_expiry(self, value: Any) -> None:
        """See set_expiry()."""
        self._note_expiry_asked_for(await self.aget(EXPIRY_KEY), value)
        await super().aset_expiry(value)

    def _note_expiry_asked_for(self, before: Any, value: Any) -> None:
        # "Remember me" that was left unticked, as Django's own recipes and other packages have it.
        if value is not None and value == 0:
            self.pending_remember = False
        elif before is not None and before == 0:
            self.pending_remember = True

    def get_session_cookie_age(self) -> int:
        """Return the idle timeout in seconds: ``SESSION_COOKIE_AGE``, or less when not to be remembered.

        Or what ``SESSIONS_PLUS_LIFETIMES`` says for the transport that the session started with.
        """
        age = lifetimes.idle_seconds(changes.started_by(self.row, self))
        if self.remember:
            return age
        return min(age, int(config.UNREMEMBERED_AGE.total_seconds()))

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        """Return when the session expires if used at ``modification`` (default: now), absolute limit included.

        With ``expiry`` given, nothing is loaded and only Django's own rule applies.
        """
        if "expiry" not in kwargs:
            return self._expiry_date(self._session, kwargs.get("modification"))
        date: datetime = super().get_expiry_date(**kwargs)
        return date

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        """See get_expiry_date()."""
        if "expiry" not in kwargs:
            return self._expiry_date(await self._aget_session(), kwargs.get("modification"))
        date: datetime = await super().aget_expiry_date(**kwargs)
        return date

    def get_expiry_age(self, **kwargs: Any) -> int:
        """Return the seconds from ``modification`` (default: now) until the session expires."""
        if "expiry" in kwargs:
            age: int = super().get_expiry_age(**kwargs)
            return age
        now = kwargs.setdefault("modification", timezone.now())
        return _seconds(self.get_expiry_date(**kwargs) - now)

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        """See get_expiry_age()."""
        if "expiry" in kwargs:
            age: int = await super().aget_expiry_age(**kwargs)
            return age
        now = kwargs.setdefault("modification", timezone.now())
        return _seconds(await self.aget_expiry_date(**kwargs) - now)

    def get_expire_at_browser_close(self) -> bool:
        """Return whether the cookie ends with the browser: asked for by ``set_expiry(0)``, or not to be remembered."""
        return changes.expires_at_browser_close(self._session, self)

    async def aget_expire_at_browser_close(self) -> bool:
        """See get_expire_at_browser_close()."""
        return changes.expires_at_browser_close(await self._aget_session(), self)

    def cookie_age(self, now: datetime) -> int | None:
        """Return the Max-Age of the cookie that goes with the row as it is stored; None ends with the browser."""
        if self.row is None or changes.expires_at_browser_close(self._session_cache, self):
            return None
        return round((self.row.expires_at - now).total_seconds())

    @property
    def is_cookie_outdated(self) -> bool:
        """Whether the browser's cookie is known to expire at another moment than the row."""
        return self.row is not None and changes.is_cookie_outdated(
            self.row, self._session_cache, self
        )

    def _expiry_date(self, data: Mapping[str, Any], modification: datetime | None) -> datetime:
        now, row = modification or timezone.now(), self.row
        since = row.limited_from if row else None
        if data.get(SESSION_KEY) is not None and (self.is_authenticated_now or not since):
            since = now
        asked = self.pending_remember
        if data.get(EXPIRY_KEY) == 0:
            # Django tells the timeout of a session that is remembered after set_expiry(0), too.
            self.pending_remember = True
        try:
            return changes.next_expiry(row, data, self, now, since=since)
        finally:
            self.pending_remember = asked


def _seconds(delta: timedelta) -> int:
    return delta.days * 86400 + delta.seconds
