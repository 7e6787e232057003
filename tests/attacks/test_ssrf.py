"""Making the server ask what only it can reach: metadata, private networks, itself (ASVS 1.3.6, 13.2.4, 15.3.2).

Each test would reach a listening socket, or leave this machine (which tests must not), if the guard let it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.adapters.guarded_http import GuardedHttp
from doorward.kernel.addresses import PRIVATE_NETWORKS, may_be_asked
from doorward.ports.outbound import OutboundFailed, OutboundRefused
from tests.support.elsewhere import Elsewhere, elsewhere, raw, reply

pytestmark = [pytest.mark.asvs("1.3.6"), pytest.mark.asvs("13.2.4"), pytest.mark.asvs("15.3.2")]

FORBIDDEN = [
    "0.0.0.0",  # noqa: S104  nothing is bound
    *("0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.8.9.10"),
    *("169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1"),
    *("192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0:127.0.0.1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::10.0.0.1", "64:ff9b::168.63.129.16", "64:ff9b:1::1"),
    *("100::1", "2001::1", "2001:0:4136:e378::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::"),
    *("2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1"),
    *("fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "2606:4700::1%eth0"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1"]
PUBLIC_6 = ["2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "64:ff9b::8.8.8.8", "2001:4860:4860::8888"]


class Untouched:
    """A resolver that must not be needed."""

    def __call__(self, host: str, _port: int) -> Sequence[str]:
        raise AssertionError(host)


@pytest.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Elsewhere]:
    """What an attacker would like to reach: it listens on this machine's loopback."""
    async with elsewhere(tmp_path) as running:
        yield running
        assert running.connections == 0


async def refused(outbound: GuardedHttp, url: str) -> str:
    with pytest.raises(OutboundRefused) as caught:
        await outbound.request("GET", url, {})
    return caught.value.reason


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_a_name_that_leads_to_such_an_address_is_not_followed(inside: Elsewhere, address: str) -> None:
    outbound = GuardedHttp(tls=inside.trusting, resolve=lambda _host, _port: [address])
    assert "address" in await refused(outbound, f"https://localhost:{inside.port}/latest/meta-data/")


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_such_an_address_itself_is_not_asked(inside: Elsewhere, address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    await refused(GuardedHttp(tls=inside.trusting, resolve=Untouched()), f"https://{host}:{inside.port}/")


@pytest.mark.parametrize("address", [*PUBLIC, *PUBLIC_6])
def test_addresses_of_the_internet_may_be_asked(address: str) -> None:
    assert may_be_asked(address)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fe80::1", "0.1.2.3"],
)
def test_whoever_allows_private_networks_does_not_allow_the_metadata_of_a_cloud(address: str) -> None:
    assert may_be_asked("10.1.2.3", PRIVATE_NETWORKS)
    assert may_be_asked("fd12::1", PRIVATE_NETWORKS)
    assert not may_be_asked(address, PRIVATE_NETWORKS)
    assert not may_be_asked(f"::ffff:{address}", PRIVATE_NETWORKS)


@given(st.ip_addresses())
def test_what_python_knows_to_be_special_is_never_asked(address: object) -> None:
    parsed = ip_address(str(address))
    if parsed.is_multicast or parsed.is_private or parsed.is_reserved or parsed.is_link_local or parsed.is_unspecified:
        # The one exception: NAT64, where the IPv4 address within is judged.
        assert not may_be_asked(str(parsed)) or parsed in ip_network("64:ff9b::/96")


