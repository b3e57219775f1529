"""What a request says about its device: a readable name, and the client's IP address.

Pure functions of text and a request's ``META``. Everything here comes from outside, so nothing
raises: what cannot be understood is None, or a device without a name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Literal, cast

from user_agents import parse as parse_user_agent

IPAddress = IPv4Address | IPv6Address
DeviceKind = Literal["desktop", "phone", "tablet", "bot", "other"]

USER_AGENT_LENGTH = 512
_UNIX = "unix"
# What servers give for the address of a peer on a unix socket; the last is nginx's.
_UNIX_PEERS = (None, "", "unix:")
# How a device is recorded when the user agent is not: "Firefox on Windows (desktop)".
_RECORDED_DEVICE = re.compile(r"(.*?) ?(?:\bon (.+))? \((desktop|phone|tablet|bot|other)\)")
_IPV4_NETWORK_BITS = 24
_IPV6_NETWORK_BITS = 48
# A chain of proxies longer than this is an attempt to keep us busy.
_LONGEST_FORWARDED = 2048


@dataclass(frozen=True)
class Device:
    """A device as people know it; ``browser`` and ``os`` are empty where unknown."""

    label: str
    browser: str
    os: str
    kind: DeviceKind


def parse(user_agent: str | None) -> Device:
    """Name the device behind a user agent, or behind what ``recorded_user_agent()`` kept of one.

    Takes about a millisecond for a new text (up to 15 for an odd one, without the extra ``fast``)
    and is cached, so it belongs where devices are shown, and not in every request.
    """
    text = clean_user_agent(user_agent)
    return Device("", "", "", "other") if text is None else _parse(text)


def clean_user_agent(value: object) -> str | None:
    """Return a user agent fit to be stored: printable, 512 characters at most, or None.

    PostgreSQL refuses NUL, and terminals that show logs obey control characters.
    """
    if not isinstance(value, str):
        return None
    text = value[:USER_AGENT_LENGTH]
    if not text.isprintable():
        text = "".join(c for c in text if c.isprintable())
    return text.strip() or None


def recorded_user_agent(value: object, mode: str) -> str | None:
    """Return what of a user agent is kept under ``SESSIONS_PLUS_RECORD_USER_AGENT``.

    ``parse()`` makes the same device of it, in every mode but off.
    """
    if mode == "off":
        return None
    text = clean_user_agent(value)
    if text is None or mode == "parsed":
        return None if text is None else _recorded_device(_parse(text))
    # What a client sends must not pass for our own notation, and so for whatever it likes.
    return text[:-1] if _RECORDED_DEVICE.fullmatch(text) else text


def client_ip(
    meta: Mapping[str, Any], proxies: Sequence[str] = (), header: str = "X-Forwarded-For"
) -> str | None:
    """Return the client's address, believing forwarded addresses only as far as ``proxies`` vouch.

    The header is read from the right: each trusted proxy vouches for the address to its left, and
    the first that is not trusted is the client. An entry that is no address gives None, because
    nobody vouches for what is left of it.
    """
    remote = meta.get("REMOTE_ADDR")
    peer = parse_ip(remote)
    is_unix = _UNIX in proxies and remote in _UNIX_PEERS
    if not (is_unix or _is_trusted(peer, proxies)):
        return None if peer is None else str(peer)
    forwarded = str(meta.get("HTTP_" + header.upper().replace("-", "_"), ""))
    client = peer
    for entry in reversed(forwarded[-_LONGEST_FORWARDED:].split(",") if forwarded else []):
        client = parse_ip(entry)
        if not _is_trusted(client, proxies):
            break
    return None if client is None else str(client)


def recorded_ip(address: str | None, mode: str) -> str | None:
    """Return what of an address is kept under ``SESSIONS_PLUS_RECORD_IP``."""
    if address is None or mode == "off":
        return None
    if mode == "truncated":
        bits = _IPV6_NETWORK_BITS if ":" in address else _IPV4_NETWORK_BITS
        return str(ip_network((address, bits), strict=False).network_address)
    return address


def context_changes(
    recorded: Mapping[str, Any], presented: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return which of address and user agent are of another network or browser, as ``{column: (old, new)}``.

    A network is a /24 of IPv4 or a /48 of IPv6, and a browser is its name without the version. What
    is unknown on either side has not changed.
    """
    changes = {}
    for column, essence in (("ip_address", network_of), ("user_agent", browser_of)):
        old, new = recorded.get(column), presented.get(column)
        # Nearly always they are equal to the letter, which needs no reading.
        if old and new and old != new and essence(old) != essence(new):
            changes[column] = (old, new)
    return changes


def network_of(address: str) -> str | None:
    """Return the first address of the network an address belongs to; None for what is no address."""
    found = parse_ip(address)
    return None if found is None else recorded_ip(str(found), "truncated")


def browser_of(user_agent: str) -> str:
    """Return the name of the browser, or what an unknown program calls itself, without the version."""
    return parse(user_agent).browser or user_agent.partition("/")[0].partition(" ")[0]


def parse_ip(value: object) -> IPAddress | None:
    """Read an address as proxies and servers write it, or return None.

    Takes a port (``1.2.3.4:80``, ``[::1]:80``), drops an IPv6 zone and turns an
    IPv4 address mapped into IPv6 back into itself.
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


def _is_trusted(address: IPAddress | None, proxies: Sequence[str]) -> bool:
    if address is None:
        return False
    return any(address in ip_network(entry, strict=False) for entry in proxies if entry != _UNIX)


# Of the cleaned text, so that the cache keeps nothing longer than what is stored.
@lru_cache(maxsize=2048)
def _parse(text: str) -> Device:
    if recorded := _RECORDED_DEVICE.fullmatch(text):
        browser, system = recorded[1], recorded[2] or ""
        return Device(_label(browser, system), browser, system, cast(DeviceKind, recorded[3]))
    agent = parse_user_agent(text)
    browser = "" if agent.browser.family == "Other" else _browser_name(agent.browser.family)
    system = "" if agent.os.family == "Other" else _system_name(agent.os.family)
    return Device(_label(browser, system), browser, system, _kind(agent))


def _recorded_device(device: Device) -> str | None:
    if not device.label:
        return None
    parts = (device.browser, f"on {device.os}" if device.os else "", f"({device.kind})")
    return clean_user_agent(" ".join(part for part in parts if part))


def _browser_name(family: str) -> str:
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
