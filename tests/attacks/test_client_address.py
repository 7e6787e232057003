"""Whose request it is: the socket's peer, unless a proxy that we trust says otherwise (C13)."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from tests.http.conftest import PASSWORD, Visitor, World, running
from tests.support.attack import dump

FORGED = {"x-forwarded-for": "{}", "forwarded": "for={}", "x-real-ip": "{}", "x-client-ip": "{}", "via": "1.1 {}"}


@pytest.fixture
async def behind_proxy(tmp_path: Path, settings: Settings, clock: MovableClock) -> AsyncIterator[World]:
    """10.0.0.0/8 and fd00::/8 are ours."""
    server = msgspec.structs.replace(settings.server, trusted_proxies=("10.0.0.0/8", "fd00::/8"))
    data = DataDir.open(tmp_path / "proxied")
    async with running(msgspec.structs.replace(settings, server=server), data, clock) as world:
        yield world


def forged(address: str) -> dict[str, str]:
    return {name: form.format(address) for name, form in FORGED.items()}


async def address_seen(visitor: Visitor, headers: httpx.Headers) -> str:
    """The address that a session started with these headers is said to come from."""
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    token = (await visitor.post("/api/sessions", body, headers=headers)).json()["token"]
    listed = (await visitor.get("/api/sessions", headers={"authorization": f"Bearer {token}"})).json()["data"]
    return str(next(row["address"] for row in listed if row["current"]))


@pytest.mark.asvs("4.1.3")
@pytest.mark.asvs("15.3.4")
async def test_forged_headers_open_no_new_bucket(world: World) -> None:
    visitor = world.visitor("198.51.100.1")
    tried = [
        await visitor.post(
            "/api/sessions",
            {"identifier": f"name-{number}", "password": "wrong"},
            headers=forged(f"203.0.113.{number}"),
        )
        for number in range(31)
    ]
    assert [answer.status_code for answer in tried] == [401] * 30 + [429]


@pytest.mark.asvs("15.3.4")
async def test_forged_headers_reach_no_table(world: World) -> None:
    visitor = world.visitor("198.51.100.1")
    for name, form in FORGED.items():
        headers = {name: form.format("203.0.113.77")}
        uid = f"user-of-{name}"
        await visitor.post("/api/users", {"uid": uid, "name": "Name", "password": PASSWORD}, headers=headers)
        await visitor.post("/api/sessions", {"identifier": uid, "password": "wrong"}, headers=headers)
        await visitor.post("/api/sessions", {"identifier": uid, "password": PASSWORD}, headers=headers)
    tables = repr(await dump(world.services.db))

    assert "198.51.100.1" in tables
    assert "203.0.113.77" not in tables


@pytest.mark.asvs("4.1.3")
@pytest.mark.parametrize(
    ("peer", "lines", "seen"),
    [
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("fd00::1", ["2001:db8::9"], "2001:db8::9"),
        ("10.0.0.1", ["192.0.2.66, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["192.0.2.66, 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        ("10.0.0.1", ["192.0.2.66", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9", "10.1.2.3"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9,"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["<script>"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("192.0.2.7", ["203.0.113.9"], "192.0.2.7"),
    ],
)
async def test_a_trusted_proxy_vouches_for_the_last_hop_it_does_not_know(
    behind_proxy: World, peer: str, lines: list[str], seen: str
) -> None:
    await behind_proxy.visitor("192.0.2.250").sign_up("ada")
    headers = httpx.Headers([("x-forwarded-for", line) for line in lines])
    headers.update({"forwarded": "for=203.0.113.200", "x-real-ip": "203.0.113.201"})

    assert await address_seen(behind_proxy.visitor(peer), headers) == seen
