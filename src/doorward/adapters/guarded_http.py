"""Requests to other servers that cannot be led astray (C47; ASVS 1.3.6, 13.2.4, 15.3.2).

https alone, to public addresses, by the very address that was looked at: a name is resolved once, so that a second
answer of its DNS server (rebinding) has no say. No redirect is followed, no proxy of the environment is used, nothing
is unpacked; time and size are bounded. What an exception says holds no address, header or body.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from threading import Thread
from typing import Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

import httpcore
from httpcore import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

from doorward.kernel.addresses import Network, may_be_asked
from doorward.ports.outbound import OutboundFailed, OutboundRefused, Reply

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]

SECONDS: Final = 5.0  # for the whole of a request, the look-up of the name and the last byte of the answer included
LONGEST_BODY: Final = 256 * 1024
LONGEST_URL: Final = 2_048
MOST_ADDRESSES: Final = 4  # of one name, tried in turn
MOST_LOOK_UPS: Final = 8  # at a time; one that hangs keeps its thread until the resolver gives up
_HTTPS_PORT: Final = 443
_FIRST_FREE_PORT: Final = 1_024  # below are mail, files and other services that a request must not speak to
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
# The last label of a name on the internet is not a number; resolvers take 2130706433, 0x7f.1 and 0177.1 for addresses.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.IGNORECASE)
_VISIBLE = re.compile(r"[!-\[\]-~]*")  # ASCII without the backslash, which some read as a slash
# How a message is framed, and whether the connection stays one of HTTP, is not for callers (RFC 9112 §6, §9).
_OURS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "te", "transfer-encoding", "upgrade"}
)


def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, as the machine's resolver gives them; blocks. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(slots=True)
class GuardedHttp:
    """Fulfils `ports.outbound.Outbound`.

    `allowed`: networks beyond the public internet that it may reach, by the operator's word; plain http is taken only
    to a loopback address within them. `tls`: whom to trust; by default the machine's certificate authorities.
    `seconds`: the longest a request may take.
    """

    allowed: Sequence[Network] = ()
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    seconds: float = SECONDS
    resolve: Resolve = field(default=resolve, repr=False)
    _look_ups: asyncio.Semaphore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Bound the threads."""
        self._look_ups = asyncio.Semaphore(MOST_LOOK_UPS)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Send one request; see `ports.outbound`. Cancelling it hangs up."""
        request = _build(method, url, headers, body)
        refused: OutboundFailed
        try:
            async with asyncio.timeout(self.seconds):
                return await self._ask(request)
        except OutboundFailed as failure:
            refused = failure
        except TimeoutError:
            refused = OutboundFailed(f"no whole answer within {self.seconds:g} seconds")
        except httpcore.ConnectError as error:
            refused = OutboundFailed(_why_no_connection(error))
        # What the library raises may quote the header or line that it stumbled over, so none of it goes on from here.
        except (httpcore.LocalProtocolError, ValueError):
            refused = OutboundRefused("the request is not fit for HTTP")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError):
            refused = OutboundFailed("the connection broke off")
        raise refused

    async def _ask(self, request: httpcore.Request) -> Reply:
        """Ask over a connection of its own, which nobody else's request can have left in a bad state."""
        if self.tls is None:
            self.tls = ssl.create_default_context()
        is_plain = request.url.scheme == b"http"
        gate = _Gate(self.allowed, self.resolve, self._look_ups, self.seconds, is_plain)
        async with httpcore.AsyncConnectionPool(
            ssl_context=self.tls, max_connections=1, network_backend=gate, http1=True, http2=False
        ) as connections:
            answer = await connections.handle_async_request(request)
            try:
                return Reply(answer.status, _named(answer.headers), await _read(answer))
            finally:
                await answer.aclose()


