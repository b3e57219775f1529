"""One example of each body."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

_SESSION: dict[str, Any] = {
    "id": "01980c1e-5f0a-7c3e-9d52-0c1f5a3b7e11",
    "user_id": 1,
    "created_at": "2026-01-05T09:00:00Z",
    "updated_at": "2026-01-05T09:00:00Z",
    "authenticated_at": "2026-01-05T09:00:00Z",
    "reauthentication_required": False,
    "last_seen_at": "2026-01-05T09:05:00Z",
    "expires_at": "2026-01-19T09:00:00Z",
    "expires_in": 1209300,
    "ip_address": "203.0.113.9",
    "name": "",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "device": {
        "label": "Firefox on Linux",
        "browser": "Firefox",
        "os": "Linux",
        "kind": "desktop",
        "version": "",
    },
    "remember": True,
    "is_current": True,
}
_SIGNED_IN: dict[str, Any] = {
    "session": _SESSION,
    "user": {"id": 1, "username": "ada", "email": "ada@example.org"},
}
_TOKEN = "k3v9x0q2m7c1z8b4n6d5s0a1f2g3h4j5"
_PAIR: dict[str, Any] = {
    "access": "eyJhbGciOiJIUzI1NiIs...",
    "refresh": "rt1.AZgMHl8KfD6d...",
    "expires_in": 300,
    "refresh_expires_at": "2026-01-19T09:00:00Z",
}


def _sent(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value, request_only=True)


def _answered(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value, response_only=True, status_codes=["200"])


def _unsettled(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value, response_only=True, status_codes=["202"])


CURRENT = (
    _answered("Signed in", _SIGNED_IN),
    _answered("Not signed in", {"session": None, "user": None}),
    _answered("Ended elsewhere", {"session": None, "user": None, "ended": {"reason": "revoked"}}),
)
SIGN_IN = (
    _sent("By cookie", {"username": "ada", "password": "...", "remember": True}),
    _sent("By token", {"username": "ada", "password": "...", "transport": "bearer"}),
    _sent("By JWT", {"username": "ada", "password": "...", "transport": "jwt"}),
)
SIGNED_IN = (
    _answered("By cookie", _SIGNED_IN),
    _answered("By token", {**_SIGNED_IN, "token": _TOKEN}),
    _answered("By JWT", {**_SIGNED_IN, **_PAIR}),
)
REAUTHENTICATE = (_sent("Password", {"password": "..."}),)
PAGE = (_answered("The only page", {"next": None, "previous": None, "results": [_SESSION]}),)
REVOKE = (
    _sent("The others", {"scope": "others"}),
    _sent("All", {"scope": "all"}),
)
_NOT_YET = {"settled": False, "within": 65}
UNSETTLED = (_unsettled("The cache does not answer", _NOT_YET),)
REVOKED = (
    _answered("Two", {"revoked": 2}),
    _unsettled("Two, and the cache does not answer", {"revoked": 2, **_NOT_YET}),
)
_ATTEMPT = {"attempt": "6f1c0e4b9a7d42d38c55e0f1a2b3c4d5"}
REFRESH = (
    _sent("In the body", {"refresh": _PAIR["refresh"], **_ATTEMPT}),
    _sent("As a cookie", _ATTEMPT),
)
PAIR = (
    _answered("In the body", _PAIR),
    _answered("As a cookie", {name: text for name, text in _PAIR.items() if name != "refresh"}),
)
FOR_SERVICE = (_sent("For a service", {"audience": "https://reports.example"}),)
SERVICE_TOKEN = (_answered("The token", {"access": _PAIR["access"], "expires_in": 300}),)
KEYS = (
    _answered(
        "EdDSA",
        {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                    "kid": "access-1",
                    "alg": "EdDSA",
                    "use": "sig",
                }
            ]
        },
    ),
)
