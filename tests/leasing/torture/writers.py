"""Those who end sessions, by every means there is, while others ask for them."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import Error, InterfaceError, connection, transaction
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.backends.leasing.listening import channel_of
from django_sessions_plus.backends.leasing.publishing import Publisher
from django_sessions_plus.models import Session
from tests.leasing.torture.board import Board, now
from tests.leasing.torture.judging import Revocation

BACKEND = "django.contrib.auth.backends.ModelBackend"
YOUNG = 0.4
"""Seconds for which a session is asked for before it ends, so that processes have it in memory."""
LINGER = 1.5
"""Seconds for which an ended session is still asked for: longer than any fault lasts."""
SURVIVOR = "(not ended)"


@dataclass
class Pair:
    """Two sessions of one user, in two slots."""

    slots: tuple[int, int]
    user: int
    ids: tuple[uuid.UUID, uuid.UUID]
    numbers: tuple[int, int]
    shown_at: float
    is_ended: bool = False
    """Whether both are."""


def _revoke(pair: Pair) -> None:
    sessions.revoke(pair.ids[0])


def _sql_update(pair: Pair) -> None:
    _execute(
        "UPDATE django_sessions_plus_session SET ended_at = now(), end_reason = 'sql' WHERE id = %s",
        pair.ids[0],
    )


def _sql_delete(pair: Pair) -> None:
    _execute("DELETE FROM django_sessions_plus_session WHERE id = %s", pair.ids[0])


def _deactivate(pair: Pair) -> None:
    User.objects.filter(pk=pair.user).update(is_active=False)


def _sql_deactivate(pair: Pair) -> None:
    _execute("UPDATE auth_user SET is_active = false WHERE id = %s", pair.user)


def _change_password(pair: Pair) -> None:
    user = User.objects.get(pk=pair.user)
    user.set_password(uuid.uuid4().hex)
    user.save()


def _delete_user(pair: Pair) -> None:
    User.objects.filter(pk=pair.user).delete()


def _update(pair: Pair) -> None:
    Session.objects.filter(pk=pair.ids[0]).update(ended_at=timezone.now())


def _delete(pair: Pair) -> None:
    Session.objects.filter(pk=pair.ids[0]).delete()


def _revoke_slowly(pair: Pair) -> None:
    with transaction.atomic():
        sessions.revoke(pair.ids[0])
        time.sleep(0.1)


def _save_inactive(pair: Pair) -> None:
    user = User.objects.filter(pk=pair.user).first()
    if user is not None:
        user.is_active = False
        user.save()


def _delete_instance(pair: Pair) -> None:
    user = User.objects.filter(pk=pair.user).first()
    if user is not None:
        user.delete()


def _revoke_all(pair: Pair) -> None:
    sessions.revoke_all(User.objects.get(pk=pair.user))


def _execute(sql: str, value: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, [value])


ONE: dict[str, Callable[[Pair], None]] = {
    "sessions.revoke()": _revoke,
    "SQL UPDATE session": _sql_update,
    "SQL DELETE session": _sql_delete,
}
"""What ends the first session of a pair; the second must stay."""
BOTH: dict[str, Callable[[Pair], None]] = {
    "update(is_active=False)": _deactivate,
    "SQL UPDATE user": _sql_deactivate,
    "password change": _change_password,
    "user deleted (cascade)": _delete_user,
}
"""What ends both sessions of a pair."""
if os.environ.get("TORTURE_REDIS_PORT"):
    # Nobody announces what others than this package write.
    ONE = {
        "sessions.revoke()": _revoke,
        "queryset.update()": _update,
        "queryset.delete()": _delete,
        "slow transaction": _revoke_slowly,
    }
    BOTH = {
        "save(is_active=False)": _save_inactive,
        "password change": _change_password,
        "user deleted": _delete_instance,
        "sessions.revoke_all()": _revoke_all,
    }
WRITERS = ONE | BOTH
UNANNOUNCED = "(not announced)"


class Numbers:
    """Gives each session a number of its own; 0 is no session. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._next, self._limit, self._lock = 1, limit, threading.Lock()

    def take_two(self) -> tuple[int, int] | None:
        """Return the next two numbers; None if there are no more."""
        with self._lock:
            if self._next + 1 >= self._limit:
                return None
            self._next += 2
            return self._next - 2, self._next - 1


