"""Which addresses are out in the world, and which lead to this machine, its network or its provider's own services."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from fieldpack.server.values.urls import is_web_url

__all__ = ["Address", "Allowed", "find_address", "is_inside", "parse_allowed"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IPv6 networks whose addresses end in an IPv4 address: RFC 6052 §2.1, RFC 8215
NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
# What IANA's registries of special-purpose addresses (RFC 6890, of IPv4 and of IPv6) have as not globally reachable, as
# of 2025, or as deprecated. What `ipaddress` knows of them depends on the version of Python. Of 192.0.0.0/24 and
# 2001::/23, which are for protocols, single addresses are reachable: no receiver has one.
NOT_GLOBAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32"),
        *("3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
# services of clouds at addresses that anybody may route to
METADATA = {ipaddress.ip_address("168.63.129.16"), ipaddress.ip_address("100.100.100.200")}


def find_address(host: str) -> Address | None:
    """The address that a host is, in its usual spelling, with or without brackets; None for anything else."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def is_inside(address: Address) -> bool:
    """Whether an address may lead to this machine, its network or its provider's own services."""
    if isinstance(address, ipaddress.IPv6Address):
        carried = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if carried is None and any(address in network for network in NAT64):
            carried = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if carried is None and int(address) >> 32 == 0:  # IPv4-compatible, RFC 4291 §2.5.5.1
            carried = ipaddress.IPv4Address(int(address))
        if carried is not None and is_inside(carried):
            return True
        if address.ipv4_mapped is not None:
            return False
    if address in METADATA or any(address in network for network in NOT_GLOBAL):
        return True
    return not address.is_global or address.is_multicast or address.is_reserved


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an operator lists: names of hosts, in lower case, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def has_host(self, host: str) -> bool:
        """Whether a name, or an address as it is written, is listed."""
        address = find_address(host)
        return host.lower().rstrip(".") in self.hosts or (address is not None and self.has_address(address))

    def has_address(self, address: Address) -> bool:
        """Whether an address is in a network that is listed."""
        return any(address.version == network.version and address in network for network in self.networks)


def parse_allowed(text: str) -> Allowed:
    """Hosts, addresses and networks, separated by commas.

    Raises:
        ValueError: something that is none of these.
    """
    hosts: set[str] = set()
    networks: list[Network] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(part.strip("[]"), strict=False))
        except ValueError:
            if not is_web_url(f"https://{part}/") or ":" in part or "/" in part:
                raise ValueError(f"{part!r} is no host, address or network") from None
            hosts.add(part.lower().rstrip("."))
    return Allowed(frozenset(hosts), tuple(networks))
