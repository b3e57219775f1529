"""Access tokens for services without this site's database, which refuse the token of an ended session all the same.

The issuer is asked by introspection (RFC 7662), and its answer believed for one lease after the question was sent. So
an end takes effect within a lease, and so does whatever else the issuer would refuse: a changed password, a user who
is deactivated or deleted, an erased row. A session that is used often costs one question per lease and process,
however many tokens it has: otherwise one client could use up the rate at which the issuer may be asked.

Needs httpx, which the extra ``client`` brings.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from concurrent.futures import Future
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from threading import Lock
from time import monotonic
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request

from django_sessions_plus import tokens
from django_sessions_plus.api.authentication import StatelessAccessTokenAuthentication
from django_sessions_plus.api.bearer import refusal
from django_sessions_plus.api.errors import SessionEndedError, UnavailableError
from django_sessions_plus.api.requests import bearer_credential
from django_sessions_plus.backends.leasing.memory import now
from django_sessions_plus.bookkeeping import log_failure
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.jwt.access import Claims

LONGEST_ANSWER = 64 * 1024
"""How many bytes of an answer are read."""

PAUSE = 1.0
"""Seconds for which nobody is asked after a question has failed, so that not each request waits for a timeout."""


class LeasedAccessTokenAuthentication(StatelessAccessTokenAuthentication):
    """Authenticate by access token without a query, and ask the issuer once per lease whether it is still active.

    For services that have the issuer's public keys and not its database. Make a subclass that says where to ask::

        class TokenAuthentication(LeasedAccessTokenAuthentication):
            issuer = "https://id.example.com/oauth/introspect"
            credential = os.environ["INTROSPECTION_TOKEN"]

    While the issuer cannot be asked, requests are answered 503, not 401, after which clients would delete their
    tokens. ``request.user`` is a ``TokenUser`` and ``request.auth`` the claims.
    """

    issuer: ClassVar[str] = ""
    """The address of the issuer's introspection: HTTPS, or this host. With DEBUG, plain HTTP elsewhere too."""
    credential: ClassVar[str] = ""
    """A session token or access token of a user there with the permission ``introspect_token``."""
    lease: ClassVar[timedelta] = timedelta(seconds=2)
    """For how long after a question was sent its answer is believed."""
    timeout: ClassVar[timedelta] = timedelta(seconds=2)
    """For how long an answer is waited for."""
    remembered: ClassVar[int] = 10_000
    """How many tokens' answers each process remembers."""

    @sensitive_variables()
    def confirm(self, request: Request, claims: Claims) -> None:
        """Raise unless the issuer has said within the lease that the token is active.

        Raises:
            SessionEndedError: it is not.
            UnavailableError: nobody knows.
            ConfigurationError: ``issuer`` or ``credential`` is missing, or would be asked over plain HTTP; or the lease
                is not above zero.
        """
        is_active = self._answers().is_active(bearer_credential(request) or "", claims)
        if is_active is None:
            raise refusal(request, UnavailableError())
        if not is_active:
            raise refusal(request, SessionEndedError())

    @classmethod
    def _answers(cls) -> Answers:
        # Any: types of REST framework's classes are not known to be hashable.
        key: Any = cls
        return _answers_of(os.getpid(), key)


class Answer(NamedTuple):
    """What the issuer has said of a token."""

    is_active: bool | None
    """None if it could not be asked."""
    until: float
    """Until when that is believed, on the clock of ``now()``."""


class AnswerError(Exception):
    """The issuer has answered something else than whether a token is active."""


