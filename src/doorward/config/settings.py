"""Every setting: its type, default, bounds and meaning. docs/configuration.md is printed from this file."""

from ipaddress import ip_address
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from doorward.users import CoreRead, Declaration

SECRET = {"secret": True}  # never shown; may be read from a file named in <key>_file
PATH = {"path": True}  # relative to the file that names it


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of doorward.toml."""


class Server(Section, frozen=True):
    """Where Doorward listens and how it is reached."""

    host: Annotated[
        str,
        Meta(min_length=1, max_length=255, description="Address to listen on. Anything but loopback needs TLS or "
             "trusted_proxies."),
    ] = "127.0.0.1"  # fmt: skip
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    public_url: Annotated[
        str | None,
        Meta(description="The address people type, such as https://id.example.org. Every link and the check of where "
             "a request comes from use it, never the Host header. Default: from host, port and TLS."),
    ] = None  # fmt: skip
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Networks whose X-Forwarded-For is believed, such as 10.0.0.0/8. Empty: nobody's."),
    ] = ()
    workers: Annotated[int, Meta(ge=1, le=64, description="Server processes.")] = 1
    tls_cert: Annotated[
        str | None,
        Meta(description="PEM file with the certificate and its chain. Read again when it changes.", extra=PATH),
    ] = None
    tls_key: Annotated[str | None, Meta(description="PEM file with the certificate's key.", extra=PATH)] = None


class Site(Section, frozen=True):
    """What pages say about themselves."""

    name: Annotated[str, Meta(min_length=1, max_length=80, description="Shown in titles and headings.")] = "Doorward"
    support: Annotated[
        str, Meta(max_length=200, description="E-mail address or https URL of those who help; shown on error pages.")
    ] = ""


class Database(Section, frozen=True):
    """Where data are kept."""

    url: Annotated[
        str | None,
        Meta(description="postgresql://user:password@host:port/name. Default: SQLite in the data directory.",
             extra=SECRET),
    ] = None  # fmt: skip


class Signup(Section, frozen=True):
    """How people sign up."""

    identifier: Annotated[
        Literal["uid"],
        Meta(description="What they sign up with. uid: a public handle; signed in at once. Fixed at first start."),
    ] = "uid"


class Sessions(Section, frozen=True):
    """How long people stay signed in."""

    profile: Annotated[
        Literal["aal1", "aal2", "aal3"],
        Meta(description="Limits of NIST SP 800-63B. aal1: 30 days. aal2: 24 hours, 1 hour idle. aal3: 12 hours, "
             "15 minutes idle."),
    ] = "aal1"  # fmt: skip


class Password(Section, frozen=True):
    """What passwords must be like and how they are hashed."""

    minimum_length: Annotated[
        int,
        Meta(ge=15, le=64, description="Characters (code points). NIST SP 800-63B asks for 15 where the password is "
             "the only factor."),
    ] = 15  # fmt: skip
    memory_kib: Annotated[int, Meta(ge=19456, le=4_194_304, description="Argon2id memory of one hash, in KiB.")] = 19456
    time_cost: Annotated[int, Meta(ge=2, le=100, description="Argon2id passes.")] = 2


class Users(Section, frozen=True):
    """Who sees whom."""

    directory: Annotated[
        Literal["members", "public", "off"],
        Meta(description="Who may see the list of users and the leaderboard: members, everybody, or administrators."),
    ] = "members"
    read: Annotated[CoreRead, Meta(description="Who reads the fields every user has.")] = CoreRead()


class Log(Section, frozen=True):
    """What is written to standard error."""

    format: Annotated[
        Literal["auto", "json", "text"], Meta(description="auto: text on a terminal, else one JSON object a line.")
    ] = "auto"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least important lines shown. Audit events are always written."),
    ] = "info"


Roles: TypeAlias = Annotated[
    tuple[str, ...],
    Meta(description="Names of roles for your applications, besides Doorward's own: admin, support, auditor."),
]
Fields: TypeAlias = Annotated[dict[str, Declaration], Meta(description="Custom fields of a user, a table each.")]
Limits: TypeAlias = Annotated[
    dict[str, dict[str, str | int]],
    Meta(
        description="Figures that replace single ones of limits.toml; their names and meaning: [limits.md](limits.md)."
    ),
]


class Settings(Section, frozen=True):
    """The whole configuration, read once at start."""

    server: Server = Server()
    site: Site = Site()
    database: Database = Database()
    signup: Signup = Signup()
    sessions: Sessions = Sessions()
    password: Password = Password()
    users: Users = Users()
    log: Log = Log()
    roles: Roles = ()
    fields: Fields = {}
    limits: Limits = {}

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.server.host)

    @property
    def public_url(self) -> str:
        """The address people type, without a slash at the end; from the bind when none is configured."""
        if self.server.public_url is not None:
            return self.server.public_url.rstrip("/")
        # Elsewhere plain http is allowed only behind a proxy, and that one speaks https.
        secure = self.server.tls_cert is not None or not self.loopback
        scheme, usual_port = ("https", 443) if secure else ("http", 80)
        port = "" if self.server.port == usual_port else f":{self.server.port}"
        return f"{scheme}://{self._public_host}{port}"

    @property
    def _public_host(self) -> str:
        host = self.server.host
        if self.loopback or host in {"0.0.0.0", "::"}:  # noqa: S104  compared, not bound
            return "localhost"
        return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether `host` can be reached from this machine only. Names are not looked up: only localhost is believed."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
