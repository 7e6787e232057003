"""Network addresses: as limits see them, and which of them a request of ours may go to."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network


def network_of(address: str) -> str:
    """The unit that one subscriber holds: an IPv4 address, or the /64 of an IPv6 address (RFC 6177).

    IPv4 written as IPv6 (::ffff:192.0.2.1) is the IPv4 address. What is no address, such as "local", stays as it is.
    """
    try:
        # A zone (fe80::1%eth0) is chosen by the sender's own machine, so it must not make a new bucket.
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False))


def is_this_machine(address: str) -> bool:
    """Whether it is a loopback address, also when written as ::ffff:127.0.0.1. False for what is no address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (mapped or parsed).is_loopback


def public_address(address: str) -> IPv4Address | IPv6Address | None:
    """The address of the public internet that a request came from; None for any other, and for what is no address.

    IPv4 written as IPv6 is the IPv4 address.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    found = mapped or parsed
    return found if _is_public(found) else None


# What the IANA registries of special purposes (RFC 6890) keep from the internet at large, whatever Python's release
# knows of them. In IPv6 only 2000::/3 is given out for it, so that IPv4-mapped addresses are not in it either.
_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            # Teredo and other tunnels, documentation, 6to4: they lead to an IPv4 address of the sender's choice.
            *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
        ),
    )
)
_UNICAST_6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: how a network without IPv4 reaches an IPv4 address
# Where clouds hand their machines' credentials to whoever asks from inside; some lie in ranges that are else fine.
_METADATA = frozenset(
    map(ip_address, ("169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"))
)
PRIVATE_NETWORKS: Final = tuple(
    map(
        ip_network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1", "fc00::/7")
    )
)


def may_be_asked(address: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether a request of ours may go to this address: one of the public internet, or of the networks `allowed`.

    Never to a metadata service of a cloud (ASVS 13.2.4, 15.3.2). False for what is no address, or names a zone.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if parsed in _METADATA or (isinstance(parsed, IPv6Address) and parsed.scope_id is not None):
        return False
    return _is_public(parsed) or any(parsed in network for network in allowed)


def _is_public(parsed: IPv4Address | IPv6Address) -> bool:
    if isinstance(parsed, IPv6Address):
        if parsed in _NAT64:
            return may_be_asked(str(IPv4Address(int(parsed) & 0xFFFF_FFFF)))
        if parsed not in _UNICAST_6:
            return False
    return not any(parsed in network for network in _NOT_PUBLIC)
