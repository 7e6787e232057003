"""Every setting: its type, default, bounds and meaning. docs/configuration.md is printed from this file."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

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
    geoip_file: Annotated[
        str | None,
        Meta(description="A MaxMind DB file (.mmdb) of cities or countries. With it, lists of devices and mails about "
             "sign-ins name an approximate place. Nothing is looked up elsewhere. Read again when it changes.",
             extra=PATH),
    ] = None  # fmt: skip


class Site(Section, frozen=True):
    """What pages say about themselves."""

    name: Annotated[str, Meta(min_length=1, max_length=80, description="Shown in titles and headings.")] = "Doorward"
    support: Annotated[
        str, Meta(max_length=200, description="E-mail address or https URL of those who help; shown on error pages.")
    ] = ""
    logo: Annotated[
        str | None,
        Meta(description="PNG or JPEG file (at most 100 kB) on top of every mail. Sent along, never fetched.",
             extra=PATH),
    ] = None  # fmt: skip


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
        Literal["email", "uid"],
        Meta(description="What they sign up with. email: an address, which they prove by a link or a code before there "
             "is an account. uid: a public handle; signed in at once. Fixed when the data directory is made."),
    ] = "email"  # fmt: skip
    invitation_only: Annotated[bool, Meta(description="Only those invited (`doorward user invite`) may sign up.")] = (
        False
    )
    confirm_password: Annotated[
        bool, Meta(description="Whether the page asks for the password twice. Showing it finds typing errors better.")
    ] = False
    allow_domains: Annotated[
        tuple[str, ...],
        Meta(description="Only addresses of these domains and their subdomains may sign up. Empty: of all."),
    ] = ()
    deny_domains: Annotated[
        tuple[str, ...], Meta(description="Addresses of these domains and their subdomains may not.")
    ] = ()
    disposable_domains_file: Annotated[
        str | None,
        Meta(description="A file with one domain of throw-away addresses a line, which may not sign up. Read at start.",
             extra=PATH),
    ] = None  # fmt: skip
    reserved_names: Annotated[
        tuple[str, ...],
        Meta(description="Usernames that nobody may choose, nor one that looks like them, besides our own list."),
    ] = ()


class Signin(Section, frozen=True):
    """How people sign in."""

    email_link: Annotated[
        bool, Meta(description="Whether a link or a code sent by e-mail signs in, too, in the browser that asked.")
    ] = False


class Factors(Section, frozen=True):
    """The second step of signing in: who needs one, and which are offered besides apps, passkeys and recovery codes."""

    required: Annotated[
        Literal["optional", "admins", "all"],
        Meta(description="Who has to have a second step: nobody, administrators, or everybody."),
    ] = "admins"
    grace_days: Annotated[
        int,
        Meta(ge=0, le=90, description="Days in which somebody who needs one may still sign in without, counted from "
             "their first such sign-in. 0: it is set up before the first session begins."),
    ] = 7  # fmt: skip
    sms: Annotated[
        bool,
        Meta(description="Whether a code by text message to a proven number is offered. Numbers can be taken over and "
             "messages read on the way (NIST SP 800-63B restricts them): leave it off unless there is nothing else."),
    ] = False  # fmt: skip
    email: Annotated[
        bool,
        Meta(description="Whether a code by e-mail is offered. It slows a thief of the password down, but it is no "
             "second factor: it never meets `required`."),
    ] = False  # fmt: skip
    cool_off: Annotated[
        bool,
        Meta(description="Whether somebody who lost every second step may get in 72 hours after a proven address and a "
             "proven number have both answered. Every channel is told at once, and each can call it off."),
    ] = False  # fmt: skip


class Mail(Section, frozen=True):
    """Who sends our mail. Without `url`, what would be sent from localhost is shown under /dev/mail."""

    url: Annotated[
        str | None,
        Meta(description="smtp://user:password@host:587 (with STARTTLS) or smtps://user:password@host:465. Without TLS "
             "only to this machine.", extra=SECRET),
    ] = None  # fmt: skip
    from_: Annotated[
        str, Meta(max_length=320, description="Sender, such as Example <id@example.org>. Needed with `url`.")
    ] = msgspec.field(name="from", default="")
    timeout_seconds: Annotated[int, Meta(ge=1, le=300, description="How long the mail server may take to answer.")] = 30
    templates: Annotated[
        str | None,
        Meta(description="Folder with templates that replace ours, by the same file name. Checked at start.",
             extra=PATH),
    ] = None  # fmt: skip


class Sms(Section, frozen=True):
    """Who sends our text messages. Without a provider, on localhost, they are shown under /dev/mail."""

    provider: Annotated[
        Literal["off", "twilio", "http"], Meta(description="http: any gateway that takes a request for each message.")
    ] = "off"
    twilio_account_sid: Annotated[str, Meta(description="Twilio: the account.")] = ""
    twilio_auth_token: Annotated[str | None, Meta(description="Twilio: its token.", extra=SECRET)] = None
    twilio_from: Annotated[
        str, Meta(description="Twilio: the sender's number, or the SID of a messaging service (MG...).")
    ] = ""
    url: Annotated[str | None, Meta(description="http: where to POST, by https.", extra=SECRET)] = None
    headers: Annotated[
        tuple[str, ...],
        Meta(description='http: headers such as "Authorization: Bearer ...".', extra=SECRET),
    ] = ()
    body: Annotated[
        str,
        Meta(description="http: what to send; {to} and {text} are put in as JSON strings with their quotes, or "
             "percent-encoded in a form."),
    ] = '{"to": {to}, "text": {text}}'  # fmt: skip
    content_type: Annotated[
        Literal["application/json", "application/x-www-form-urlencoded"], Meta(description="http: the type of `body`.")
    ] = "application/json"
    allow_private_networks: Annotated[
        bool, Meta(description="http: whether the gateway may have an address of a private network.")
    ] = False
    countries: Annotated[
        tuple[str, ...],
        Meta(description="Countries (ISO 3166, such as DE) whose numbers are taken. Empty: of all."),
    ] = ()

    @property
    def header_fields(self) -> Mapping[str, str]:
        """The headers by name."""
        parts = (line.partition(":") for line in self.headers)
        return {name: value.strip() for name, _, value in parts}


class Sessions(Section, frozen=True):
    """How long people stay signed in."""

    profile: Annotated[
        Literal["auto", "aal1", "aal2", "aal3"],
        Meta(description="Limits of NIST SP 800-63B. aal1: 30 days. aal2: 24 hours, 1 hour idle. aal3: 12 hours, "
             "15 minutes idle. auto: aal2 for sessions that began with a second factor, aal1 for the others."),
    ] = "auto"  # fmt: skip


class Password(Section, frozen=True):
    """What passwords must be like and how they are hashed."""

    minimum_length: Annotated[
        int,
        Meta(ge=15, le=64, description="Characters (code points). NIST SP 800-63B asks for 15 where the password is "
             "the only factor."),
    ] = 15  # fmt: skip
    memory_kib: Annotated[int, Meta(ge=19456, le=4_194_304, description="Argon2id memory of one hash, in KiB.")] = 19456
    time_cost: Annotated[int, Meta(ge=2, le=100, description="Argon2id passes.")] = 2
    range_url: Annotated[
        str | None,
        Meta(description="A service that knows leaked passwords, asked with five digits of a SHA-1 (k-anonymity), such "
             "as https://api.pwnedpasswords.com/range/. Without an answer a password is accepted. Default: none."),
    ] = None  # fmt: skip


class Users(Section, frozen=True):
    """Who sees whom."""

    directory: Annotated[
        Literal["members", "public", "off"],
        Meta(description="Who may see the list of users and the leaderboard: members, everybody, or administrators."),
    ] = "members"
    read: Annotated[CoreRead, Meta(description="Who reads the fields every user has.")] = CoreRead()


class ApiKeys(Section, frozen=True):
    """Keys that users make for their programs."""

    scopes: dict[
        str,
        Annotated[
            str,
            Meta(max_length=200, description='What a key with this scope may do in your apps, such as "orders:read" = '
                 '"Read your orders"; besides [our own scopes](api-keys.md#scopes). Shown to whoever makes a key.'),
        ],
    ] = {}  # fmt: skip


class Webhooks(Section, frozen=True):
    """Where apps are told of what happens to users; `doorward webhook` adds them."""

    allow_private_networks: Annotated[
        bool, Meta(description="Whether an endpoint may have an address of a private network, or plain http on this "
                   "machine.")
    ] = False  # fmt: skip


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
    signin: Signin = Signin()
    factors: Factors = Factors()
    mail: Mail = Mail()
    sms: Sms = Sms()
    sessions: Sessions = Sessions()
    password: Password = Password()
    users: Users = Users()
    apikeys: ApiKeys = ApiKeys()
    webhooks: Webhooks = Webhooks()
    log: Log = Log()
    roles: Roles = ()
    fields: Fields = {}
    limits: Limits = {}

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.server.host)

    @property
    def development(self) -> bool:
        """Whether only this machine can reach us, by a local name: what production needs may be missing."""
        host = urlsplit(self.public_url).hostname or ""
        return self.loopback and not self.server.trusted_proxies and is_loopback(host)

    @property
    def mailbox(self) -> bool:
        """Whether messages that nobody sends are shown under /dev/mail."""
        return self.development and self.mail.url is None

    @property
    def can_mail(self) -> bool:
        """Whether mail arrives anywhere."""
        return self.mail.url is not None or self.mailbox

    @property
    def can_text(self) -> bool:
        """Whether text messages arrive anywhere."""
        return self.sms.provider != "off" or self.mailbox

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
