"""Where we are, where requests may come from, and where we may send a browser."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
# Browsers read a backslash as a slash, drop tabs and newlines, and take // for another host: only printable ASCII, no
# backslash, and no slash after the first.
_LOCAL_PATH = re.compile(r"/(?![/])[!-\[\]-~]{0,2000}")
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
        port = f":{parts.port}" if parts.port is not None else ""
        hosts = _LOOPBACK_NAMES if parts.hostname in {"localhost", "127.0.0.1", "::1"} else (parts.netloc,)
        suffix = port if hosts is _LOOPBACK_NAMES else ""
        return cls(
            public_url=f"{parts.scheme}://{parts.netloc}",
            origins=frozenset(f"{parts.scheme}://{host}{suffix}" for host in hosts),
            trusted_proxies=tuple(ip_network(network) for network in trusted_proxies),
        )

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by https, so that cookies can carry the __Host- prefix."""
        return self.public_url.startswith("https://")

    def client_address(self, peer: str, forwarded_for: str | None) -> str:
        """The sender's address: the socket's, or the nearest one a trusted proxy vouches for (C13)."""
        if forwarded_for is None or not self._trusts(peer):
            return peer
        for hop in reversed([part.strip() for part in forwarded_for.split(",")]):
            if not _is_address(hop):
                return peer
            if not self._trusts(hop):
                return hop
        return peer

    def _trusts(self, address: str) -> bool:
        return (
            bool(self.trusted_proxies)
            and _is_address(address)
            and any(ip_address(address) in network for network in self.trusted_proxies)
        )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def local_path(target: str | None, default: str) -> str:
    """`target` when it is a path on this site and nothing else can be read into it, else `default` (C42)."""
    return target if target is not None and _LOCAL_PATH.fullmatch(target) else default
