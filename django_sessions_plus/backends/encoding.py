"""Session data as text: plain JSON, compressed above 2 KB. No I/O.

The table is ours and who is signed in is verified against the user's auth hash at every
request, so a signature would cost time and add nothing.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from typing import Any

COMPRESS_ABOVE = 2048
# Whoever can write to the table must not be able to fill the memory of whoever reads it.
LONGEST_INFLATED = 16 * 1024 * 1024
_COMPRESSED = "z:"
# What Django's JSON serializer does, less its detour through bytes, and made once.
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()


def to_text(data: dict[str, Any]) -> str:
    """Return ``data`` as it is stored.

    Raises:
        TypeError: something in it is not JSON.
    """
    text = _ENCODER.encode(data)
    if not COMPRESS_ABOVE < len(text) <= LONGEST_INFLATED:
        return text
    return _COMPRESSED + b64encode(zlib.compress(text.encode("ascii"))).decode("ascii")


def is_text_of_ours(text: str) -> bool:
    """Return whether ``to_text()`` may have written it; Django's signed form begins with neither."""
    return text.startswith(("{", _COMPRESSED))


def from_text(text: str) -> dict[str, Any]:
    """Return what ``to_text()`` was given.

    Raises:
        ValueError, RecursionError, zlib.error: it is damaged, or longer than any that was compressed.
    """
    if text.startswith(_COMPRESSED):
        text = _inflated(b64decode(text[len(_COMPRESSED) :]))
    # What was encoded here has no white space, which json.loads() would look for.
    data, end = _DECODER.raw_decode(text)
    if end != len(text):
        data = json.loads(text)
    return data if isinstance(data, dict) else {}


def _inflated(payload: bytes) -> str:
    inflating = zlib.decompressobj()
    inflated = inflating.decompress(payload, LONGEST_INFLATED)
    if not inflating.eof:
        raise ValueError("compressed session data must end within 16 MB; this does not")
    return inflated.decode("latin-1")
