"""A session and its user, which no database has seen, and keys of every algorithm in files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.contrib.auth.models import User
from django.test import override_settings

from django_sessions_plus import tokens
from django_sessions_plus.models import Session

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECRETS = {
    "HS256": "0123456789abcdef" * 2,
    "HS384": "0123456789abcdef" * 3,
    "HS512": "0123456789abcdef" * 4,
}
SYMMETRIC = list(SECRETS)
ASYMMETRIC = ["RS256", "ES256", "EdDSA"]


@dataclass(frozen=True)
class KeyFile:
    """A key pair: the object, and the files of both halves."""

    key: Any
    private: Path
    public: Path
    locked: Path

    @property
    def pem(self) -> bytes:
        return self.public.read_bytes()


def write_key(directory: Path, name: str, key: Any) -> KeyFile:
    """Write both halves, and the private one under the password "open"."""
    pair = KeyFile(
        key, *(directory / f"{name}-{half}.pem" for half in ("private", "public", "locked"))
    )
    for path, encryption in (
        (pair.private, NoEncryption()),
        (pair.locked, BestAvailableEncryption(b"open")),
    ):
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        path.chmod(0o400)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    pair.public.write_bytes(public)
    return pair


@pytest.fixture(scope="session")
def pems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KeyFile]:
    """A key pair for each asymmetric algorithm, and others that are for none."""
    directory = tmp_path_factory.mktemp("keys")
    made = {
        "RS256": rsa.generate_private_key(65537, 2048),
        "other RS256": rsa.generate_private_key(65537, 2048),
        "short RSA": rsa.generate_private_key(65537, 1024),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "other ES256": ec.generate_private_key(ec.SECP256R1()),
        "P-384": ec.generate_private_key(ec.SECP384R1()),
        "secp256k1": ec.generate_private_key(ec.SECP256K1()),
        "Ed448": ed448.Ed448PrivateKey.generate(),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        "other EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    return {name: write_key(directory, name.replace(" ", "-"), key) for name, key in made.items()}


@pytest.fixture
def entry(pems: dict[str, KeyFile]) -> Callable[..., dict[str, Any]]:
    """Make an entry of ``SESSIONS_PLUS_JWT_KEYS`` for an algorithm."""

    def make(algorithm: str, **more: Any) -> dict[str, Any]:
        key = (
            {"secret": SECRETS[algorithm]}
            if algorithm in SECRETS
            else {"file": pems[algorithm].private}
        )
        return {"algorithm": algorithm, **key, **more}

    return make


@pytest.fixture(params=[*SYMMETRIC, *ASYMMETRIC])
def algorithm(request: pytest.FixtureRequest, entry: Any) -> Iterator[str]:
    """Each algorithm in turn, with a configured key for it."""
    with override_settings(SESSIONS_PLUS_JWT_KEYS=[entry(request.param, kid="ours")]):
        yield request.param


@pytest.fixture
def user() -> User:
    return User(pk=7, username="ada", email="ada@example.com", password="never to be told")


@pytest.fixture
def session(user: User) -> Session:
    return Session(
        user=user,
        token_digest=tokens.digest(tokens.make_token()),
        authenticated_at=NOW - timedelta(hours=1),
        expires_at=NOW + timedelta(days=7),
    )
