"""The part of Django's session API that needs no storage: the data as text, the key, and the expiry.

Private names of Django 5.2 to 6.1: ``_session_cache``, ``_session_key``, ``_get_session()``,
``_aget_session()`` and ``_get_new_session_key()``, because Django's own engines and other packages use
them. tests/test_private_names.py fails if they disappear.

Longer than other modules, because what a store knows of its request is one list.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Coroutine, Mapping
from copy import copy
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
    """A session whose data is stored as text, and whose expiry follows from its row, its data and the settings."""

    if TYPE_CHECKING:
        row: AbstractSession | None
        _session_cache: dict[str, Any]
        # Of SessionStore, which extends this class.
        load_if_needed: Callable[[], dict[str, Any]]
        aload_if_needed: Callable[[], Coroutine[Any, Any, dict[str, Any]]]

        # Django has these methods, but its type stubs do not.
        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...
        def _get_or_create_session_key(self) -> str: ...
        @property
        def _session(self) -> dict[str, Any]: ...

    # Class attributes, so that __init__ need not set them: most sessions change none of them.

    meta: Meta = NO_META
    """``request.META`` of the store's request: the source of the IP address and user agent to record."""
    transport: Transport = "cookie"
    """How the token reached the server. Only with "cookie" may the response set a cookie."""
    counts_as_activity = True
    """Whether this use moves the expiry and the time of last activity."""
    can_set_cookie = False
    """Whether the response to the store's request can set a cookie; the middleware sets this."""
    is_cookie_due = False
    """Whether the response has to set the cookie, because the token or the expiry has changed."""
    former_cookie_name: str | None = None
    """The earlier name under which the request sent the cookie, if the response has to rename it; else None."""
    cookie_value: str | None = None
    """The cookie, if it is the signed data of another engine; the token of this store is then derived from it."""
    is_token_sent = False
    """Whether the client sent the session token in a header, so that the response may send a new one in a header."""
    is_token_outdated = False
    """Whether a parallel request has rotated the token; this store does not know the new one."""
    is_token_lost = False
    """Whether no client can know the row's new token: no response sends it, or the row was opened by its id."""
    is_new = False
    """Whether the session begins in this store, so that no client has presented its token yet."""
    is_authenticated_now = False
    """Whether the user has authenticated since the last save."""
    is_authenticated_at_start = True
    """Whether the user of a new row has authenticated; False for a session that is started without a password."""
    access_issued_at: int | None = None
    """When the access token of this request was issued, in seconds since 1970; None if there is none."""
    pending_remember: bool | None = None
    """The value that was assigned to ``remember`` since the last save; None if there was none."""
    name = ""
    """The name of a new row; later saves do not change it."""
    user: Any = None
    """The signed-in user, if known without a query; else None."""

    # Its data

    @property
    def known_data(self) -> Mapping[str, Any] | None:
        """What is known of the data without a query; None if nothing is."""
        return vars(self).get("_session_cache")

    def identify(self) -> Mapping[str, Any]:
        """Load what says who is signed in and until when, and return that part of the data at least.

        Only ``backends.leased_db`` knows that part alone.
        """
        return self.load_if_needed()

    async def aidentify(self) -> Mapping[str, Any]:
        """See identify()."""
        return await self.aload_if_needed()

    def is_verified(self, data: Mapping[str, Any]) -> bool:
        """Return whether the auth hash in ``data`` is known to be that of the row's user.

        Only ``backends.leased_db`` knows that.
        """
        return False

    def encode(self, session_dict: dict[str, Any]) -> str:
        """Return the data as text: plain JSON, compressed above 2 KB.

        With a serializer other than ``JSONSerializer``, it is Django's signed format: unpickling runs
        code, so only data that this project has signed may be unpickled.
        """
        if self.serializer is not JSONSerializer:
            return super().encode(session_dict)
        return encoding.to_text(session_dict)

    def decode(self, session_data: str) -> dict[str, Any]:  # type: ignore[override]  # no bytes here
        """Return the data from its stored text, also from Django's signed format; {} if the text is damaged."""
        if not session_data:
            return {}
        is_signed = not session_data.startswith(encoding.BEGINNINGS)
        if is_signed or self.serializer is not JSONSerializer:
            return super().decode(session_data)
        try:
            return encoding.from_text(session_data)
        except (ValueError, RecursionError, zlib.error):
            # Django logs the same for data whose signature is wrong.
            logging.getLogger("django.security.SuspiciousSession").warning("Session data corrupted")
            return {}

    async def adelete_test_cookie(self) -> None:
        """See delete_test_cookie(). Django's coroutine does not mark the session as modified."""
        await self.apop(self.TEST_COOKIE_NAME)

    # Its key

    @staticmethod
    def _digest_of(token: str | None) -> str | None:
        return tokens.digest(token) if tokens.is_well_formed(token) else None

    def _validate_session_key(self, key: Any) -> bool:
        return isinstance(key, str) and len(key) >= 8

    def _get_new_session_key(self) -> str:
        # No query whether the token is taken: it has 165 random bits, and the index is unique.
        return tokens.make_token()

    async def _aget_new_session_key(self) -> str:
        return tokens.make_token()

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        # In Django's method, coroutines that run at the same time all load the session, and the last
        # one discards the changes that the others have made to the data.
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
        """Whether the session outlives the browser. A sign-in may set it.

        Known once the session is loaded. True unless it was set to False.
        """
        if self.pending_remember is not None:
            return self.pending_remember
        return self.row is None or self.row.remember

    @remember.setter
    def remember(self, value: bool) -> None:
        self.pending_remember = bool(value)
        self.modified = True

    def set_expiry(self, value: Any) -> None:
        """Set the expiry as Django does; 0 also sets ``remember`` to False."""
        self._update_remember(self.get(EXPIRY_KEY), value)
        super().set_expiry(value)

    async def aset_expiry(self, value: Any) -> None:
        """See set_expiry()."""
        self._update_remember(await self.aget(EXPIRY_KEY), value)
        await super().aset_expiry(value)

    def _update_remember(self, before: Any, value: Any) -> None:
        # Other packages call set_expiry(0) if the user did not tick "Remember me".
        if value is not None and value == 0:
            self.pending_remember = False
        elif before is not None and before == 0:
            self.pending_remember = True

    def get_session_cookie_age(self) -> int:
        """Return the idle timeout in seconds.

        It is ``SESSION_COOKIE_AGE``, or that of ``SESSIONS_PLUS_LIFETIMES`` for the transport that the
        session started with; at most ``SESSIONS_PLUS_UNREMEMBERED_AGE`` if ``remember`` is False.
        """
        age = lifetimes.idle_seconds(changes.started_by(self.row, self))
        if self.remember:
            return age
        return min(age, int(config.UNREMEMBERED_AGE.total_seconds()))

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        """Return when the session expires if used at ``modification`` (default: now), within the absolute timeout.

        With ``expiry`` given, nothing is loaded and only Django's rule applies.
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
        """Return whether the cookie ends with the browser: after ``set_expiry(0)``, or if ``remember`` is False."""
        return changes.expires_at_browser_close(self._session, self)

    async def aget_expire_at_browser_close(self) -> bool:
        """See get_expire_at_browser_close()."""
        return changes.expires_at_browser_close(await self._aget_session(), self)

    def cookie_age(self, now: datetime) -> int | None:
        """Return the Max-Age of the cookie in seconds, from the expiry of the row; None: it ends with the browser."""
        if self.row is None or changes.expires_at_browser_close(self.known_data or {}, self):
            return None
        return round((self.row.expires_at - now).total_seconds())

    @property
    def is_cookie_outdated(self) -> bool:
        """Whether the browser's cookie is known to expire at another time than the row."""
        return self.row is not None and changes.is_cookie_outdated(
            self.row, self.known_data or {}, self
        )

    def _expiry_date(self, data: Mapping[str, Any], modification: datetime | None) -> datetime:
        now, row = modification or timezone.now(), self.row
        since = row.limited_from if row else None
        if data.get(SESSION_KEY) is not None and (self.is_authenticated_now or not since):
            since = now
        use = self
        if data.get(EXPIRY_KEY) == 0:
            # Django's own method returns the full timeout after set_expiry(0). A copy, because
            # get_session_cookie_age(), which a project may override, takes no argument for that.
            use = copy(self)
            use.pending_remember = True
        return changes.next_expiry(row, data, use, now, since=since)


def _seconds(delta: timedelta) -> int:
    return delta.days * 86400 + delta.seconds
