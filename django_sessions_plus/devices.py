"""The device of a request: a readable name, and the client's IP address.

Pure functions of text and a request's ``META``. The input is chosen by the client, so nothing
here raises: what cannot be parsed is None, or a device without a name.

Longer than other modules, because what is read of a user agent and of an address shares the same care.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Literal, cast
from urllib.parse import unquote

from user_agents import parse as parse_user_agent

IPAddress = IPv4Address | IPv6Address
DeviceKind = Literal["desktop", "phone", "tablet", "bot", "other"]

USER_AGENT_LENGTH = 512
_UNIX = "unix"
# What servers report as the address of a peer on a unix socket; the last is nginx's.
_UNIX_PEERS = (None, "", "unix:")
# How a device is recorded when the user agent is not: "Firefox on Windows (desktop)".
_RECORDED_DEVICE = re.compile(r"(.*?) ?(?:\bon (.+))? \((desktop|phone|tablet|bot|other)\)")
# The name and version of an app: "MyShop/5.1.0".
_PRODUCT = re.compile(r"([A-Za-z][\w .&'+-]{0,39})/(\d[\d.]{0,19})")
# Apple's name for its web view. No browser has it: it means that an app is running.
_WEB_VIEW = "Mobile Safari UI/WKWebView"
_NO_BROWSERS = {"Other", _WEB_VIEW}
_BEFORE_APP = re.compile(r".* Mobile/\w+ ?")
_SYSTEMS_OF_APPS = {"iOS", "Android"}
# How the user agents of browsers, and of HTTP libraries that apps use, begin.
_NO_APPS = ("Mozilla/", "Opera/", "Dalvik/", "CFNetwork/")
_IPV4_NETWORK_BITS = 24
_IPV6_NETWORK_BITS = 48
# In characters. A longer header is an attack: parsing it would only cost time.
_LONGEST_FORWARDED = 2048


@dataclass(frozen=True)
class Device:
    """A device, as shown to users; ``browser`` (or app) and ``os`` are empty if unknown."""

    label: str
    browser: str
    os: str
    kind: DeviceKind
    version: str = ""
    """The version of an app; empty for a browser."""


def parse(user_agent: str | None) -> Device:
    """Return the device of a user agent, or of what ``recorded_user_agent()`` made of one.

    Takes about a millisecond for a new text (up to 15 for an odd one, without the extra ``fast``)
    and is cached. Call it where devices are shown, not in every request.
    """
    text = clean_user_agent(user_agent)
    return Device("", "", "", "other") if text is None else _parse(text)


def clean_user_agent(value: object) -> str | None:
    """Return the user agent in a form that can be stored: printable, at most 512 characters; None if there is none.

    PostgreSQL refuses NUL, and a terminal that shows logs would execute control characters.
    """
    if not isinstance(value, str):
        return None
    text = value[:USER_AGENT_LENGTH]
    if not text.isprintable():
        text = "".join(c for c in text if c.isprintable())
    return text.strip() or None


def recorded_user_agent(value: object, mode: str) -> str | None:
    """Return the part of a user agent that ``mode``, of ``SESSIONS_PLUS_RECORD_USER_AGENT``, says to store.

    ``parse()`` returns the same device for it, in every mode but off; "parsed" drops an app's version.
    """
    if mode == "off":
        return None
    text = clean_user_agent(value)
    if text is None or mode == "parsed":
        return None if text is None else _recorded_device(_parse(text))
    # Otherwise a client could send our own notation, and be shown as any device it chooses.
    return text[:-1] if _RECORDED_DEVICE.fullmatch(text) else text


def client_ip(
    meta: Mapping[str, Any], proxies: Sequence[str] = (), header: str = "X-Forwarded-For"
) -> str | None:
    """Return the client's address; a forwarded address counts only if one of ``proxies`` has added it.

    The header is read from the right: a trusted proxy added the address to its left, and the first
    address that is not a trusted proxy is the client. An entry that is no address gives None,
    because the entries to its left may be forged.
    """
    remote = meta.get("REMOTE_ADDR")
    forwarded = ""
    if proxies:
        forwarded = str(meta.get("HTTP_" + header.upper().replace("-", "_"), ""))
    return _client_ip(
        remote if remote is None else str(remote), forwarded[-_LONGEST_FORWARDED:], tuple(proxies)
    )


def is_trusted_peer(remote: object, proxies: Sequence[str]) -> bool:
    """Return whether the peer of a connection, its ``REMOTE_ADDR``, is one of ``proxies``."""
    is_unix = _UNIX in proxies and remote in _UNIX_PEERS
    return is_unix or _is_trusted(parse_ip(remote), proxies)


def is_private_peer(remote: object) -> bool:
    """Return whether the peer of a connection is on this machine or on a private network."""
    peer = parse_ip(remote)
    return remote in _UNIX_PEERS if peer is None else peer.is_private


def recorded_ip(address: str | None, mode: str) -> str | None:
    """Return the part of an address that ``mode``, of ``SESSIONS_PLUS_RECORD_IP``, says to store."""
    if address is None or mode == "off":
        return None
    if mode == "truncated":
        bits = _IPV6_NETWORK_BITS if ":" in address else _IPV4_NETWORK_BITS
        return str(ip_network((address, bits), strict=False).network_address)
    return address


def context_changes(
    recorded: Mapping[str, Any], presented: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return whether address or user agent belong to another network or browser, as ``{column: (old, new)}``.

    A network is a /24 of IPv4 or a /48 of IPv6, and a browser is its name without the version. A
    value that is unknown on either side counts as unchanged.
    """
    changes = {}
    for column, essence in (("ip_address", network_of), ("user_agent", browser_of)):
        old, new = recorded.get(column), presented.get(column)
        # They are nearly always equal, and then need no parsing.
        if old and new and old != new and essence(old) != essence(new):
            changes[column] = (old, new)
    return changes


