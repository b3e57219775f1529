"""Checks of single settings: names, types, and values nobody can mean."""

import re
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from django.conf import settings
from django.core.checks import Tags
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch

from django_sessions_plus.checks.lookups import is_callable_at, without_column
from django_sessions_plus.checks.registry import Problems, check, is_set, problem
from django_sessions_plus.conf import PREFIX, config, declared
from django_sessions_plus.exceptions import ConfigurationError

LARGEST_PURGE_BATCH = 10_000

_ALMOST_OUR_PREFIX = re.compile(r"SESSIONS?_?PLUS_")
_HEADER = re.compile(r"(?!HTTP_)[A-Za-z0-9_-]+", re.IGNORECASE)
SECRET_FIELD = re.compile(
    r"(.*_)?(password|passwd|passphrase|secret|token|otp|salt|hash|pin|(api|private|secret|access|session)_?key)",
    re.IGNORECASE,
)


@check()
def check_values() -> Problems:
    """Find settings of the wrong type or out of range."""
    for setting in declared().values():
        try:
            setting.read()
        except ConfigurationError as exc:
            yield problem(
                "E001",
                str(exc),
                f"{setting.meaning} Set it to {setting.kind.wants}, or remove it for the default,"
                f" {setting.default!r}.",
            )


@check()
def check_names() -> Problems:
    """Find names that look like ours and are not: a setting with a typo has no effect."""
    known = [name.removeprefix(PREFIX) for name in declared()]
    for name in dir(settings):
        prefix = _ALMOST_OUR_PREFIX.match(name)
        if prefix is None or name in declared():
            continue
        nearest = get_close_matches(name[prefix.end() :], known, n=1)
        yield problem(
            "E002",
            f"There is no setting {name}.",
            f"Did you mean {PREFIX}{nearest[0]}?"
            if nearest
            else "Remove it; docs/settings.md lists all settings.",
        )


@check()
def check_session_limit() -> Problems:
    """Find a path of ``MAX_PER_USER`` that leads to no callable."""
    path = config.MAX_PER_USER
    if isinstance(path, str) and not is_callable_at(path):
        yield problem(
            "E003",
            f"{PREFIX}MAX_PER_USER is {path!r}, where there is no callable.",
            "Name a function that takes a user and returns a whole number above zero or None.",
        )


@check(Tags.security)
def check_proxies_are_not_everybody() -> Problems:
    """Find lists of trusted proxies that cover a whole address family."""
    networks = [ip_network(entry, False) for entry in config.TRUSTED_PROXIES if entry != "unix"]
    four = collapse_addresses(n for n in networks if isinstance(n, IPv4Network))
    six = collapse_addresses(n for n in networks if isinstance(n, IPv6Network))
    if any(n.prefixlen == 0 for n in four) or any(n.prefixlen == 0 for n in six):
        yield problem(
            "E004",
            f"{PREFIX}TRUSTED_PROXIES trusts every address.",
            "Name the addresses or networks of your own proxies only: whoever is trusted can"
            " write any address into the record of any session.",
        )


@check(Tags.security)
def check_user_fields_hold_no_secret() -> Problems:
    """Find fields the API must not return to a browser."""
    for name in config.USER_FIELDS:
        if SECRET_FIELD.fullmatch(name):
            yield problem(
                "E005",
                f"{PREFIX}USER_FIELDS would have the API return {name!r}, which names a secret.",
                f"Remove {name!r} from {PREFIX}USER_FIELDS.",
            )


@check()
def check_user_fields_exist() -> Problems:
    """Find fields that are left out of every answer because the user model lacks them."""
    if not is_set("USER_FIELDS"):
        return
    for name in without_column(config.USER_FIELDS):
        yield problem(
            "W013",
            f"{PREFIX}USER_FIELDS names {name!r}, and {settings.AUTH_USER_MODEL} has no such column.",
            "Correct the name or remove it; the API leaves it out.",
        )


@check()
def check_client_ip_header() -> Problems:
    """Find header names that can never be read."""
    header = config.CLIENT_IP_HEADER
    if not _HEADER.fullmatch(header) or header.lower() == "forwarded":
        yield problem(
            "E006",
            f"{PREFIX}CLIENT_IP_HEADER is {header!r}, which is no header that lists addresses.",
            'Give the name as it is sent, such as "X-Forwarded-For" or "X-Real-IP": not the key of'
            ' request.META, and not "Forwarded" (RFC 7239), whose syntax is another.',
        )


@check()
def check_client_ip_header_is_read() -> Problems:
    """Find a header that is named and never believed."""
    if is_set("CLIENT_IP_HEADER") and not config.TRUSTED_PROXIES:
        yield problem(
            "W011",
            f"{PREFIX}CLIENT_IP_HEADER has no effect: no proxy is trusted.",
            f"Name your proxies in {PREFIX}TRUSTED_PROXIES, or remove {PREFIX}CLIENT_IP_HEADER.",
        )


@check()
def check_reauthentication_url() -> Problems:
    """Find a URL name that cannot be reversed."""
    url = config.REAUTHENTICATE_URL
    if url is None:
        return
    try:
        resolve_url(url)
    except NoReverseMatch:
        yield problem(
            "E007",
            f"{PREFIX}REAUTHENTICATE_URL is {url!r}, which is neither a URL nor the name of one.",
            "Name a URL pattern without arguments, or give a path such as '/accounts/password/'.",
        )


@check()
def check_replica() -> Problems:
    """Find a choice between databases where there is nothing to choose."""
    if config.READ_FROM_REPLICA and not settings.DATABASE_ROUTERS:
        yield problem(
            "W012",
            f"{PREFIX}READ_FROM_REPLICA has no effect: no DATABASE_ROUTERS name a replica.",
            f"Add a router that sends reads to the replica, or remove {PREFIX}READ_FROM_REPLICA.",
        )


@check()
def check_purge_batch() -> Problems:
    """Find batches too large to be short."""
    if config.PURGE_BATCH_SIZE > LARGEST_PURGE_BATCH:
        yield problem(
            "W018",
            f"{PREFIX}PURGE_BATCH_SIZE is above {LARGEST_PURGE_BATCH}: a batch is one transaction,"
            " and others may have to wait for it.",
            "Some thousand rows are enough; the purge goes on until nothing is left.",
        )
