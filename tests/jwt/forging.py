"""Tokens made by hand, with whatever somebody could put into them."""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

from django_sessions_plus.jwt import keys


def segment(value: Any) -> str:
    """Return JSON, text or bytes as base64url."""
    if not isinstance(value, (str, bytes)):
        value = json.dumps(value, separators=(",", ":"))
    data = value.encode() if isinstance(value, str) else value
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def opened(text: str) -> Any:
    """Return the JSON in a segment."""
    return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return header, claims and signature."""
    header, payload, signature = token.split(".")
    return opened(header), opened(payload), signature


def signed(header: Any, payload: Any) -> str:
    """Return a token with the signature of our own key, whatever it says."""
    message = f"{segment(header)}.{segment(payload)}"
    return f"{message}.{segment(keys.signing_key().sign(message.encode()))}"


def with_hmac(header: Any, payload: Any, secret: bytes) -> str:
    """Return a token with the HMAC (SHA-256) of a secret."""
    message = f"{segment(header)}.{segment(payload)}"
    return f"{message}.{segment(hmac.digest(secret, message.encode(), sha256))}"
