"""Rules for what the configuration says about other servers. Where a value may be a secret no sentence quotes it."""

import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import SplitResult, urlsplit

from doorward.config.schema import Path
from doorward.config.settings import Settings, Sms, is_loopback
from doorward.users import is_country

_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
# A number, a messaging service, a short code, or a name of up to 11 letters and digits ("alphanumeric").
_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|MG[0-9a-fA-F]{32}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[!-~](?:[ -~]*[!-~])?")  # RFC 9110 §5.1, §5.5 without obs-text
_OURS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "expect", "host", "idempotency-key"}
    | {"te", "transfer-encoding", "upgrade"}
)
_FIRST_FREE_PORT: Final = 1_024
_PLACES: Final = ("{to}", "{text}")


def gateway_url(value: str) -> str | None:
    """What is wrong with the address of a gateway."""
    parts = _parts(value)
    if parts is None or "@" in parts.netloc or parts.fragment:
        return "expected an https URL without user or fragment; credentials belong into headers"
    if parts.scheme == "https":
        return None
    if not is_loopback(parts.hostname or "") or (parts.port or 0) < _FIRST_FREE_PORT:
        return "must begin with https://: plain http is for a port from 1024 on of this machine alone"
    return None


def range_url(value: str) -> str | None:
    """What is wrong with the address of a range service."""
    parts = _parts(value)
    if parts is None or parts.scheme != "https" or "@" in parts.netloc or parts.query or parts.fragment:
        return "expected an https URL without user or query, to which five digits are appended"
    return None


def headers(lines: tuple[str, ...]) -> str | None:
    """What is wrong with the header lines of a gateway."""
    if not all(map(_HEADER.fullmatch, lines)):
        return 'each must be one line of the form "Name: value", in ASCII'
    names = [line.partition(":")[0].lower() for line in lines]
    if not _OURS.isdisjoint(names):
        return "one of them is written by Doorward itself: " + ", ".join(sorted(_OURS.intersection(names)))
    return None if len(set(names)) == len(names) else "one of them is named twice"


def countries(codes: tuple[str, ...]) -> str | None:
    """What is wrong with a list of countries."""
    for code in codes:
        if not is_country(code):
            return f'"{code}" is not a country of ISO 3166 in two capital letters, such as DE'
    return None


def check_sms(settings: Settings) -> Iterator[tuple[tuple[Path, ...], str]]:
    """What is missing for the provider that is chosen; as `checks.check_together`."""
    sms = settings.sms
    if sms.provider == "twilio":
        found = _twilio(sms)
    elif sms.provider == "http":
        found = _http(sms)
    else:
        return
    for key, what in found:
        yield (("sms", key), ("sms", "provider")), what


def _twilio(sms: Sms) -> Iterator[tuple[str, str]]:
    if not _ACCOUNT_SID.fullmatch(sms.twilio_account_sid):
        yield "twilio_account_sid", 'is needed for the provider "twilio": AC and 32 hexadecimal digits'
    if not sms.twilio_auth_token:
        yield "twilio_auth_token", 'is needed for the provider "twilio"'
    if not _SENDER.fullmatch(sms.twilio_from):
        yield "twilio_from", "expected a number such as +4915123456789, a messaging service (MG...) or a sender's name"


def _http(sms: Sms) -> Iterator[tuple[str, str]]:
    if not sms.url:
        yield "url", 'is needed for the provider "http"'
    elif sms.url.startswith("http:") and not sms.allow_private_networks:
        yield "url", "a gateway on this machine needs allow_private_networks = true"
    if not all(place in sms.body for place in _PLACES):
        yield "body", "must have the places {to} and {text}"
    elif sms.content_type == "application/json" and not _is_json(sms.body):
        yield "body", "is not JSON once {to} and {text} are put in; they bring their own quotes"
    elif sms.content_type != "application/json" and ("=" not in sms.body or re.search(r"\s", sms.body)):
        yield "body", "is not a form such as to={to}&message={text}"


def _is_json(body: str) -> bool:
    for place in _PLACES:
        body = body.replace(place, '"1"')
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _parts(value: str) -> SplitResult | None:
    """The parts of a URL to a server, in visible ASCII; None for anything else."""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  raises ValueError for what is no port
    except ValueError:
        return None
    is_plain = re.fullmatch(r"[!-\[\]-~]+", value) is not None
    return parts if is_plain and parts.scheme in {"http", "https"} and parts.hostname else None
