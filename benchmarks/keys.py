"""What a benchmark has to be able to name without having stored it: tokens, users, requests.

Everything follows from a number, so that every contender is asked for the same.
"""

from __future__ import annotations

import random
from hashlib import sha256

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36"
)
ADDRESS = "203.0.113.7"


def session_token(number: int) -> str:
    """Return the token of session ``number``: as long and as random-looking as a real one."""
    return _token(f"session {number}")


def unknown_token(number: int) -> str:
    """Return a well-formed token that opens nothing."""
    return _token(f"unknown {number}")


def junk(number: int) -> str:
    """Return what is no token at all: too long, and of the wrong alphabet."""
    return f"J-{number}-" + "x" * 60


def user_key(session: int, users: int) -> int:
    """Return the primary key of the user session number ``session`` belongs to."""
    return session % users + 1


def pool(sessions: int, size: int) -> list[int]:
    """Return the numbers of the sessions in use, spread over all there are."""
    step = max(1, sessions // size)
    return list(range(0, sessions, step))[:size]


def visits(numbers: list[int], count: int, seed: int) -> list[int]:
    """Return which sessions ``count`` requests belong to: the same for everyone with this seed."""
    return random.Random(seed).choices(numbers, k=count)


def _token(text: str) -> str:
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in sha256(text.encode()).digest())
