"""What a session store knows between its reads and writes. No I/O.

``RowSession`` holds the row a store has loaded and what the request said of itself,
and keeps Django's contract for data and expiry. ``columns`` works out what of it a
write has to carry, ``statements`` carries it, ``db`` is the engine made of them.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.serializers import JSONSerializer
from django.utils import timezone

from django_sessions_plus import policy, tokens
from django_sessions_plus.backends import encoding
from django_sessions_plus.conf import config

if TYPE_CHECKING:
    from django_sessions_plus.base_session import AbstractSession

EXPIRY_KEY = "_session_expiry"
NO_META: Mapping[str, Any] = {}

Transport = Literal["cookie", "bearer", "jwt"]


class RowSession(SessionBase):
    """A session that lives in a row of an ``AbstractSession``."""

    if TYPE_CHECKING:
        # Django's own, which its published types leave out.
        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...
        async def _aget_session(self, no_load: bool = False) -> dict[str, Any]: ...
        def _get_or_create_session_key(self) -> str: ...
        @property
        def _session(self) -> dict[str, Any]: ...

    # Defaults of the class, not of __init__: most sessions change none of them.

    transport: Transport = "cookie"
    """How the token reached us. Only a session of the cookie transport gets a cookie."""
    counts_as_activity = True
    """Whether this use moves the expiry and the time of last activity."""
    is_passed_over = False
    """Whether the answer is the same for everybody: unless a view changes it, the session is not even read."""
    judges_context = True
    """Whether loading acts on ``SESSIONS_PLUS_CONTEXT_POLICY``; whoever switches it off does it later."""
    wants_user = False
    """Whether loading should bring the user along in the same query."""
    on_end: Callable[[], None] | None = None
    """Called when this session ends or is forgotten during the request."""
    is_cookie_due = False
    """Whether the token or the expiry is not what the browser's cookie says any more."""
    may_have_successor = False
    """Whether the browser may by now have a newer cookie than the one that opened nothing.

    A token we do not know may have been rotated away a moment ago by a parallel
    request; to delete the cookie then would delete its successor and sign the person out.
    """
    is_authenticated_at_start = True
    """Whether a session that begins with a user in it begins with the authentication of that user."""
    is_opened_by_id = False
    """Whether the row was found by its id, for a signed token. Such a store knows no session token."""
    _row: AbstractSession | None = None
    _meta: Mapping[str, Any] = NO_META
    _remember: bool | None = None
    _authenticated_now = False
    _token_is_new = False
    _user: Any = None

    @classmethod
    def get_model_class(cls) -> type[AbstractSession]:
        """Return the model of this store's rows; engines decide."""
        raise NotImplementedError("a store on rows must name its model in get_model_class()")

    @property
    def row(self) -> AbstractSession | None:
        """The row this store has loaded or created; None before that and after the end. Never loads."""
        return self._row

    def bind(self, meta: Mapping[str, Any]) -> None:
        """Tell the store which request it serves: ``request.META``, read when something is recorded."""
        self._meta = meta

    def forget(self) -> None:
        """Become empty without touching storage: the row has ended or belongs to nobody here."""
        self._session_cache: dict[str, Any] = {}
        self._session_key = None
        self._row = None
        self._remember = None
        self._authenticated_now = False
        self._token_is_new = False
        self.is_cookie_due = False
        self.may_have_successor = False
        self.accessed = True
        self.modified = False
        if self.on_end is not None:
            self.on_end()

    def load_if_needed(self) -> dict[str, Any]:
        """Return the data, from storage the first time."""
        return self._get_session()

    async def aload_if_needed(self) -> dict[str, Any]:
        """See load_if_needed()."""
        return await self._aget_session()

    def give_up(self) -> None:
        """Become empty because a parallel request ended or rotated the session, and leave the cookie be."""
        self.forget()
        self.may_have_successor = True

    # Django's data contract

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

    def _validate_session_key(self, key: Any) -> bool:
        return isinstance(key, str) and len(key) >= 8

    def _get_new_session_key(self) -> str:
        # Without asking the database whether it is taken: 165 random bits are not, and the
        # unique index has the last word.
        return tokens.make_token()

    async def _aget_new_session_key(self) -> str:
        return tokens.make_token()

    # Expiry

    @property
    def remember(self) -> bool:
        """Whether the session outlives the browser. Setting it decides anew, as at sign-in.

        Known once the session is loaded; a session is remembered unless somebody said otherwise.
        """
        if self._remember is not None:
            return self._remember
        return self._row is None or self._row.remember

    @remember.setter
    def remember(self, value: bool) -> None:
        self._remember = bool(value)
        self.modified = True

    def get_session_cookie_age(self) -> int:
        """Return the idle timeout in seconds: ``SESSION_COOKIE_AGE``, or less when not to be remembered."""
        age: int = settings.SESSION_COOKIE_AGE
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
        """Tell whether the cookie ends with the browser: asked for by ``set_expiry(0)``, or not to be remembered."""
        return self._expires_at_browser_close(self.get(EXPIRY_KEY))

    async def aget_expire_at_browser_close(self) -> bool:
        """See get_expire_at_browser_close()."""
        return self._expires_at_browser_close(await self.aget(EXPIRY_KEY))

    def cookie_age(self, now: datetime) -> int | None:
        """Return the Max-Age of the cookie that goes with the row as it is stored; None ends with the browser."""
        if self._row is None or self._expires_at_browser_close(self._session_cache.get(EXPIRY_KEY)):
            return None
        return round((self._row.expires_at - now).total_seconds())

    def _expires_at_browser_close(self, explicit: policy.Expiry) -> bool:
        if explicit is not None:
            return explicit == 0
        return not self.remember or settings.SESSION_EXPIRE_AT_BROWSER_CLOSE

    def _expiry_date(self, data: Mapping[str, Any], modification: datetime | None) -> datetime:
        now = modification or timezone.now()
        since = self._row.limited_from if self._row else None
        if data.get(SESSION_KEY) is not None and (self._authenticated_now or not since):
            since = now
        return self._next_expiry(data, since, now)

    def _next_expiry(
        self, data: Mapping[str, Any], since: datetime | None, now: datetime
    ) -> datetime:
        return policy.next_expiry(
            explicit=_comparable(data.get(EXPIRY_KEY), now),
            idle_age=self._idle_age(),
            limit=policy.deadline(since, config.ABSOLUTE_AGE),
            now=now,
        )

    def _idle_age(self) -> timedelta:
        return _seconds_long(self.get_session_cookie_age())

    # Who is signed in

    def mark_authenticated(self, user: Any = None) -> None:
        """Record that the person has just authenticated: the next save rotates the token and renews freshness.

        OWASP ASVS 5.0 7.2.4 asks for a new token also when somebody signs in again. With
        ``user`` given, what is told after the save needs no query for it.
        """
        self._authenticated_now = True
        self.note_user(user)
        self.modified = True

    def note_user(self, user: Any) -> None:
        """Remember who is signed in, so that nothing a save decides or tells needs a query for it."""
        self._user = user

    def is_fresh(self) -> bool:
        """Tell whether the loaded session was authenticated within ``SESSIONS_PLUS_FRESH_AGE``."""
        return self._row is not None and (self._authenticated_now or self._row.is_fresh())


def _comparable(explicit: policy.Expiry, now: datetime) -> policy.Expiry:
    """Return a moment with or without a time zone as ``now`` has one; Django takes both."""
    moment = datetime.fromisoformat(explicit) if isinstance(explicit, str) else explicit
    if not isinstance(moment, datetime) or timezone.is_aware(moment) == timezone.is_aware(now):
        return moment
    return timezone.make_naive(moment) if timezone.is_aware(moment) else timezone.make_aware(moment)


@lru_cache(maxsize=64)
def _seconds_long(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def _seconds(delta: timedelta) -> int:
    return delta.days * 86400 + delta.seconds