NOTATIONS = [
    *("2130706433", "017700000001", "0x7f000001", "0x7F.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0"),
    *("127.0.0.1.", "localhost.", "127.0.0.01", "١٢٧.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "a..b", "-a.example", "a_b"),
    *("127.0.0.1%00.example.org", "example.org%2f@127.0.0.1", "[::1", "::1", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]"),
    *("[::1%25lo]", "[v1.fe80::a]", "", " ", "127.0.0.1 .example.org", "127.0.0.1\t", "example.org\\@127.0.0.1"),
]


@pytest.mark.parametrize("host", NOTATIONS)
async def test_no_other_way_of_writing_an_address_gets_through(inside: Elsewhere, host: str) -> None:
    await refused(GuardedHttp(tls=inside.trusting, resolve=Untouched()), f"https://{host}:{inside.port}/")


URLS = {
    "plain http": "http://example.org/",
    "plain http with a port": "http://example.org:8080/",
    "a file": "file:///etc/passwd",
    "a gopher": "gopher://example.org:70/_x",
    "no scheme": "//example.org/",
    "a scheme in disguise": "https+unix://example.org/",
    "a user": "https://user@example.org/",
    "a user and a password": "https://user:password@example.org/",
    "an empty user": "https://@example.org/",
    "a line break": "https://example.org/\r\nX-Smuggled: 1",
    "a line break in the name": "https://example.org\r\n.evil.example/",
    "a tab": "https://exam\tple.org/",
    "a NUL": "https://example.org/\x00",
    "a space": "https://example.org/ HTTP/1.1",
    "a backslash": "https://example.org\\.evil.example/",
    "a letter beyond ASCII": "https://example.org/ä",
    "the port of mail": "https://example.org:25/",
    "the port of secure shell": "https://example.org:22/",
    "the port of plain http": "https://example.org:80/",
    "port zero": "https://example.org:0/",
    "a port that is none": "https://example.org:443x/",
    "a port too high": "https://example.org:65536/",
    "too long": "https://example.org/" + "a" * 3_000,
    "empty": "",
}


@pytest.mark.parametrize("kind", URLS)
async def test_an_address_that_is_not_plainly_https_to_a_server_is_refused_before_any_look_up(kind: str) -> None:
    await refused(GuardedHttp(resolve=Untouched()), URLS[kind])


async def test_one_private_address_among_public_ones_spoils_them_all(inside: Elsewhere) -> None:
    for addresses in (["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["2606:4700::1", "::1"]):
        outbound = GuardedHttp(tls=inside.trusting, resolve=lambda _host, _port, found=addresses: found)  # type: ignore[misc]  # a lambda's default
        await refused(outbound, f"https://localhost:{inside.port}/")


async def test_a_name_that_changes_its_address_after_the_check_is_asked_at_the_checked_one(tmp_path: Path) -> None:
    """Rebinding: the first answer is fine, every later one leads inside. There must be no later one."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["169.254.169.254"]])
    looked = 0

    def rebinding(_host: str, _port: int) -> Sequence[str]:
        nonlocal looked
        looked += 1
        return next(answers)

    async with elsewhere(tmp_path) as server:
        outbound = GuardedHttp((ip_network("127.0.0.1/32"),), server.trusting, resolve=rebinding)
        assert (await outbound.request("GET", server.url, {})).status == 200
        assert (server.connections, looked) == (1, 1)
        await refused(outbound, server.url)  # the next request looks, and judges, anew
        assert server.connections == 1


async def test_a_redirect_to_the_metadata_service_leads_nowhere(tmp_path: Path, inside: Elsewhere) -> None:
    folder = tmp_path / "outside"
    folder.mkdir()
    async with elsewhere(folder) as server:
        for place in ("http://169.254.169.254/latest/meta-data/", f"https://localhost:{inside.port}/"):
            server.answer = reply(302, headers={"location": place})
            answer = await server.outbound().request("GET", server.url, {})
            assert (answer.status, answer.body) == (302, b"")


async def test_an_endless_answer_is_cut_off_early(tmp_path: Path) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()

    async with elsewhere(tmp_path, endless) as server:
        assert await refused(server.outbound(), server.url) == "the answer is too large"
    assert sent < 64 * 1024 * 1024  # what the kernel's buffers took before they heard


async def test_an_answer_that_unfolds_to_more_than_it_weighs_is_not_unfolded(tmp_path: Path) -> None:
    async with elsewhere(tmp_path, reply(200, b"\x1f\x8b" + b"\0" * 1_000, {"content-encoding": "gzip"})) as server:
        answer = await server.outbound().request("GET", server.url, {})
        assert len(answer.body) == 1_002
        assert server.seen[0].headers["accept-encoding"] == "identity"


SLOW = {
    "before the head": raw(b"HTTP/1.1 200 OK\r\n\r\n", pause_seconds=3),
    "in the head": raw(b"HTTP/1.1 200 OK\r\n", *[b"X-Slow: 1\r\n"] * 100, pause_seconds=0.1),
    "in the body": raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 100, pause_seconds=0.1),
    "with endless interim answers": raw(*[b"HTTP/1.1 103 Early\r\n\r\n"] * 100, pause_seconds=0.05),
}


@pytest.mark.parametrize("kind", SLOW)
async def test_a_slow_drip_does_not_hold_us(tmp_path: Path, kind: str) -> None:
    async with elsewhere(tmp_path, SLOW[kind]) as server:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(OutboundFailed):
            await server.outbound(seconds=0.4).request("GET", server.url, {})
        assert loop.time() - began < 1.5
