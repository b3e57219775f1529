"""Filter sessions by the network of their address, on databases with a type for addresses and on those without."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from django.db import connections
from django.db.models import Q

Network = IPv4Network | IPv6Network

# How many of the newest sessions are read if the network cannot be matched by text.
MAX_COMPARED = 10_000


def parse(text: str) -> Network | None:
    """Parse a network such as "192.0.2.0/24"; bits beyond its length are ignored. None for any other text."""
    if "/" not in text:
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def within(rows: Any, network: Network) -> Any:
    """Filter the sessions whose address is in the network.

    PostgreSQL compares addresses. Elsewhere they are text: for an IPv6 network that does not end
    between two groups, or that has groups of zeros, which can be written in several ways, only the
    newest ``MAX_COMPARED`` sessions are read and compared.
    """
    if connections[rows.db].vendor == "postgresql":
        first, last = str(network.network_address), str(network.broadcast_address)
        return rows.filter(ip_address__gte=first, ip_address__lte=last)
    if isinstance(network, IPv4Network):
        return rows.filter(_begins_with(network))
    prefix = _groups_before_zeros(network)
    rows = rows.filter(Q(ip_address__startswith=prefix) if prefix else Q(ip_address__contains=":"))
    if prefix.count(":") * 16 == network.prefixlen:
        return rows
    addresses = rows.order_by("-pk").values_list("ip_address", flat=True)[:MAX_COMPARED]
    found = {each for each in addresses if ip_address(each) in network}
    return rows.filter(ip_address__in=found)


def _begins_with(network: IPv4Network) -> Q:
    """Return the condition on the text: one of at most 128 prefixes, or of 128 addresses."""
    whole_numbers = -(-network.prefixlen // 8)
    if whole_numbers == 0:
        return Q(ip_address__contains=".")
    parts = [str(each.network_address) for each in network.subnets(new_prefix=whole_numbers * 8)]
    if whole_numbers == 4:
        return Q(ip_address__in=parts)
    condition = Q()
    for part in parts:
        condition |= Q(ip_address__startswith=".".join(part.split(".")[:whole_numbers]) + ".")
    return condition


def _groups_before_zeros(network: IPv6Network) -> str:
    """Return the text that every address in the network begins with, as far as it can be written in only one way."""
    groups = network.network_address.exploded.split(":")[: network.prefixlen // 16]
    prefix = ""
    for group in groups:
        if int(group, 16) == 0:
            break
        prefix += f"{int(group, 16):x}:"
    return prefix
