"""Checks of the audience of tokens, of who can make them, and of how they are sent."""

import sys

from django.apps import apps
from django.conf import settings
from django.core.checks import Tags
from django.core.checks.security.base import (
    SECRET_KEY_INSECURE_PREFIX,
    SECRET_KEY_MIN_LENGTH,
    SECRET_KEY_MIN_UNIQUE_CHARACTERS,
)
from django.core.exceptions import ImproperlyConfigured
from django.utils.encoding import force_str

from django_sessions_plus.checks.jwt import depends_on_request, static_texts
from django_sessions_plus.checks.lookups import is_mounted
from django_sessions_plus.checks.registry import Problems, check, is_set, problem
from django_sessions_plus.conf import PREFIX, config
from django_sessions_plus.jwt import keys

_REFRESH = "django_sessions_plus_api:token-refresh"
_GUESSABLE = (
    (
        "Access tokens are signed with a key derived from SECRET_KEY, which is short, has few different"
        " characters, or was made by startproject: anybody with one token can try guesses on it"
        " without asking this site, and then make tokens for everybody."
    ),
    (
        "Make a new one: 'openssl rand -base64 48', from the environment and not in the repository. Put"
        f" the old one into SECRET_KEY_FALLBACKS, or name a key of its own in {PREFIX}JWT_KEYS."
    ),
)


@check(Tags.security)
def check_tenants() -> Problems:
    """Find one issuer, audience and key for all tenants."""
    is_separate = (
        callable(config.JWT_ISSUER)
        or callable(config.JWT_AUDIENCE)
        or depends_on_request(config.JWT_KEYS)
    )
    if apps.is_installed("django_tenants") and not is_separate:
        yield problem(
            "W036",
            "django_tenants is installed, and access tokens of all tenants have one issuer, audience and"
            " key: without a query, a token of one tenant is accepted by another.",
            f"Set {PREFIX}JWT_ISSUER to a function of the request, see docs/jwt.md.",
        )


@check(Tags.security)
def check_secret_key() -> Problems:
    """Find a ``SECRET_KEY`` that can be guessed, where it signs access tokens outside of development."""
    # With --deploy, the next check reports the key. Django does not pass the option to checks.
    is_reported_as_error = "--deploy" in sys.argv
    if not settings.DEBUG and not is_reported_as_error and _is_secret_key_at_risk():
        yield problem("W037", *_GUESSABLE)


@check(Tags.security, deploy=True)
def check_secret_key_of_production() -> Problems:
    """Report the same key as an error, with ``check --deploy``."""
    if _is_secret_key_at_risk():
        yield problem("E032", *_GUESSABLE)


@check(Tags.security, deploy=True)
def check_issuer_is_ones_own() -> Problems:
    """Find tokens that another installation with the same key accepts."""
    is_default = not is_set("JWT_ISSUER") and not is_set("JWT_AUDIENCE")
    if is_default and _is_in_use():
        yield problem(
            "W038",
            f"{PREFIX}JWT_ISSUER and {PREFIX}JWT_AUDIENCE are the defaults: a staging site that shares"
            " the key with this one accepts its access tokens.",
            f"Set {PREFIX}JWT_ISSUER to the URL of the site.",
        )


@check(Tags.security)
def check_audiences_are_others() -> Problems:
    """Find this site's own audience in ``SESSIONS_PLUS_TOKEN_AUDIENCES``."""
    own = set(static_texts(config.JWT_AUDIENCE))
    for audience in config.TOKEN_AUDIENCES:
        if audience in own:
            yield problem(
                "E033",
                f"{PREFIX}TOKEN_AUDIENCES names {audience!r}, which is this site's own audience.",
                "Remove it: a page that is signed in by cookie needs no token here.",
            )


@check(Tags.security)
def check_services_share_no_secret() -> Problems:
    """Find tokens for other services that are signed with a secret, which those services would need to verify them."""
    own = set(static_texts(config.JWT_AUDIENCE))
    if not own.issuperset(config.TOKEN_AUDIENCES) and _signs_with_secret():
        yield problem(
            "W018",
            f"{PREFIX}TOKEN_AUDIENCES names other services, and access tokens are signed with a secret:"
            " a service that has it to verify them can also make tokens for everybody, on this site too.",
            f"Sign with an asymmetric key, the first in {PREFIX}JWT_KEYS: services verify with the public"
            " one, see docs/jwt.md.",
        )


@check(Tags.security, deploy=True)
def check_tokens_need_https() -> Problems:
    """Find a site that may hand out tokens over plain HTTP."""
    if _is_in_use() and not settings.SECURE_SSL_REDIRECT and not config.REQUIRE_HTTPS:
        yield problem(
            "W041",
            "The API also sends tokens over plain HTTP, where others on the network can read them.",
            f"Set {PREFIX}REQUIRE_HTTPS or SECURE_SSL_REDIRECT to True; behind a proxy that ends TLS also"
            " SECURE_PROXY_SSL_HEADER. Silence this check if the proxy serves HTTPS alone.",
        )


def _is_in_use() -> bool:
    """Return whether this site issues tokens."""
    return is_mounted(_REFRESH)


def _signs_with_secret() -> bool:
    """Return whether the signing key is a secret; False if it depends on the request, or cannot be used."""
    if depends_on_request(config.JWT_KEYS):
        return False
    try:
        return keys.signing_key().public is None
    except ImproperlyConfigured:
        # Reported by the checks of keys, or by Django.
        return False


def _is_secret_key_at_risk() -> bool:
    """Return whether access tokens are signed with a key that can be guessed."""
    if config.JWT_KEYS is not None or not _is_in_use():
        return False
    try:
        key = force_str(settings.SECRET_KEY, errors="replace")
    except ImproperlyConfigured:
        # Django reports it.
        return False
    return (
        key.startswith(SECRET_KEY_INSECURE_PREFIX)
        or len(key) < SECRET_KEY_MIN_LENGTH
        or len(set(key)) < SECRET_KEY_MIN_UNIQUE_CHARACTERS
    )
