"""Network addresses as limits see them."""

from ipaddress import IPv4Address, ip_address, ip_network


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