class Answers:
    """The answers of one issuer. Thread-safe; for the process that made it.

    That a token is active holds for each of the session's tokens since the same authentication, whose signature and
    expiry were verified here. That one is not may be because it has just expired there, and holds for that one alone.
    """

    def __init__(
        self, issuer: str, credential: str, lease: float, timeout: float, size: int
    ) -> None:
        self.issuer, self.lease, self.timeout, self.size = issuer, lease, timeout, size
        httpx = _httpx()
        self._client = httpx.Client(
            headers={
                "Authorization": f"Bearer {credential}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            timeout=timeout,
            follow_redirects=False,
            # No proxy of the environment between two processes of one host.
            trust_env=not _is_here(issuer),
        )
        self._lock = Lock()
        self._known: OrderedDict[str, Answer] = OrderedDict()
        self._asked: dict[str, Future[Answer]] = {}
        self._paused_until = 0.0

    def __repr__(self) -> str:
        return f"<Answers of {self.issuer}>"

    @sensitive_variables()
    def is_active(self, token: str, claims: Claims) -> bool | None:
        """Return whether a verified token is active, by an answer within the lease; None if there is none to be had.

        Threads that ask about one token at the same time send one question.
        """
        digest, session = tokens.digest(token), _session_of(claims)
        with self._lock:
            for key in (session, digest):
                known = self._known.get(key)
                if known is not None and now() < known.until:
                    self._known.move_to_end(key)
                    return known.is_active
            asked = self._asked.get(digest)
            if asked is None:
                if now() < self._paused_until:
                    return None
                self._asked[digest] = Future()
        if asked is None:
            answer = self._ask(digest, session, token, str(claims.session_id))
        else:
            try:
                answer = asked.result(self.timeout)
            except TimeoutError:
                return None
        # That of another thread may be older than this request.
        return answer.is_active if now() < answer.until else None

    @sensitive_variables()
    def _ask(self, digest: str, session: str, token: str, session_id: str) -> Answer:
        sent_at = now()
        answer = Answer(None, sent_at + self.lease)
        try:
            found = self._introspect(token)
            # Whoever answers for another token must not let this one in.
            is_active = found.get("active") is True and found.get("sid") == session_id
            answer = Answer(is_active, sent_at + self.lease)
        except Exception as error:  # noqa: BLE001 - whatever httpx raises, or an answer that is none
            self._paused_until = now() + PAUSE
            log_failure("ask whether an access token is active", error)
        finally:
            with self._lock:
                waiting = self._asked.pop(digest)
                if answer.is_active is not None:
                    self._known[session if answer.is_active else digest] = answer
                while len(self._known) > self.size:
                    self._known.popitem(last=False)
            waiting.set_result(answer)
        return answer

    @sensitive_variables()
    def _introspect(self, token: str) -> dict[str, Any]:
        with self._client.stream("POST", self.issuer, data={"token": token}) as response:
            if response.status_code != 200:
                raise AnswerError(f"the issuer has answered {response.status_code}")
            body, deadline = b"", monotonic() + self.timeout
            # Not iter_bytes(), which would unpack what somebody has compressed.
            for part in response.iter_raw():
                body += part
                if len(body) > LONGEST_ANSWER:
                    raise AnswerError("the issuer's answer is too long")
                # The timeout of httpx is for each part.
                if monotonic() > deadline:
                    raise AnswerError("the issuer's answer takes too long")
        found = json.loads(body)
        if not isinstance(found, dict) or not isinstance(found.get("active"), bool):
            raise AnswerError("the issuer's answer is none of RFC 7662")
        return found


@lru_cache(maxsize=16)
def _answers_of(pid: int, cls: type[LeasedAccessTokenAuthentication]) -> Answers:
    """Return those of this process; one that was forked from it must not share connections and locks."""
    _check(cls)
    lease = cls.lease.total_seconds()
    timeout = min(cls.timeout.total_seconds(), lease)
    return Answers(cls.issuer, cls.credential, lease, timeout, cls.remembered)


def _session_of(claims: Claims) -> str:
    """Return what the tokens of one session since one authentication have in common."""
    return f"{claims.session_id} {claims.all.get('cred')} {claims.all.get('auth_time')}"


def _is_here(issuer: str) -> bool:
    return urlsplit(issuer).hostname in {"localhost", "127.0.0.1", "::1"}


def _check(cls: type[LeasedAccessTokenAuthentication]) -> None:
    address = urlsplit(cls.issuer)
    if not (cls.credential and address.hostname and address.scheme in {"https", "http"}):
        raise ConfigurationError(
            f"{cls.__name__} needs issuer, the address of the introspection to ask, and credential, a token for it."
        )
    if address.scheme == "http" and not (_is_here(cls.issuer) or settings.DEBUG):
        raise ConfigurationError(
            f"{cls.__name__}.issuer is asked over plain HTTP, where others can read the tokens and answer: use https://."
        )
    if min(cls.lease, cls.timeout) <= timedelta(0):
        raise ConfigurationError(f"{cls.__name__}.lease and timeout have to be above zero.")


def _httpx() -> Any:
    try:
        return import_module("httpx")
    except ImportError as exc:
        raise ConfigurationError(
            "LeasedAccessTokenAuthentication needs httpx: install this package with the extra 'client'."
        ) from exc
