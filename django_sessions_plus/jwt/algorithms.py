"""Keys that are parsed once, each bound to one algorithm (RFC 8725 section 3.1).

PyJWT computes the signatures; asymmetric keys need ``cryptography``, which the extra
``asymmetric`` installs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any, Literal

from django.views.decorators.debug import sensitive_variables
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import InvalidKeyError

from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.jwt import compact

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_pem_public_key,
    )
except ModuleNotFoundError:
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

# RFC 7518 section 3.2: a secret must be at least as long as the hash.
SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
# Different characters; Django requires as many of SECRET_KEY (security.W009).
MIN_DISTINCT_CHARACTERS = 5
# RFC 7518 section 3.3, NIST SP 800-131A.
RSA_BITS = 2048
_KEY_TYPES = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
_CURVES = {"ES256": "P-256", "EdDSA": "Ed25519"}
# The members that a thumbprint is computed of (RFC 7638 section 3.2, RFC 8037 section 2).
_PUBLIC_MEMBERS = {
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
}

ALGORITHMS = (*SECRET_BYTES, *_KEY_TYPES)
TYPE = "at+jwt"
"""The header ``typ`` of access tokens (RFC 9068); other tokens of the same issuer have another one."""

Cause = Literal["entry", "file", "weak", "library"]


class BadKeyError(ConfigurationError):
    """A key cannot be used; the message says which. ``cause`` selects the system check that reports it."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Key:
    """A parsed key. Its repr does not show the secret parts."""

    kid: str
    algorithm: str
    header: str = field(repr=False)
    """The encoded header segment of tokens that are signed with it."""
    public: dict[str, str] | None = field(repr=False)
    """The public key as JWK (RFC 7517); None for an HMAC secret."""
    _library: Algorithm = field(repr=False)
    _signer: Any = field(repr=False)
    _verifier: Any = field(repr=False)

    @property
    def can_sign(self) -> bool:
        """Whether the key is an HMAC secret or a private key."""
        return self._signer is not None

    def sign(self, message: bytes) -> bytes:
        """Return the signature of ``message``."""
        return self._library.sign(message, self._signer)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether ``signature`` is a signature of ``message`` with this key."""
        return self._library.verify(message, self._verifier, signature)


@sensitive_variables()
def secret_key(name: str, kid: str, algorithm: str, secret: bytes) -> Key:
    """Return the key for an HMAC; ``name`` is used in error messages.

    Raises:
        BadKeyError: the secret is too short, or is a key of another algorithm.
    """
    least = SECRET_BYTES[algorithm]
    if len(secret) < least:
        raise BadKeyError(
            "weak",
            f"{name}: a secret of {len(secret)} bytes is too short for {algorithm}, which takes {least}.",
        )
    if len(set(secret)) < MIN_DISTINCT_CHARACTERS:
        raise BadKeyError(
            "weak", f"{name}: a secret of {len(set(secret))} different bytes can be guessed."
        )
    library = _library(algorithm)
    try:
        # PyJWT refuses the text of a public key: everybody who has it could sign.
        prepared = library.prepare_key(secret)
    except InvalidKeyError as exc:
        raise BadKeyError("entry", f"{name}: {exc}") from exc
    header = _header(kid, algorithm)
    return Key(kid, algorithm, header, None, library, prepared, prepared)


@sensitive_variables()
def asymmetric_key(
    name: str, kid: str | None, algorithm: str, data: bytes, password: str | None
) -> Key:
    """Return the key in ``data``, which is PEM; without ``kid``, its thumbprint is the kid.

    Raises:
        BadKeyError: ``data`` contains no key, or one for another algorithm, or it is too weak; or a library is missing.
    """
    if not HAS_CRYPTOGRAPHY:
        raise BadKeyError(
            "library",
            f"{name}: {algorithm} needs the package cryptography, which is not installed.",
        )
    loaded = _load_pem(data, password)
    if loaded is None:
        raise BadKeyError(
            "entry", f"{name}: there is no key in PEM form, or the password is wrong."
        )
    is_private = hasattr(loaded, "private_bytes")
    verifier = loaded.public_key() if is_private else loaded
    library = _library(algorithm)
    public = _public_members(library, verifier)
    if (
        public is None
        or public["kty"] != _KEY_TYPES[algorithm]
        or public.get("crv") != _CURVES.get(algorithm)
    ):
        raise BadKeyError("entry", f"{name}: this is no key for {algorithm}.")
    if algorithm == "RS256" and verifier.key_size < RSA_BITS:
        raise BadKeyError(
            "weak",
            f"{name}: an RSA key of {verifier.key_size} bits is too short; it takes {RSA_BITS}.",
        )
    kid = kid or thumbprint(public)
    public = {**public, "kid": kid, "use": "sig", "alg": algorithm}
    signer = loaded if is_private else None
    return Key(kid, algorithm, _header(kid, algorithm), public, library, signer, verifier)


def thumbprint(members: dict[str, str]) -> str:
    """Return the thumbprint of a public key (RFC 7638, SHA-256)."""
    required = {name: members[name] for name in _PUBLIC_MEMBERS[members["kty"]]}
    text = json.dumps(required, sort_keys=True, separators=(",", ":"))
    return compact.encode(sha256(text.encode()).digest())


def is_private_pem(data: bytes) -> bool:
    """Return whether ``data`` has the header of a private key."""
    return b"PRIVATE KEY-----" in data


def _load_pem(data: bytes, password: str | None) -> Any:
    """Return the private or public key in ``data``; None if there is none, or ``password`` does not decrypt it."""
    try:
        if is_private_pem(data):
            return load_pem_private_key(data, None if password is None else password.encode())
        return load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


@cache
def _library(algorithm: str) -> Algorithm:
    return get_default_algorithms()[algorithm]


def _header(kid: str, algorithm: str) -> str:
    return compact.write({"alg": algorithm, "kid": kid, "typ": TYPE})


def _public_members(library: Algorithm, public: Any) -> dict[str, str] | None:
    """Return the key as JWK; None if it is not for this algorithm."""
    try:
        members = library.to_jwk(library.prepare_key(public), as_dict=True)
    except (InvalidKeyError, TypeError):
        return None
    names = _PUBLIC_MEMBERS[members["kty"]]
    return {name: members[name] for name in names}
