"""Reading other people's links and codes in the development mailbox (ASVS 13.4.2, 13.4.3, 3.3.2; design.md).

It shows whatever would be mailed to anybody. Attackers: a web page in the developer's browser, by rebinding DNS or by
a request across sites; somebody beyond a proxy or tunnel that was put in front; another account of the machine.
"""

import re

import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Mail, Server
from doorward.messages import Values
from tests.http.conftest import World

pytestmark = pytest.mark.asvs("13.4.2")

PATHS = ("/dev/mail", "/dev/mail.json", "/dev/mail/{id}", "/dev/mail/{id}/html")


@pytest.fixture
async def paths(world: World) -> list[str]:
    """Every path, with a message that is there."""
    values: Values = {"path": "/invitation/s3cr3t", "days": 7}
    await world.services.db.write(lambda: world.services.outbox.mail("invitation", "ada@example.org", "en", values))
    assert world.services.mailbox is not None
    (message,) = await world.services.mailbox.newest()
    return [path.format(id=message.id) for path in PATHS]


def key_of(world: World) -> dict[str, str]:
    """What opens it."""
    assert world.services.mailbox is not None
    return {"x-mailbox-key": world.services.mailbox.path.partition("=")[2]}


async def statuses(world: World, paths: list[str], *, address: str = "127.0.0.1", **headers: str) -> set[int]:
    """What all paths answer; nothing of the message is in any refusal."""
    visitor = world.visitor(address)
    found = set()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    for path in paths:
        answer = await visitor.get(path, headers={**key_of(world), **sent})
        found.add(answer.status_code)
        if answer.status_code != 200:
            assert "s3cr3t" not in answer.text
            assert "ada@example.org" not in answer.text
    return found


async def test_with_the_key_from_this_machine_every_path_answers(world: World, paths: list[str]) -> None:
    """Otherwise what follows would prove nothing."""
    assert await statuses(world, paths) == {200}
    assert await statuses(world, paths, address="::1") == {200}
    assert await statuses(world, paths, address="::ffff:127.0.0.1") == {200}
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:8000"):
        assert await statuses(world, paths, host=host) == {200}


async def test_another_host_name_is_refused_so_that_rebinding_leads_nowhere(world: World, paths: list[str]) -> None:
    names = ("evil.example", "evil.example:8000", "localhost.evil.example:8000", "evil@localhost:8000", "")
    near = ("localhost", "localhost:8001", "localhost.:8000", "localhost:8000, x")
    addresses = ("127.0.0.2:8000", "0.0.0.0:8000", "[::]:8000", "2130706433:8000", "[::ffff:127.0.0.1]:8000")
    for host in (*names, *near, *addresses):
        assert await statuses(world, paths, host=host) == {404}, host


async def test_two_host_headers_are_refused(world: World, paths: list[str]) -> None:
    visitor = world.visitor()
    for path in paths:
        hosts = [("host", "localhost:8000"), ("host", "evil.example")]
        answer = await visitor.get(path, headers=[*hosts, *key_of(world).items()])
        assert answer.status_code == 404


async def test_what_came_through_a_proxy_is_refused_whatever_it_claims(world: World, paths: list[str]) -> None:
    ends = ("for", "host", "proto", "port", "prefix", "server")
    others = ("forwarded", "via", "x-real-ip", "x-forwarded", "x-client-ip", "true-client-ip", "cf-connecting-ip")
    for header in (*(f"x-forwarded-{end}" for end in ends), *others):
        for value in ("127.0.0.1", "for=127.0.0.1", "localhost:8000", ""):
            assert await statuses(world, paths, **{header: value}) == {404}, (header, value)


async def test_other_machines_are_refused(world: World, paths: list[str]) -> None:
    for address in ("192.0.2.7", "10.0.0.1", "2001:db8::7", "::ffff:192.0.2.7", "local", "172.17.0.1"):
        assert await statuses(world, paths, address=address) == {404}, address


async def test_without_the_key_nothing_is_told(world: World, paths: list[str]) -> None:
    key = key_of(world)["x-mailbox-key"]
    visitor = world.visitor()
    for wrong in ("", key[:-1], key + "A", key.swapcase(), "ä" * 32, "0" * 32):
        for path in paths:
            tries = [
                await visitor.get(path, headers={"x-mailbox-key": wrong.encode()}),
                await visitor.get(path, headers={"cookie": f"doorward-mailbox={wrong}".encode()}),
                await visitor.get(path, params={"key": wrong}),
            ]
            assert {answer.status_code for answer in tries} == {404}
            assert not [answer for answer in tries if "s3cr3t" in answer.text or "ada@" in answer.text]


async def test_the_key_in_the_address_opens_only_the_first_page(world: World, paths: list[str]) -> None:
    """It is no way to read from another site: what follows needs a cookie that stays at home."""
    key = key_of(world)["x-mailbox-key"]
    for path in paths[1:]:
        assert (await world.visitor().get(path, params={"key": key})).status_code == 404


async def test_its_cookie_is_strict_and_its_answers_are_shared_with_nobody(world: World, paths: list[str]) -> None:
    """ASVS 3.3.2: SameSite=Strict keeps pages of other sites from sending it along."""
    opened = await world.visitor().get("/dev/mail", params={"key": key_of(world)["x-mailbox-key"]})
    assert re.search(r"doorward-mailbox=[^;]+; HttpOnly; .*SameSite=strict", opened.headers["set-cookie"])
    for path in paths:
        answer = await world.visitor().get(path, headers={**key_of(world), "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "changed",
    [
        {"mail": Mail(url="smtp://127.0.0.1:25", from_="id@example.org")},
        {"server": Server(host="0.0.0.0")},  # noqa: S104  that is the attack
        {"server": Server(public_url="https://id.example.org")},
        {"server": Server(trusted_proxies=("127.0.0.1",))},
    ],
    ids=["mail server", "all interfaces", "public address", "behind a proxy"],
)
def test_production_has_no_mailbox(settings: Settings, changed: dict[str, object]) -> None:
    assert settings.mailbox
    assert not msgspec.structs.replace(settings, **changed).mailbox


class TestInProduction:
    """A world with a mail server."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """As a deployment has it."""
        return msgspec.structs.replace(settings, mail=Mail(url="smtp://127.0.0.1:25", from_="id@example.org"))

    async def test_there_is_no_such_path(self, world: World) -> None:
        assert world.services.mailbox is None
        for path in ("/dev/mail", "/dev/mail.json", "/dev/mail/x", "/dev/mail/x/html"):
            answer = await world.visitor().get(path)
            nowhere = await world.visitor().get("/nowhere")
            assert answer.status_code == 404
            ids = re.compile(r'[0-9a-f]{16}|"/[^"]*"|[\w-]{32,}')
            assert ids.sub("", answer.text) == ids.sub("", nowhere.text)
