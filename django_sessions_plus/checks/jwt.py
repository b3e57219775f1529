"""Checks of access tokens: keys that cannot be used, and claims that are wrong."""

import stat
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.exceptions import ImproperlyConfigured

from django_sessions_plus.checks.lookups import is_callable_at, without_column
from django_sessions_plus.checks.registry import Problems, check, is_set, problem
from django_sessions_plus.conf import PREFIX, Config, callables, config
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.jwt import keys
from django_sessions_plus.jwt.algorithms import BadKeyError, Cause, is_private_pem
from django_sessions_plus.jwt.claims import RESERVED
from django_sessions_plus.presentation.user_fields import SECRET_FIELD

LONGEST_ACCESS_AGE = timedelta(hours=1)


@check(Tags.security)
def check_keys() -> Problems:
    """Find entries of ``JWT_KEYS`` that are no valid key, and an algorithm without a key."""
    if error := _key_error("entry"):
        yield problem(
            "E018",
            str(error),
            "See docs/jwt.md for what an entry looks like, and how to make a key.",
        )


@check(Tags.security)
def check_key_files() -> Problems:
    """Find key files that are missing or cannot be read."""
    if error := _key_error("file"):
        yield problem(
            "E019",
            str(error),
            "Give the full path of the file, and let the user that the site runs as read it.",
        )


@check(Tags.security)
def check_key_strength() -> Problems:
    """Find secrets and keys that can be guessed or computed (RFC 7518 sections 3.2 and 3.3)."""
    if error := _key_error("weak"):
        yield problem(
            "E020",
            str(error),
            "Make a new one: 'openssl rand -base64 48' for a secret, 'openssl genrsa 2048' or more for RSA.",
        )


@check()
def check_library() -> Problems:
    """Find asymmetric keys without the library that they need."""
    if error := _key_error("library"):
        yield problem(
            "E021",
            str(error),
            "Install it, or this package with the extra 'asymmetric'.",
        )


@check(Tags.security)
def check_claims_are_free() -> Problems:
    """Find claims that a project must not set, because they say what a token is."""
    for name in _claimed_fields():
        if name in RESERVED:
            yield problem(
                "E022",
                f"{PREFIX}JWT_CLAIMS names {name!r}, which is a claim of the package.",
                "Name a callable instead, which can give the field under another name.",
            )


@check(Tags.security)
def check_claims_hold_no_secret() -> Problems:
    """Find secret fields: the holder of a token can read its claims."""
    for name in _claimed_fields():
        if SECRET_FIELD.fullmatch(name):
            yield problem(
                "E023",
                f"{PREFIX}JWT_CLAIMS would put {name!r} into access tokens, which names a secret.",
                f"Remove {name!r} from {PREFIX}JWT_CLAIMS: tokens are signed, not encrypted.",
            )


@check(Tags.security)
def check_access_age() -> Problems:
    """Find access tokens that are valid so long that refreshing them has no use."""
    if config.JWT_ACCESS_AGE > LONGEST_ACCESS_AGE:
        yield problem(
            "W023",
            f"{PREFIX}JWT_ACCESS_AGE is {config.JWT_ACCESS_AGE}. Services that do not ask the database"
            " accept a token for that long after its session has ended.",
            "Some minutes are usual; clients refresh.",
        )


@check(Tags.security, deploy=True)
def check_private_key_files() -> Problems:
    """Find private keys that every user of the machine can read."""
    for entry in _entries():
        if isinstance(entry.get("file"), (str, Path)) and _is_open(entry["file"]):
            yield problem(
                "W024",
                f"{entry['file']} holds a private key, and every user of the machine can read it.",
                "Let it belong to the user that the site runs as, with the mode 0400.",
            )


@check()
def check_claimed_fields_exist() -> Problems:
    """Find claims that no token will have because the user model lacks the field."""
    if not is_set("JWT_CLAIMS"):
        return
    for name in without_column(_claimed_fields()):
        yield problem(
            "W025",
            f"{PREFIX}JWT_CLAIMS names {name!r}, and {settings.AUTH_USER_MODEL} has no such column.",
            "Correct the name or remove it; tokens leave it out.",
        )


@check()
def check_algorithm_is_read() -> Problems:
    """Find an algorithm that no key uses."""
    configured = _entries()
    if is_set("JWT_ALGORITHM") and configured and all("algorithm" in entry for entry in configured):
        yield problem(
            "W026",
            f"{PREFIX}JWT_ALGORITHM has no effect: every key names an algorithm of its own.",
            f"Remove {PREFIX}JWT_ALGORITHM, or 'algorithm' from the keys that share it.",
        )


@check()
def check_issuer_is_known() -> Problems:
    """Find tokens for other services whose issuer is the default, not the site."""
    defaults = {Config.JWT_ISSUER.default, Config.JWT_AUDIENCE.default}
    if (
        defaults & {*static_texts(config.JWT_ISSUER), *static_texts(config.JWT_AUDIENCE)}
        and _has_public_keys()
    ):
        yield problem(
            "I005",
            "The public keys are there for other services, and tokens name as issuer or audience"
            " what every site names by default: a service could take another site's for yours.",
            f"Set {PREFIX}JWT_ISSUER to the URL of the site, and {PREFIX}JWT_AUDIENCE to whom tokens are for.",
        )


def _key_error(cause: Cause) -> BadKeyError | None:
    """Return the error of the keys, if it has this cause."""
    if depends_on_request(config.JWT_KEYS):
        path = config.JWT_KEYS
        if cause == "entry" and isinstance(path, str) and not is_callable_at(path):
            return BadKeyError(
                "entry", f"{PREFIX}JWT_KEYS is {path!r}, where there is no callable."
            )
        return None
    try:
        keys.ring()
    except BadKeyError as exc:
        return exc if exc.cause == cause else None
    except ConfigurationError:
        # A setting of the wrong type, which E001 reports.
        raise
    except ImproperlyConfigured:
        # Without SECRET_KEY: Django reports it, to the commands that need one.
        return None
    return None


def depends_on_request(value: Any) -> bool:
    """Return whether a setting depends on the request; checks have no request."""
    return callable(value) or isinstance(value, str)


def _entries() -> list[Mapping[str, Any]]:
    return [] if depends_on_request(config.JWT_KEYS) else list(callables.jwt_keys() or ())


def _has_public_keys() -> bool:
    if depends_on_request(config.JWT_KEYS):
        return False
    try:
        return bool(keys.jwks()["keys"])
    except ImproperlyConfigured:
        # Reported above, or by Django.
        return False


def _claimed_fields() -> list[str]:
    fields = config.JWT_CLAIMS
    return [] if isinstance(fields, str) or callable(fields) else list(fields)


def static_texts(value: Any) -> list[str]:
    """Return the texts of a setting as a list; empty if a callable computes them for each request."""
    if callable(value):
        return []
    return [value] if isinstance(value, str) else list(value)


def _is_open(file: str | Path) -> bool:
    path = Path(file)
    try:
        return bool(path.stat().st_mode & stat.S_IROTH) and is_private_pem(path.read_bytes())
    except (OSError, ValueError):
        return False
