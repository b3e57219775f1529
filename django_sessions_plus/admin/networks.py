"""Sessions by the network their address is in, on databases that know addresses and on those that know text."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from django.db import connections
from django.db.models import Q

Network = IPv4Network | IPv6Network

# How many of the newest sessions are looked at where the text of an address does not tell.
LOOKED_AT = 10_000


def parse(text: str) -> Network | None:
    """Read a network such as "192.0.2.0/24"; bits beyond its length are passed over. None for anything else."""
    if "/" not in text:
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def within(rows: Any, network: Network) -> Any:
    """Keep the sessions whose address is in the network.

    PostgreSQL compares addresses, and an index on them would serve it. Elsewhere they are text:
    of IPv6 networks that do not end between two groups, or have groups of zeros, which are
    written in several ways, the newest ``LOOKED_AT`` sessions are looked through.
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
    addresses = rows.order_by("-pk").values_list("ip_address", flat=True)[:LOOKED_AT]
    found = {each for each in addresses if ip_address(each) in network}
    return rows.filter(ip_address__in=found)


def _begins_with(network: IPv4Network) -> Q:
    """Return the condition on the text: of at most 128 beginnings, or 128 addresses, one."""
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
    """Return what every address in the network begins with, as far as it has one way to be written."""
    groups = network.network_address.exploded.split(":")[: network.prefixlen // 16]
    prefix = ""
    for group in groups:
        if int(group, 16) == 0:
            break
        prefix += f"{int(group, 16):x}:"
    return prefix
