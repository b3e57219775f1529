"""Which keys sign and verify access tokens: configured ones, or derived from ``SECRET_KEY``.

Key files are read at the first use and kept until the process ends (or, in tests, a
setting changes): a key that is exchanged takes effect everywhere with a deployment, and
not in some processes while its file is being written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.encoding import force_bytes
from django.views.decorators.debug import sensitive_variables

from django_sessions_plus.conf import PREFIX, config
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


@dataclass(frozen=True)
class Ring:
    """All keys, by what a token's header says."""

    signing: Key
    by_kid: Mapping[str, Key]
    by_header: Mapping[str, Key]


def signing_key() -> Key:
    """Return the key that signs.

    Raises:
        ConfigurationError: a key cannot be used.
    """
    return ring().signing


def verification_key(kid: object, algorithm: object) -> Key | None:
    """Return the key a header names, if it is for that algorithm; None for anything else.

    Raises:
        ConfigurationError: a key cannot be used.
    """
    key = ring().by_kid.get(kid) if isinstance(kid, str) else None
    return key if key is not None and key.algorithm == algorithm else None


def key_by_header(segment: str) -> Key | None:
    """Return the key that the header of a token, still encoded, selects; None if it is none of ours.

    The header has the three members ``alg``, ``kid`` and ``typ`` and no other. What else
    it could say is not understood here and so cannot mean anything: above all ``jku``,
    ``jwk``, ``x5u`` and ``x5c``, by which a token would bring its own key, and ``crit``,
    which must not be passed over (RFC 7515 section 4.1.11, RFC 8725 section 3.10).

    Raises:
        ConfigurationError: a key cannot be used.
    """
    key = ring().by_header.get(segment)
    if key is not None:
        return key
    # Another way to write the same, such as another order.
    header = compact.read(segment)
    if header is None or header.keys() != {"alg", "kid", "typ"} or not _is_type(header["typ"]):
        return None
    return verification_key(header["kid"], header["alg"])


def jwks() -> dict[str, list[dict[str, str]]]:
    """Return the public keys as a JWK set (RFC 7517); secrets are not in it.

    Raises:
        ConfigurationError: a key cannot be used.
    """
    keys = ring().by_kid.values()
    return {"keys": [dict(key.public) for key in keys if key.public is not None]}


def ring() -> Ring:
    """Return all keys, made ready the first time.

    Raises:
        ConfigurationError: a key cannot be used.
    """
    found = _kept.get("ring")
    if found is None:
        found = _kept["ring"] = _ring_of(
            _derived_keys() if config.JWT_KEYS is None else _configured_keys()
        )
    return found


def _is_type(value: object) -> bool:
    # RFC 7515 section 4.1.9: a media type, whatever its case, mostly without "application/".
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
def _configured_keys() -> list[Key]:
    keys = [_configured_key(number, entry) for number, entry in enumerate(config.JWT_KEYS or ())]
    if not keys[0].can_sign:
        raise BadKeyError(
            "entry",
            f"{_name(0)} is a public key, and the first has to sign: it takes a private key.",
        )
    kids = [key.kid for key in keys]
    for number, kid in enumerate(kids):
        if kid in kids[:number]:
            raise BadKeyError("entry", f"{_name(number)} has the kid of another: {kid!r}.")
    return keys


@sensitive_variables()
def _configured_key(number: int, entry: Mapping[str, Any]) -> Key:
    name = _name(number)
    _check_entry(name, entry)
    algorithm, kid = entry.get("algorithm", config.JWT_ALGORITHM), entry.get("kid")
    if "secret" in entry:
        secret = force_bytes(entry["secret"])
        if secret in map(force_bytes, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)):
            raise BadKeyError("entry", f"{name} is SECRET_KEY, which signs other things already.")
        return secret_key(name, kid or _kid_of(secret), algorithm, secret)
    return asymmetric_key(name, kid, algorithm, _read(name, entry["file"]), entry.get("password"))


@sensitive_variables()
def _check_entry(name: str, entry: Mapping[str, Any]) -> None:
    unknown = [str(member) for member in entry if member not in _MEMBERS]
    if unknown:
        raise BadKeyError("entry", f"{name} has {unknown[0]!r}, which means nothing there.")
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
    # Derived, and short: it is in every token, and tells nothing of the secret.
    return compact.encode(hkdf(secret, salt=SALT, info=b"kid", length=_KID_BYTES))


_kept: dict[str, Ring] = {}


def _forget_all(**kwargs: Any) -> None:
    _kept.clear()


setting_changed.connect(_forget_all, dispatch_uid="django_sessions_plus.keys")
