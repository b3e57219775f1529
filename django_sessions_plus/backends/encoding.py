"""Session data as text: plain JSON, compressed above 2 KB. No I/O.

The text is not signed. The user's auth hash is verified at every request, so a signature would only
cost time.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from typing import Any

COMPRESS_ABOVE = 2048
# Characters. Compressed data that somebody wrote into the table must not fill a process's memory.
MAX_DECOMPRESSED = 16 * 1024 * 1024
_COMPRESSED = "z:"
BEGINNINGS = ("{", _COMPRESSED)
"""How text of ``to_text()`` begins. Text in Django's signed format begins otherwise."""
# As in Django's JSONSerializer, but without bytes, and created only once.
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()


def to_text(data: dict[str, Any]) -> str:
    """Return ``data`` as text.

    Raises:
        TypeError: a value cannot be JSON.
    """
    text = _ENCODER.encode(data)
    if not COMPRESS_ABOVE < len(text) <= MAX_DECOMPRESSED:
        return text
    return _COMPRESSED + b64encode(zlib.compress(text.encode("ascii"))).decode("ascii")


def from_text(text: str) -> dict[str, Any]:
    """Return the data from its text.

    Raises:
        ValueError, RecursionError, zlib.error: the text is damaged, or longer than 16 MB when decompressed.
    """
    if text.startswith(_COMPRESSED):
        text = _decompress(b64decode(text[len(_COMPRESSED) :]))
    # Faster than json.loads(), which also looks for white space around the object; to_text() writes none.
    data, end = _DECODER.raw_decode(text)
    if end != len(text):
        data = json.loads(text)
    return data if isinstance(data, dict) else {}


def _decompress(payload: bytes) -> str:
    decompressor = zlib.decompressobj()
    decompressed = decompressor.decompress(payload, MAX_DECOMPRESSED)
    if not decompressor.eof:
        raise ValueError("compressed session data must end within 16 MB; this does not")
    return decompressed.decode("latin-1")
