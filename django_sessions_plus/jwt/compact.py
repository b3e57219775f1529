"""The compact form of signed tokens (RFC 7515, RFC 7519), parsed strictly.

Each token has one valid text: segments that are not canonical base64url, or that contain a member
twice, are refused. PyJWT is more tolerant, cannot take ``now``, and takes twice the time.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from django.utils.functional import Promise

LONGEST_TOKEN = 8192
"""In characters; most servers accept no longer header."""


def encode(data: bytes) -> str:
    """Return ``data`` in base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(segment: str) -> bytes | None:
    """Return the bytes that ``encode()`` turns into ``segment``; None if there are none."""
    try:
        data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        return None
    return data if encode(data) == segment else None


def write(claims: dict[str, Any]) -> str:
    """Return a JSON object as a segment. Dates, times, decimals and UUIDs become texts.

    Raises:
        TypeError: it contains another value that JSON has no type for.
        ValueError: it contains NaN or an infinite number, or contains itself.
    """
    return encode(_ENCODER.encode(claims).encode())


def read(segment: str) -> dict[str, Any] | None:
    """Return the JSON object in ``segment``; None if there is none, or it has a member twice."""
    data = decode(segment)
    if data is None:
        return None
    try:
        value = _DECODER.decode(data.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_plain(value: object) -> bool:
    """Return whether ``write()`` accepts the value; the items of a list or dictionary are not checked."""
    return value is None or isinstance(value, _PLAIN)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError("not a number")


def _as_text(value: Any) -> str:
    """Return a value that JSON has no type for as text, in the format of the API."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (Decimal, UUID, Promise)):
        return str(value)
    raise TypeError(f"JSON has no form for {type(value).__name__}")


_PLAIN = (str, int, float, dict, list, date, time, Decimal, UUID, Promise)
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_as_text)
_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse)
