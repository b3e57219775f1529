"""The compact form of signed tokens (RFC 7515, RFC 7519), written in one way and read strictly.

There is one text for each token: what is not in the canonical form of base64url, names a
member twice or is longer than need be is refused. PyJWT reads with more tolerance, takes
no time but the present, and costs twice as much.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from django.utils.functional import Promise

LONGEST_TOKEN = 8192
"""In characters; most servers take no longer header."""


def encode(data: bytes) -> str:
    """Return ``data`` in base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(segment: str) -> bytes | None:
    """Return what ``encode()`` made ``segment`` of; None for a text it would not have made."""
    try:
        data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        return None
    return data if encode(data) == segment else None


def write(claims: dict[str, Any]) -> str:
    """Return a JSON object as a segment. Moments, decimals and UUIDs become texts.

    Raises:
        TypeError: it holds something else that JSON has no form for.
        ValueError: it holds a number that is none, or itself.
    """
    return encode(_ENCODER.encode(claims).encode())


def read(segment: str) -> dict[str, Any] | None:
    """Return the JSON object in ``segment``; None if there is none, or one that names a member twice."""
    data = decode(segment)
    if data is None:
        return None
    try:
        value = _DECODER.decode(data.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_plain(value: object) -> bool:
    """Tell whether ``write()`` has a form for the value itself; what a list holds is not looked at."""
    return value is None or isinstance(value, _PLAIN)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError("not a number")


def _as_text(value: Any) -> str:
    """Return what JSON has no form for in that of the API."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (Decimal, UUID, Promise)):
        return str(value)
    raise TypeError(f"JSON has no form for {type(value).__name__}")


_PLAIN = (str, int, float, dict, list, date, time, Decimal, UUID, Promise)
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_as_text)
_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse)
