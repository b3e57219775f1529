"""What writers publish of a change on Redis, and what a memory does when it hears that. No I/O.

Two messages, each of a first line and one line per announcement:

    before <commitment>     published before the write: forget it, and keep nothing of it until it is over
    after <token>           published after the commit: forget it; it may be kept again

Whoever may publish on the server may publish anything. That can have a memory forget, or keep nothing for a while, but
never keep: the commitment is a digest of the token, which nobody knows before the writer itself publishes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from django_sessions_plus import tokens
from django_sessions_plus.backends.leasing.holds import ALL
from django_sessions_plus.backends.leasing.memory import Memory
from django_sessions_plus.bulk.locking import KEYS_PER_STATEMENT

MOST_NAMED = KEYS_PER_STATEMENT
"""How many sessions one announcement names; for more, it concerns all."""

LONGEST = 200 * MOST_NAMED
"""How many bytes a message of ours has at most; a longer one is not of ours."""

_FIRST_LINE = re.compile(r"(?:before (?P<commitment>[0-9a-f]{64})|after (?P<token>[a-z0-9]{32}))")


class Message(NamedTuple):
    """What was published of a change."""

    commitment: str
    """Which change it is."""
    is_over: bool
    """Whether it is committed, or rolled back."""
    announcements: tuple[str, ...]


def new_token() -> str:
    """Return the secret of a change, which is published when the change is over."""
    return tokens.make_token()


def commitment_to(token: str) -> str:
    """Return what is published of a change before it is over."""
    return tokens.digest(token)


def before(token: str, announcements: Iterable[str]) -> str:
    """Return the message that is published before a change is written."""
    return "\n".join((f"before {commitment_to(token)}", *announcements))


def after(token: str, announcements: Iterable[str]) -> str:
    """Return the message that is published once a change is over."""
    return "\n".join((f"after {token}", *announcements))


def understood(payload: bytes) -> Message | None:
    """Return the message; None if it is none of ours."""
    if len(payload) > LONGEST:
        return None
    first, *announcements = payload.decode(errors="replace").split("\n")
    found = _FIRST_LINE.fullmatch(first)
    if found is None or not 0 < len(announcements) <= MOST_NAMED:
        return None
    token = found["token"]
    commitment = found["commitment"] if token is None else commitment_to(token)
    return Message(commitment, token is not None, tuple(announcements))


def pass_on(payload: bytes, memory: Memory) -> None:
    """Have ``memory`` hear a message. What is not understood concerns all.

    A change that nobody publishes the end of is taken for over once a snapshot of the time before it would be too old.
    """
    message = understood(payload)
    if message is None:
        memory.hear(ALL)
    elif message.is_over:
        memory.release(message.commitment, message.announcements)
    else:
        memory.hold(message.commitment, message.announcements, seconds=memory.max_age)
