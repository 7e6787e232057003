"""What the types alone cannot say: rules for single values, and rules between values."""

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

from doorward.apikeys import check_scopes
from doorward.config import mailing, outside
from doorward.config.schema import Path
from doorward.config.settings import Settings, is_loopback
from doorward.kernel.limits import LimitsError, load_limits
from doorward.users import check_declarations

BUILT_IN_ROLES: Final = ("admin", "support", "auditor")
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*", re.IGNORECASE)
_EMAIL = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+")
_EXPOSED: Final = (
    "passwords would cross the network in plain http on %s: give tls_cert and tls_key, or list in trusted_proxies the "
    "proxy that speaks https, or listen on 127.0.0.1"
)


def check_value(path: Path, value: Any) -> str | None:  # noqa: ANN401  of the type that its key wants
    """What is wrong with one value, or None."""
    rule = _RULES.get(path)
    return None if rule is None or value is None else rule(value)


def check_together(settings: Settings) -> Iterator[tuple[tuple[Path, ...], str]]:
    """What is wrong between values: the paths concerned (the first is the one to change) and why."""
    yield from _check_exposure(settings)
    yield from _check_tls(settings)
    yield from mailing.check_mail(settings)
    yield from outside.check_sms(settings)
    for name, what in check_scopes(settings.apikeys.scopes):
        yield (("apikeys", "scopes", name),), what
    for problem in check_declarations(settings.fields):
        place, _, what = problem.partition(": ")
        yield (("fields", *place.split(".")),), what
    try:
        load_limits(settings.limits)
    except LimitsError as error:
        for table, key, what in error.problems:
            yield (("limits", table, *([key] if key else [])),), what


def _check_exposure(settings: Settings) -> Iterator[tuple[tuple[Path, ...], str]]:
    server = settings.server
    if not settings.loopback and server.tls_cert is None and not server.trusted_proxies:
        concerned = (("server", "host"), ("server", "tls_cert"), ("server", "trusted_proxies"))
        yield concerned, _EXPOSED % server.host


def _check_tls(settings: Settings) -> Iterator[tuple[tuple[Path, ...], str]]:
    server = settings.server
    cert, key = ("server", "tls_cert"), ("server", "tls_key")
    if server.tls_cert is not None and server.tls_key is None:
        yield (cert, key), "tls_key is missing: a certificate needs its key"
    if server.tls_key is not None and server.tls_cert is None:
        yield (key, cert), "tls_cert is missing: a key needs its certificate"
    if server.tls_cert is not None and (server.public_url or "").startswith("http:"):
        yield (("server", "public_url"), cert), "must begin with https:// because tls_cert is given"


def _host(value: str) -> str | None:
    try:
        ip_address(value)
    except ValueError:
        return None if _HOST_NAME.fullmatch(value) else "expected an address or a name alone, without scheme or port"
    return None


def _public_url(value: str) -> str | None:
    form = "expected an address such as https://id.example.org, without path, user or query"
    try:
        parts = urlsplit(value)
        odd = parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc or parts.port == 0
    except ValueError:
        return form
    if odd or parts.scheme not in {"http", "https"} or not parts.hostname or _host(parts.hostname) is not None:
        return form
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "must begin with https://: plain http is for this machine alone"
    return None


def _networks(value: tuple[str, ...]) -> str | None:
    for text in value:
        try:
            network = ip_network(text)
        except ValueError as error:
            return f'"{text}" is not a network such as 10.0.0.0/8 ({error})'
        if network.prefixlen == 0:
            return f'"{text}" is everybody: anyone could then claim any address'
    return None


def _database_url(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  raises ValueError for what is no port
    except ValueError:
        return "this is not a URL"
    if parts.scheme == "sqlite":
        return "SQLite always lives in the data directory: leave url out, and choose the directory with --data"
    if parts.scheme not in {"postgresql", "postgres"}:
        return "expected postgresql://user:password@host:port/name"
    return None


def _one_line(value: str) -> str | None:
    return None if value.strip() == value and value.isprintable() else "expected one line of visible text"


def _support(value: str) -> str | None:
    if value == "" or _EMAIL.fullmatch(value) or _public_link(value):
        return None
    return "expected an e-mail address or an https URL"


def _public_link(value: str) -> bool:
    return value.startswith("https://") and value.isprintable() and not re.search(r"[\s\"<>]", value)


def _roles(value: tuple[str, ...]) -> str | None:
    for name in value:
        if name in BUILT_IN_ROLES:
            return f'"{name}" is a role of Doorward itself'
        if not _ROLE.fullmatch(name):
            return f'"{name}" is not a name: a lower-case letter, then lower-case letters, digits, - or _'
    return None if len(set(value)) == len(value) else "a role is named twice"


_RULES: Mapping[Path, Callable[[Any], str | None]] = {
    ("server", "host"): _host,
    ("server", "public_url"): _public_url,
    ("server", "trusted_proxies"): _networks,
    ("database", "url"): _database_url,
    ("site", "name"): _one_line,
    ("site", "support"): _support,
    ("mail", "url"): mailing.mail_url,
    ("mail", "from"): mailing.mail_from,
    ("sms", "url"): outside.gateway_url,
    ("sms", "headers"): outside.headers,
    ("sms", "countries"): outside.countries,
    ("password", "range_url"): outside.range_url,
    ("roles",): _roles,
}