class Writer(threading.Thread):
    """Ends the sessions of its slots one after another, and puts others in their place."""

    def __init__(self, board: Board, slots: range, numbers: Numbers) -> None:
        super().__init__(daemon=True)
        self.board, self.numbers = board, numbers
        self.revocations: list[Revocation] = []
        self.special: tuple[str, Callable[[Pair], None]] | None = None
        """A kind of writer and what it does to the next pair, once; set by a fault."""
        self.ended = 0
        """How many sessions it has ended."""
        self.is_over = False
        self.failure: BaseException | None = None
        self._free = deque(zip(slots[::2], slots[1::2], strict=False))
        self._living: deque[Pair] = deque()
        self._ended: deque[tuple[float, Pair]] = deque()

    def run(self) -> None:
        """Work until the run is over."""
        try:
            while not self.is_over and self._step():
                pass
            self._retire_all()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            connection.close()

    def _step(self) -> bool:
        """Do what is due; return whether there is more to do."""
        at = now()
        if self._ended and self._ended[0][0] <= at:
            self._retire(self._ended.popleft()[1])
        elif self._living and self._living[0].shown_at + YOUNG <= at:
            self._end(self._living.popleft())
        elif self._free:
            return self._begin(self._free.popleft())
        else:
            time.sleep(0.002)
        return True

    def _begin(self, slots: tuple[int, int]) -> bool:
        numbers = self.numbers.take_two()
        if numbers is None:
            return bool(self._living or self._ended)
        user, stores = _until_done(new_pair)
        for slot, number, store in zip(slots, numbers, stores, strict=True):
            self.board.show(slot, number, user.pk, store.session_key)
        ids = stores[0].row.pk, stores[1].row.pk
        self._living.append(Pair(slots, user.pk, ids, numbers, now()))
        return True

    def _end(self, pair: Pair) -> None:
        kind = random.choice(list(WRITERS))
        action, (special, self.special) = WRITERS[kind], (self.special, None)
        if special is not None:
            kind, action = special
        pair.is_ended = kind in BOTH
        begun = now()
        committed.at = None
        _until_done(lambda: action(pair))
        acked = committed.at or now()
        publisher = channel_of(Session, "default").publisher()
        is_announced = publisher is None or publisher.unheard_for() is None
        kind = kind if is_announced else UNANNOUNCED
        for number in pair.numbers[: 1 + pair.is_ended]:
            self.revocations.append(Revocation(number, kind, begun, acked, is_announced))
        self.ended += 1 + pair.is_ended
        self._ended.append((acked + LINGER, pair))

    def _retire(self, pair: Pair) -> None:
        """Ask for the sessions no longer. One that was not ended had to be accepted until now."""
        if not pair.is_ended:
            self.revocations.append(Revocation(pair.numbers[1], SURVIVOR, now(), None))
        self._free.append(pair.slots)

    def _retire_all(self) -> None:
        while self._ended:
            due, pair = self._ended.popleft()
            time.sleep(max(0.0, due - now()))
            self._retire(pair)
        at = now()
        for pair in self._living:
            self.revocations += [Revocation(each, SURVIVOR, at, None) for each in pair.numbers]


class _Committed(threading.local):
    """When the first commit of a thread was acknowledged, before anything was published after it."""

    at: float | None = None


committed = _Committed()


def _noting_end(publisher: Publisher, *arguments: Any) -> None:
    committed.at = committed.at or now()
    _end(publisher, *arguments)


_end = Publisher.end
_publisher: Any = Publisher
_publisher.end = _noting_end


def _until_done(action: Callable[[], Any]) -> Any:
    """Return the result of an action, which is repeated while the server is down. Twice must do no harm."""
    while True:
        try:
            return action()
        except (Error, InterfaceError):
            connection.close()
            time.sleep(0.05)


def new_pair() -> tuple[User, list[Any]]:
    user = User.objects.create(username=uuid.uuid4().hex, password=make_password(uuid.uuid4().hex))
    stores = [SessionStore(), SessionStore()]
    for store in stores:
        store[SESSION_KEY] = str(user.pk)
        store[BACKEND_SESSION_KEY] = BACKEND
        store[HASH_SESSION_KEY] = user.get_session_auth_hash()
        store.save()
    return user, stores
