"""Checks of single settings: names, types and values."""

import re
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from django.conf import settings
from django.core.checks import Tags
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch

from django_sessions_plus.checks.lookups import is_callable_at, without_column
from django_sessions_plus.checks.registry import Problems, check, is_set, problem
from django_sessions_plus.conf import PREFIX, Config, config, declared
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.presentation.user_fields import SECRET_FIELD

_ALMOST_OUR_PREFIX = re.compile(r"SESSIONS?_?PLUS_")
_HEADER = re.compile(r"(?!HTTP_)[A-Za-z0-9_-]+", re.IGNORECASE)


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
    """Find unknown names that look like ours: a setting with a typo has no effect."""
    known = {name.removeprefix(PREFIX): name for name in declared()}
    rates = {f"{key.upper()}_RATE": f'{PREFIX}RATES["{key}"]' for key in Config.RATES.default}
    for name in dir(settings):
        prefix = _ALMOST_OUR_PREFIX.match(name)
        if prefix is None or name in declared():
            continue
        rest = name[prefix.end() :]
        meant = rates if rest.endswith("_RATE") else known
        nearest = get_close_matches(rest, meant, n=1)
        yield problem(
            "E002",
            f"There is no setting {name}.",
            f"Did you mean {meant[nearest[0]]}?"
            if nearest
            else "Remove it; docs/settings.md lists all settings.",
        )


@check()
def check_functions() -> Problems:
    """Find dotted paths that do not lead to a callable."""
    functions = {
        "MAX_PER_USER": ("E003", "takes a user and returns a whole number above zero or None"),
        "JWT_CLAIMS": (
            "E024",
            "takes a user and a session and returns a dictionary, or give a list of fields",
        ),
        "USER_LANGUAGE": (
            "E026",
            'takes a user and returns a language code such as "de", or None',
        ),
        "SIGN_IN": ("E029", "takes a request and a user and returns None or a SignInRefusal"),
        "USER_FIELDS": ("E034", "takes a user and returns a dictionary, or give a list of fields"),
        "LIFETIMES": (
            "E035",
            "takes nothing and returns a dictionary of transports, see docs/timeouts.md",
        ),
    }
    for name, (code, function) in functions.items():
        try:
            path = getattr(config, name)
        except ConfigurationError:
            # E001 reports this one; the others are still checked.
            continue
        if isinstance(path, str) and not is_callable_at(path):
            yield problem(
                code,
                f"{PREFIX}{name} is {path!r}, where there is no callable.",
                f"Name a function that {function}.",
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
    """Find secret fields, which the API must not return."""
    for name in _named_user_fields():
        if SECRET_FIELD.fullmatch(name):
            yield problem(
                "E005",
                f"{PREFIX}USER_FIELDS would have the API return {name!r}, which names a secret.",
                f"Remove {name!r} from {PREFIX}USER_FIELDS.",
            )


@check()
def check_user_fields_exist() -> Problems:
    """Find fields that no response contains, because the user model lacks them."""
    if not is_set("USER_FIELDS"):
        return
    for name in without_column(_named_user_fields()):
        yield problem(
            "W013",
            f"{PREFIX}USER_FIELDS names {name!r}, and {settings.AUTH_USER_MODEL} has no such column.",
            "Correct the name or remove it; the API leaves it out.",
        )


@check()
def check_client_ip_header() -> Problems:
    """Find header names that no request can have."""
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
    """Find a header that is never used, because no proxy is trusted."""
    if is_set("CLIENT_IP_HEADER") and not config.TRUSTED_PROXIES:
        yield problem(
            "W011",
            f"{PREFIX}CLIENT_IP_HEADER has no effect: no proxy is trusted.",
            f"Name your proxies in {PREFIX}TRUSTED_PROXIES, or remove {PREFIX}CLIENT_IP_HEADER.",
        )


@check()
def check_urls() -> Problems:
    """Find names of pages that cannot be reversed."""
    urls = {"REAUTHENTICATE_URL": config.REAUTHENTICATE_URL, "PASSWORD_URL": config.PASSWORD_URL}
    for name, url in urls.items():
        if url is not None and not _is_resolvable(url):
            yield problem(
                "E007",
                f"{PREFIX}{name} is {url!r}, which is neither a URL nor the name of one.",
                "Name a URL pattern without arguments, or give a path such as '/accounts/password/'.",
            )


def _named_user_fields() -> list[str]:
    fields = config.USER_FIELDS
    return [] if isinstance(fields, str) or callable(fields) else list(fields)


def _is_resolvable(url: str) -> bool:
    try:
        resolve_url(url)
    except NoReverseMatch:
        return False
    return True


@check()
def check_replica() -> Problems:
    """Find a setting for replicas where there is only one database."""
    if config.READ_FROM_REPLICA and not settings.DATABASE_ROUTERS:
        yield problem(
            "W012",
            f"{PREFIX}READ_FROM_REPLICA has no effect: no DATABASE_ROUTERS name a replica.",
            f"Add a router that sends reads to the replica, or remove {PREFIX}READ_FROM_REPLICA.",
        )
