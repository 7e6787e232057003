"""Where we are, where requests may come from, and where we may send a browser."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
# Browsers read a backslash as a slash, drop tabs and newlines, and take // for another host: only printable ASCII, no
# backslash, and no slash after the first.
_LOCAL_PATH = re.compile(r"/(?![/])[!-\[\]-~]{0,2000}")
_USUAL_PORTS = {"http": 80, "https": 443}
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Site:
    """The public address of this server and the origins that are the same server.

    `public_url` makes every link; `Host` never does (C23).
    """

    public_url: str
    origins: frozenset[str]
    trusted_proxies: tuple[Network, ...] = ()

    @classmethod
    def at(cls, public_url: str, trusted_proxies: tuple[str, ...] = ()) -> "Site":
        """`public_url` such as https://id.example.org, without a path. On loopback all its names are one origin."""
        parts = urlsplit(public_url)
        host = parts.hostname or ""
        port = "" if parts.port in {None, _USUAL_PORTS.get(parts.scheme)} else f":{parts.port}"
        # As browsers write an origin: lower case, and no port where it is the usual one (RFC 6454 §6.2).
        own = f"[{host}]" if ":" in host else host
        names = _LOOPBACK_NAMES if own in _LOOPBACK_NAMES else (own,)
        return cls(
            public_url=f"{parts.scheme}://{own}{port}",
            origins=frozenset(f"{parts.scheme}://{name}{port}" for name in names),
            trusted_proxies=tuple(ip_network(network) for network in trusted_proxies),
        )

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by https, so that cookies can carry the __Host- prefix."""
        return self.public_url.startswith("https://")

    def client_address(self, peer: str, forwarded_for: str | None) -> str:
        """The sender's address: the socket's, or the nearest one a trusted proxy vouches for (C13)."""
        if forwarded_for is None or not self.trusts(peer):
            return peer
        for hop in reversed([part.strip() for part in forwarded_for.split(",")]):
            if _address(hop) is None:
                return peer
            if not self.trusts(hop):
                return hop
        return peer

    def trusts(self, address: str) -> bool:
        """Whether this is a proxy whose word counts; on a dual-stack socket IPv4 peers come as ::ffff:a.b.c.d."""
        found = _address(address) if self.trusted_proxies else None
        return found is not None and any(found in network for network in self.trusted_proxies)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def local_path(target: str | None, default: str) -> str:
    """`target` when it is a path on this site and nothing else can be read into it, else `default` (C42)."""
    return target if target is not None and _LOCAL_PATH.fullmatch(target) else default