@dataclass(frozen=True, slots=True)
class _Gate(AsyncNetworkBackend):
    """Opens connections: the one place where a name becomes an address, is judged, and is connected to."""

    allowed: Sequence[Network]
    resolve: Resolve
    look_ups: asyncio.Semaphore
    seconds: float
    is_plain: bool
    network: AsyncNetworkBackend = field(default_factory=httpcore.AnyIOBackend)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature; the time is bounded above
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """Connect to an address of `host`, if all of them may be asked. Raises OutboundRefused, ConnectError."""
        addresses = await self._look_up(host, port)
        # One bad address among good ones is how rebinding begins: it is no reason to use the others.
        if not addresses or not all(map(self._may_be_asked, addresses)):
            raise OutboundRefused("that server has an address that we must not ask")
        tried = addresses[:MOST_ADDRESSES]
        patience = self.seconds / (len(tried) + 1)  # so that one that is silent leaves time for the next
        for address in tried[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self.network.connect_tcp(address, port, patience)
        return await self.network.connect_tcp(tried[-1], port, timeout, local_address, socket_options)

    def _may_be_asked(self, address: str) -> bool:
        # In plain text nothing may leave this machine.
        return may_be_asked(address, self.allowed) and (not self.is_plain or ip_address(address).is_loopback)

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        if _is_address(host):
            return [host]
        await self.look_ups.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Sequence[str]] = loop.create_future()

        def tell(addresses: Sequence[str]) -> None:
            self.look_ups.release()
            if not found.done():  # nobody waits any more
                found.set_result(addresses)

        def look() -> None:
            addresses: Sequence[str] = ()
            try:
                with suppress(OSError, UnicodeError):
                    addresses = self.resolve(host, port)
            finally:
                with suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(tell, addresses)

        # A thread of its own and no pool: one that hangs must keep neither others waiting nor the process from ending.
        Thread(target=look, name="look-up", daemon=True).start()
        addresses = await found
        if not addresses:
            raise OutboundFailed("the name of that server has no address")
        return addresses


def _build(method: str, url: str, headers: Mapping[str, str], body: bytes) -> httpcore.Request:
    """The request, read once: what is judged here is what is asked. Raises OutboundRefused."""
    parts = _split(url)
    host, port = parts.hostname or "", parts.port or _HTTPS_PORT
    shown = f"[{host}]" if ":" in host else host
    sent = {name.lower(): value for name, value in headers.items()}
    if not sent.keys().isdisjoint(_OURS):
        raise OutboundRefused("a header is given that we write ourselves")
    sent["host"] = shown if port == _HTTPS_PORT else f"{shown}:{port}"
    sent["content-length"] = str(len(body))
    sent["accept-encoding"] = "identity"  # nothing that could unfold to more than it weighs
    if not all(map(_is_fit, sent.values())):
        raise OutboundRefused("a header holds characters that HTTP does not carry")
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    address = httpcore.URL(scheme=parts.scheme.encode(), host=host.encode(), port=port, target=target.encode())
    return httpcore.Request(method, address, headers=raw, content=body)


def _is_fit(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _split(url: str) -> SplitResult:
    """Take an address apart. Raises OutboundRefused for whatever is not plainly https to a server."""
    try:
        parts = urlsplit(url if len(url) <= LONGEST_URL and _VISIBLE.fullmatch(url) else "")
        fault = _fault(parts)
    except ValueError:
        fault = "its address cannot be read"
    else:
        if fault is None:
            return parts
    raise OutboundRefused(fault)


def _fault(parts: SplitResult) -> str | None:
    host = parts.hostname or ""
    if parts.scheme not in {"https", "http"}:
        return "only https is asked"
    if "@" in parts.netloc:
        return "an address with a user in it is not asked"
    if not _is_address(host) and (_NUMERIC.fullmatch(host) or not _NAME.fullmatch(host)):
        return "its address has no proper name of a server"
    if parts.port is not None and parts.port != _HTTPS_PORT and parts.port < _FIRST_FREE_PORT:
        return "that port is not asked"
    if parts.scheme == "http" and (parts.port is None or not _is_this_machine(host)):
        return "plain http is asked only at a port of this machine"
    return None


def _is_this_machine(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _named(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


async def _read(answer: httpcore.Response) -> bytes:
    body = bytearray()
    async for part in answer.aiter_stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise OutboundRefused("the answer is too large")
    return bytes(body)


def _why_no_connection(error: Exception) -> str:
    """Whether the certificate was at fault, which somebody has to look at, or the way there."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return "its certificate or its TLS is not to be trusted"
        seen = seen.__cause__ or seen.__context__
    return "no connection to that server"