def network_of(address: str) -> str | None:
    """Return the first address of the network of ``address``; None if it is no address."""
    found = parse_ip(address)
    return None if found is None else recorded_ip(str(found), "truncated")


def browser_of(user_agent: str) -> str:
    """Return the name of the browser, or of another program, without the version."""
    return parse(user_agent).browser or user_agent.partition("/")[0].partition(" ")[0]


def parse_ip(value: object) -> IPAddress | None:
    """Parse an address as proxies and servers write it; None if it is none.

    Drops a port (``1.2.3.4:80``, ``[::1]:80``) and an IPv6 zone, and returns an IPv4 address that is
    mapped into IPv6 as IPv4.
    """
    text = str(value or "").strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


# Called in every request of a session, mostly with the same arguments.
@lru_cache(maxsize=1024)
def _client_ip(remote: str | None, forwarded: str, proxies: tuple[str, ...]) -> str | None:
    client = parse_ip(remote)
    if is_trusted_peer(remote, proxies):
        for entry in reversed(forwarded.split(",") if forwarded else []):
            client = parse_ip(entry)
            if not _is_trusted(client, proxies):
                break
    return None if client is None else str(client)


def _is_trusted(address: IPAddress | None, proxies: Sequence[str]) -> bool:
    if address is None:
        return False
    return any(address in ip_network(entry, strict=False) for entry in proxies if entry != _UNIX)


# Takes the cleaned text: otherwise the cache would keep texts of any length.
@lru_cache(maxsize=2048)
def _parse(text: str) -> Device:
    if recorded := _RECORDED_DEVICE.fullmatch(text):
        browser, system = recorded[1], recorded[2] or ""
        return Device(_label(browser, system), browser, system, cast(DeviceKind, recorded[3]))
    agent = parse_user_agent(text)
    system = "" if agent.os.family == "Other" else _system_name(agent.os.family)
    app, version = _app_of(text, agent)
    browser = app or _browser_name(agent.browser.family)
    name = f"{browser} {version}" if version else browser
    return Device(_label(name, system), browser, system, _kind(agent), version)


def _app_of(text: str, agent: Any) -> tuple[str, str]:
    """Return name and version of the app on a phone or tablet; both empty if it is no app, or has no name.

    An app's user agent begins with its own name, or adds it to that of Apple's web view.
    """
    if agent.os.family not in _SYSTEMS_OF_APPS:
        return "", ""
    if not text.startswith(_NO_APPS):
        product = _PRODUCT.match(unquote(text))
    elif agent.browser.family == _WEB_VIEW:
        product = _PRODUCT.match(unquote(_BEFORE_APP.sub("", text)))
    else:
        return "", ""
    return (product[1], product[2]) if product else ("", "")


def _recorded_device(device: Device) -> str | None:
    if not device.label:
        return None
    # Without a version, as browsers are recorded.
    parts = (device.browser, f"on {device.os}" if device.os else "", f"({device.kind})")
    return clean_user_agent(" ".join(part for part in parts if part))


def _browser_name(family: str) -> str:
    if family in _NO_BROWSERS:
        return ""
    return family.removesuffix(" iOS").removeprefix("Mobile ").replace(" Mobile", "")


def _system_name(family: str) -> str:
    return {"Mac OS X": "macOS", "Chrome OS": "ChromeOS"}.get(family, family)


def _label(browser: str, system: str) -> str:
    if browser and system:
        return f"{browser} on {system}"
    return browser or system


def _kind(agent: Any) -> DeviceKind:
    if agent.is_bot:
        return "bot"
    if agent.is_tablet:
        return "tablet"
    if agent.is_mobile:
        return "phone"
    return "desktop" if agent.is_pc else "other"
