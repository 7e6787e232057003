"""What an app tells of itself."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

Revocation = Literal["feed", "introspection", "expiry"]
ENVIRONMENT = {
    "issuer": "DOORWARD_ISSUER",
    "client_id": "DOORWARD_CLIENT_ID",
    "client_secret": "DOORWARD_CLIENT_SECRET",
    "private_key": "DOORWARD_PRIVATE_KEY",
    "audience": "DOORWARD_AUDIENCE",
    "app_url": "DOORWARD_APP_URL",
}
_USUAL_PORTS = {"http": 80, "https": 443}
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_LOCAL = re.compile(r"/(?![/\\])[\x21\x23-\x5b\x5d-\x7e]*")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the issuer is and who the app is there.

    `audience`: the `aud` that the app's tokens bear; the client id where none is named. `app_url`: scheme, host and
    port under which browsers reach the app; needed to sign in, and for DPoP, as no header of a request is believed.
    `revocation`: how a revoked token is noticed; "expiry" means not at all, for an app that has no secret, and lets a
    revoked token live on until it expires, up to ten minutes. `require_dpop`: take no token that is not bound to a key.
    `private_key`: a file with a JWK or PEM, in place of `client_secret`.
    """

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    audience: str = ""
    app_url: str | None = None
    scope: str = "openid profile email offline_access"
    revocation: Revocation = "feed"
    require_dpop: bool = False
    prefix: str = "/auth"
    after_sign_out: str = "/"
    private_key: Path | str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be safe. Raises ValueError, naming the setting."""
        if not self.client_id:
            raise ValueError("client_id: empty")
        _insist_on_safe("issuer", self.issuer)
        if self.issuer.endswith("/"):
            raise ValueError("issuer: it ends in a slash, and those of Doorward do not")
        self._check_addresses()
        if self.revocation not in get_args(Revocation):  # from a file, perhaps, that no type checker has seen
            raise ValueError(f"revocation: {self.revocation!r} is none of {', '.join(get_args(Revocation))}")
        if self.private_key is not None and self.client_secret:
            raise ValueError("private_key: in place of client_secret, not beside it")
        if self.revocation != "expiry" and not self.confidential:
            raise ValueError(f"client_secret: revocation={self.revocation!r} needs one, or a private_key")
        if self.require_dpop and self.app_url is None:
            raise ValueError("app_url: require_dpop needs it")
        if not self.audience:
            object.__setattr__(self, "audience", self.client_id)

    def _check_addresses(self) -> None:
        if self.app_url is not None:
            _insist_on_safe("app_url", self.app_url)
            if not _is_origin(self.app_url):
                raise ValueError("app_url: scheme, host and port alone, as browsers write them: no capitals, no :443")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(f"prefix: {self.prefix!r} is not of the form /auth")
        if not is_local(self.after_sign_out) and not is_safe(self.after_sign_out):
            raise ValueError(f"after_sign_out: {self.after_sign_out!r} is neither a path nor an https:// address")

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ, **given: Any) -> "Settings":  # noqa: ANN401  as declared
        """Take what is given, and the rest from DOORWARD_ISSUER, DOORWARD_CLIENT_ID and so on.

        Raises ValueError, naming the setting, and TypeError for one that is not known.
        """
        found: dict[str, Any] = {name: environ[key] for name, key in ENVIRONMENT.items() if environ.get(key)}
        found |= {name: value for name, value in given.items() if value is not None}
        for name in ("issuer", "client_id"):
            if name not in found:
                raise ValueError(f"{name}: give it, or set {ENVIRONMENT[name]}")
        return cls(**found)

    @property
    def confidential(self) -> bool:
        """Whether the app can prove who it is."""
        return bool(self.client_secret or self.private_key)

    @property
    def secure(self) -> bool:
        """Whether browsers reach the app over TLS."""
        return self.app_url is not None and self.app_url.startswith("https:")


def is_local(path: str) -> bool:
    """Whether it is a path of the app: two slashes, of whichever kind, are to browsers the beginning of a host."""
    return _LOCAL.fullmatch(path) is not None


def is_safe(url: str) -> bool:
    """Whether nobody on the way can read or change what goes there: HTTPS, or this very machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username or parts.query or parts.fragment or not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_origin(url: str) -> bool:
    """Whether browsers write it so in `Origin`, to which it is compared."""
    parts = urlsplit(url)
    try:
        port = "" if parts.port in {None, _USUAL_PORTS[parts.scheme]} else f":{parts.port}"
    except ValueError:
        return False
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return url.isascii() and url == f"{parts.scheme}://{host}{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _insist_on_safe(name: str, url: str) -> None:
    if not is_safe(url):
        raise ValueError(f"{name}: {url!r} is neither https:// nor on this machine")
