"""Which keys sign and verify access tokens: configured ones, or derived from ``SECRET_KEY``.

Key files are read at the first use and cached until the process ends (or, in tests, a setting
changes). So a new key takes effect with a deployment, and not in some processes earlier than in
others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.encoding import force_bytes
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.conf import PREFIX, callables, config
from django_sessions_plus.conf.changes import on_setting_change
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.jwt import compact
from django_sessions_plus.jwt.algorithms import (
    ALGORITHMS,
    SECRET_BYTES,
    TYPE,
    BadKeyError,
    Key,
    asymmetric_key,
    secret_key,
)
from django_sessions_plus.jwt.derivation import SALT, derive, hkdf

__all__ = ["derive", "jwks", "key_by_header", "ring", "signing_key", "verification_key"]

LONGEST_KID = 128
_MEMBERS = {"kid", "algorithm", "secret", "file", "password"}
_KID_BYTES = 6
# One for each tenant; with more tenants, keys are parsed again.
_MAX_RINGS = 1000


@dataclass(frozen=True)
class Ring:
    """All keys, by the header of a token."""

    signing: Key
    by_kid: Mapping[str, Key]
    by_header: Mapping[str, Key]


def signing_key(request: Any = None) -> Key:
    """Return the key that signs for ``request``, which may be None here and below.

    Raises:
        ConfigurationError: a key cannot be used.
    """
    return ring(request).signing


def verification_key(kid: object, algorithm: object, request: Any = None) -> Key | None:
    """Return the key with this ``kid``, if it is for ``algorithm``; else None.

    Raises:
        ConfigurationError: a key cannot be used.
    """
    key = ring(request).by_kid.get(kid) if isinstance(kid, str) else None
    return key if key is not None and key.algorithm == algorithm else None


def key_by_header(segment: str, request: Any = None) -> Key | None:
    """Return the key that the encoded header of a token selects; None if it is no key of this site.

    The header must have exactly the members ``alg``, ``kid`` and ``typ``. A token could bring its own
    key by ``jku``, ``jwk``, ``x5u`` or ``x5c``, and ``crit`` must not be ignored (RFC 7515 section 4.1.11,
    RFC 8725 section 3.10).

    Raises:
        ConfigurationError: a key cannot be used.
    """
    key = ring(request).by_header.get(segment)
    if key is not None:
        return key
    # The same members may be written in another order.
    header = compact.read(segment)
    if header is None or header.keys() != {"alg", "kid", "typ"} or not _is_type(header["typ"]):
        return None
    return verification_key(header["kid"], header["alg"], request)


def jwks(request: Any = None) -> dict[str, list[dict[str, str]]]:
    """Return the public keys as a JWK set (RFC 7517), without HMAC secrets.

    Raises:
        ConfigurationError: a key cannot be used.
    """
    keys = ring(request).by_kid.values()
    return {"keys": [dict(key.public) for key in keys if key.public is not None]}


@sensitive_variables()
def ring(request: Any = None) -> Ring:
    """Return all keys; they are parsed the first time, and again for other entries that a callable gives.

    Raises:
        ConfigurationError: a key cannot be used.
    """
    entries: Sequence[Mapping[str, Any]] | None = None
    is_constant = not (callable(config.JWT_KEYS) or isinstance(config.JWT_KEYS, str))
    # A setting does not change while the process runs; the result of a callable may.
    name = None
    if not is_constant:
        entries = callables.jwt_keys(request)
        name = _fingerprint(entries)
    found = _rings.get(name)
    if found is None:
        entries = callables.jwt_keys() if is_constant else entries
        found = _ring_of(_derived_keys() if entries is None else _configured_keys(entries))
        if len(_rings) >= _MAX_RINGS:
            _rings.clear()
        _rings[name] = found
    return found


@sensitive_variables()
def _fingerprint(entries: Sequence[Mapping[str, Any]] | None) -> str:
    return "" if entries is None else sha256(repr(entries).encode()).hexdigest()


def _is_type(value: object) -> bool:
    # RFC 7515 section 4.1.9: a media type in any case, usually without "application/".
    return isinstance(value, str) and value.lower().removeprefix("application/") == TYPE


def _ring_of(keys: list[Key]) -> Ring:
    by_kid: dict[str, Key] = {}
    for key in keys:
        by_kid.setdefault(key.kid, key)
    return Ring(keys[0], by_kid, {key.header: key for key in by_kid.values()})


def _derived_keys() -> list[Key]:
    algorithm = config.JWT_ALGORITHM
    if algorithm not in SECRET_BYTES:
        raise BadKeyError(
            "entry",
            f"{PREFIX}JWT_ALGORITHM is {algorithm!r}, which needs a key in {PREFIX}JWT_KEYS.",
        )
    try:
        secrets = derive(f"access-token/{algorithm}", length=SECRET_BYTES[algorithm])
    except ConfigurationError as exc:
        raise BadKeyError("weak", str(exc)) from exc
    return [secret_key("SECRET_KEY", _kid_of(secret), algorithm, secret) for secret in secrets]


@sensitive_variables()
def _configured_keys(entries: Sequence[Mapping[str, Any]]) -> list[Key]:
    keys = [_configured_key(number, entry) for number, entry in enumerate(entries)]
    if not keys[0].can_sign:
        raise BadKeyError(
            "entry",
            f"{_name(0)} is a public key, but the first key signs: it must be a private key.",
        )
    kids = [key.kid for key in keys]
    for number, kid in enumerate(kids):
        if kid in kids[:number]:
            raise BadKeyError("entry", f"{_name(number)} has the same kid as another key: {kid!r}.")
    return keys


@sensitive_variables()
def _configured_key(number: int, entry: Mapping[str, Any]) -> Key:
    name = _name(number)
    _check_entry(name, entry)
    algorithm, kid = entry.get("algorithm", config.JWT_ALGORITHM), entry.get("kid")
    if "secret" in entry:
        secret = force_bytes(entry["secret"])
        if secret in map(force_bytes, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)):
            raise BadKeyError("entry", f"{name} is SECRET_KEY, which also signs other things.")
        return secret_key(name, kid or _kid_of(secret), algorithm, secret)
    return asymmetric_key(name, kid, algorithm, _read(name, entry["file"]), entry.get("password"))


@sensitive_variables()
def _check_entry(name: str, entry: Mapping[str, Any]) -> None:
    unknown = [str(member) for member in entry if member not in _MEMBERS]
    if unknown:
        raise BadKeyError("entry", f"{name} has the unknown member {unknown[0]!r}.")
    algorithm = entry.get("algorithm", config.JWT_ALGORITHM)
    if algorithm not in ALGORITHMS:
        raise BadKeyError(
            "entry", f"{name} names the algorithm {algorithm!r}; there is {', '.join(ALGORITHMS)}."
        )
    wanted, other = ("secret", "file") if algorithm in SECRET_BYTES else ("file", "secret")
    if wanted not in entry or other in entry:
        raise BadKeyError("entry", f"{name}: {algorithm} takes a {wanted!r}, and no {other!r}.")
    types: dict[str, Any] = {
        "kid": str,
        "secret": (str, bytes),
        "file": (str, Path),
        "password": str,
    }
    for member, accepted in types.items():
        if member in entry and (not isinstance(entry[member], accepted) or entry[member] == ""):
            raise BadKeyError("entry", f"{name}: its {member!r} is no text, or an empty one.")
    kid = entry.get("kid", "")
    if len(kid) > LONGEST_KID or not (kid.isascii() and kid.isprintable()):
        raise BadKeyError(
            "entry", f"{name}: a kid is at most {LONGEST_KID} printable ASCII characters."
        )


def _read(name: str, file: str | Path) -> bytes:
    try:
        return Path(file).read_bytes()
    except (OSError, ValueError) as exc:
        raise BadKeyError("file", f"{name}: {file} cannot be read ({exc}).") from exc


def _name(number: int) -> str:
    return f"{PREFIX}JWT_KEYS[{number}]"


@sensitive_variables()
def _kid_of(secret: bytes) -> str:
    # Derived, so that it does not reveal the secret, and short, because it is in every token.
    return compact.encode(hkdf(secret, salt=SALT, info=b"kid", length=_KID_BYTES))


_rings: dict[str | None, Ring] = {}
on_setting_change(_rings.clear)
