"""Whom passkeys are for, in WebAuthn's words: a domain and the pages on it."""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Browsers use a passkey on no page of another domain than `id`.

    `origins`: the pages whose answers count. There are none where browsers take no passkeys: at an IP address.
    """

    id: str
    name: str
    origins: frozenset[str]

    @classmethod
    def at(cls, public_url: str, name: str, origins: Collection[str]) -> "RelyingParty":
        """Who answers at `public_url`. `origins`: all that are the same site (see `Site`).

        On loopback it is localhost, for 127.0.0.1 is no domain: people have to use that name to use their passkeys.
        """
        hosts = {origin: urlsplit(origin).hostname for origin in origins}
        host = "localhost" if "localhost" in hosts.values() else urlsplit(public_url).hostname or ""
        found = (origin for origin, its_host in hosts.items() if its_host == host and not _is_address(host))
        return cls(host, name, frozenset(found))

    @property
    def takes_passkeys(self) -> bool:
        """Whether there is any use in offering them."""
        return bool(self.origins)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
