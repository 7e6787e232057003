"""`doorward key rotate-sealing` beside real servers that answer all the while, and killed in the middle of its work."""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select

from doorward.adapters.keyring import read_file
from doorward.adapters.sealing import KeyFileSealer, open_sealer_of
from doorward.ports import Database
from doorward.sql import Statement, Work, insert, purpose_of
from doorward.sql.tables import challenge, message
from tests.support.calling import PASSWORD, Answer, Caller
from tests.support.databases import open_database
from tests.support.farm import Farm, four_workers, two_nodes
from tests.support.sealed import opened, sealed_values, secret_of
from tests.support.serving import ROOT

CONFIG = """
[limits.sign-up]
per_address = "10000/10m"

[limits.sign-up-free]
per_address = "10000/1h"
everybody = "10000/10m"

[limits.mail]
per_address = "10000/15m"
"""
PEOPLE = 4  # who sign up at the same time
BUSY_SECONDS = 1.0
HEARD_SECONDS = 2.0  # a running server looks once a second
WAIT_SECONDS = 30
VALUES = 3_000
AT_ONCE = 500
_CODES = Statement(select(message.c.id, message.c.values_sealed).where(message.c.recipient == bindparam("to")))
_ADD = Statement(insert(challenge).values({column.name: bindparam(column.name) for column in challenge.columns}))

pytestmark = pytest.mark.slow


async def under(database: Database) -> dict[str, set[str]]:
    """What is sealed, by the key that it is under."""
    found: dict[str, set[str]] = {}
    for purpose, sealed in (await sealed_values(database)).items():
        found.setdefault(sealed[1:9].hex(), set()).add(purpose)
    return found


# Beside servers


@dataclass(frozen=True)
class Town:
    """Servers, the files of their keys, and what they have in the database."""

    farm: Farm
    keys: Sequence[Path]
    database: Database

    def command(self, *words: str) -> None:
        """Run a command where the first machine is."""
        self.farm.command("key", "rotate-sealing", *words)

    def copy_keys(self) -> None:
        """Give every other machine what the first one has."""
        for other in self.keys[1:]:
            draft = other.with_suffix(".new")
            shutil.copy(self.keys[0], draft)
            draft.replace(other)  # at once: a server may look at any moment

    def errors(self) -> list[str]:
        """What the servers complain of."""
        lines = [line for server in self.farm.servers for line in server.log]
        return [line for line in lines if json.loads(line)["level"] in {"error", "critical"}]


@pytest.fixture(params=["sqlite", "postgresql"])
def farm(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    """Four workers on an SQLite file, then two machines with a key file each on one PostgreSQL database."""
    monkeypatch.setenv("DOORWARD_SIGNUP__IDENTIFIER", "email")
    config = tmp_path / "doorward.toml"
    config.write_text(CONFIG)
    if request.param == "sqlite":
        with four_workers(tmp_path, config) as farm:
            yield farm
        return
    with two_nodes(tmp_path, config, request.getfixturevalue("postgresql_address")) as farm:
        yield farm


def key_files(place: Path) -> Sequence[Path]:
    """That of each machine."""
    return sorted(place.glob("data*/sealing.key"))


@pytest.fixture
async def town(farm: Farm, tmp_path: Path) -> AsyncIterator[Town]:
    """What a test has to do with of them."""
    database = await open_database(farm.database)
    yield Town(farm, key_files(tmp_path), database)
    await database.close()


@dataclass
class Crowd:
    """People who sign up with an address, one after the other, each step at whichever process comes."""

    callers: Sequence[Caller]
    database: Database
    sealer: KeyFileSealer  # to read their mail
    signed_up: int = 0
    _busy: Mapping[int, asyncio.Lock] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        """A connection carries one request at a time."""
        self._busy = {id(caller): asyncio.Lock() for caller in self.callers}

    async def ask(self, caller: Caller, status: int, method: str, path: str, *rest: object) -> Answer:
        """Ask; anything but `status` fails the test."""
        async with self._busy[id(caller)]:
            answer = await asyncio.to_thread(caller.ask, method, path, *rest)  # type: ignore[arg-type]  # body, headers
        assert answer.status == status, (method, path, answer.json)
        return answer

    async def sign_up(self, first: Caller, second: Caller) -> None:
        """Ask for an account at one process and give the code to another."""
        address = f"person{next(self._numbers)}@example.org"
        begun = await self.ask(first, 202, "POST", "/api/users", {"email": address, "password": PASSWORD})
        body = {"code": await self.code(address)}
        session = await self.ask(second, 200, "POST", "/api/verifications", body, begun.cookie)
        await self.ask(first, 200, "GET", "/api/sessions/current", None, session.cookie)
        self.signed_up += 1

    async def code(self, address: str) -> str:
        """The code that was sent to an address."""

        def work() -> Work[tuple[str, bytes]]:
            ((key, sealed),) = yield _CODES(to=address)
            return key, sealed

        key, sealed = await self.database.search(work())
        return str(json.loads(self.sealer.open(sealed, purpose_of("message", key)))["code"])

    async def go_on(self, over: asyncio.Event) -> None:
        """Sign up again and again."""
        while not over.is_set():
            await self.sign_up(random.choice(self.callers), random.choice(self.callers))  # noqa: S311  hides nothing

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Several at once until the block ends; whatever they met is raised then."""
        over = asyncio.Event()
        people = [asyncio.create_task(self.go_on(over)) for _ in range(PEOPLE)]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*people)


@pytest.mark.asvs("11.2.2")
@pytest.mark.asvs("13.3.4")
async def test_servers_answer_all_the_while_and_use_the_new_key_without_a_restart(town: Town) -> None:
    sealer = await open_sealer_of(town.database, town.keys[0], {})
    old = sealer.key_id
    with town.farm.callers() as found:
        crowd = Crowd([caller for _, caller in found], town.database, sealer)
        async with crowd.busy():
            await asyncio.sleep(BUSY_SECONDS)
            if len(town.keys) > 1:
                await asyncio.to_thread(town.command)  # only makes the key
                assert (await under(town.database)).keys() == {old}
                town.copy_keys()
            await asyncio.to_thread(town.command)
            during = crowd.signed_up
            await asyncio.sleep(HEARD_SECONDS)
        new = read_file(town.keys[0]).keys[-1].id
        assert (await under(town.database)).keys() == {new}, "a server has gone on with the old key"

        before = await sealed_values(town.database)
        for caller in crowd.callers:
            await crowd.sign_up(caller, caller)
        fresh = {sealed[1:9].hex() for key, sealed in (await sealed_values(town.database)).items() if key not in before}
        assert fresh == {new}

        async with crowd.busy():
            await asyncio.to_thread(town.command, "--forget-old")
            town.copy_keys()
            await asyncio.sleep(HEARD_SECONDS)
    assert [key.id for file in town.keys for key in read_file(file).keys] == [new] * len(town.keys)
    assert await opened(town.database, KeyFileSealer.open_file(town.keys[0]))
    town.farm.command("audit", "verify")
    assert town.errors() == []
    sys.stdout.write(f"{during} people signed up until the key was rotated, {crowd.signed_up} in all\n")
    assert during > PEOPLE


# Killed


@dataclass(frozen=True)
class Place:
    """Data with many sealed values, and commands that work on them."""

    data: Path
    database: Database
    environ: Mapping[str, str]

    @property
    def key(self) -> Path:
        """The file of the keys."""
        return self.data / "sealing.key"

    def command(self, *words: str) -> subprocess.Popen[bytes]:
        """Begin a command."""
        command = [sys.executable, "-m", "doorward.cli", *words, "--data", str(self.data)]
        return subprocess.Popen(command, cwd=ROOT, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    async def finish(self, *words: str) -> str:
        """Run a command to its end, which must be good; what it said."""
        process = self.command(*words)
        said, _ = await asyncio.to_thread(process.communicate, timeout=2 * WAIT_SECONDS)
        assert process.returncode == 0, said
        return said.decode()

    async def fill(self) -> None:
        """Add the values."""
        sealer = await open_sealer_of(self.database, self.key, {})
        keys = [f"c{number:06}" for number in range(VALUES)]

        def work(some: Sequence[str]) -> Work[None]:
            for key in some:
                sealed = sealer.seal(secret_of("challenge", key), purpose_of("challenge", key))
                yield _ADD(
                    id=key, purpose="test", holder_digest=key.encode(), user_id=None, content_sealed=sealed,
                    created_at=0, expires_at=0,
                )  # fmt: skip

        for start in range(0, VALUES, AT_ONCE):
            await self.database.write(lambda start=start: work(keys[start : start + AT_ONCE]))  # type: ignore[misc]  # mypy's gap

    async def challenges_under(self, key_id: str) -> int:
        """How many of the values are sealed under a key."""
        return sum(purpose.startswith("challenge:") for purpose in (await under(self.database)).get(key_id, ()))

    async def check(self) -> None:
        """Everything opens for a server that starts now."""
        found = await opened(self.database, await open_sealer_of(self.database, self.key, {}))
        wrong = [key for key, text in found.items() if key.startswith("challenge:") and
                 text != secret_of("challenge", key.removeprefix("challenge:"))]  # fmt: skip
        assert (len(found), wrong) == (VALUES + 1, [])  # and the key that signs tokens


@pytest.fixture(params=["sqlite", "postgresql"])
def begun(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Mapping[str, str]]:
    """Where the database is, and the environment that names it; each kind in turn, with nothing in it yet."""
    address, environ = str(tmp_path / "data/doorward.db"), dict(os.environ)
    if request.param == "postgresql":
        address = environ["DOORWARD_DATABASE__URL"] = request.getfixturevalue("postgresql_address")
    command = [sys.executable, "-m", "doorward.cli", "init", "--data", str(tmp_path / "data")]
    subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL)
    return address, environ


@pytest.fixture
async def place(begun: tuple[str, Mapping[str, str]], tmp_path: Path) -> AsyncIterator[Place]:
    """The same with its values."""
    address, environ = begun
    database = await open_database(address)
    found = Place(tmp_path / "data", database, environ)
    await found.fill()
    yield found
    await database.close()


async def test_a_rotation_killed_in_the_middle_goes_on_where_it_was(place: Place) -> None:
    new, left = await killed_in_the_middle(place)
    await place.check()
    assert f"the rotation to {new} that was interrupted" in await place.finish("key", "rotate-sealing")
    await place.check()
    assert (await under(place.database)).keys() == {new}
    await place.finish("key", "rotate-sealing", "--forget-old")
    await place.check()
    sys.stdout.write(f"{left} of {VALUES} values were left when it was killed\n")


async def killed_in_the_middle(place: Place) -> tuple[str, int]:
    """The key of a rotation that was killed before its end, and how many values were left."""
    for _ in range(5):  # on a busy machine it is over before we have seen it begin: then another one
        await place.finish("key", "rotate-sealing", "--prepare")
        old, new = (key.id for key in read_file(place.key).keys)
        process = place.command("key", "rotate-sealing")
        deadline = time.monotonic() + WAIT_SECONDS
        while not await place.challenges_under(new):
            assert time.monotonic() < deadline, "nothing is sealed anew"
        process.kill()
        process.communicate()
        left = await place.challenges_under(old)
        if left:
            assert left < VALUES
            return new, left
        await place.finish("key", "rotate-sealing")
        await place.finish("key", "rotate-sealing", "--forget-old")
    raise AssertionError("it was never in the middle")


async def test_whenever_it_is_killed_nothing_is_lost_and_no_further_key_is_made(place: Place, rounds: int) -> None:
    started = time.monotonic()
    await place.finish("key", "list")
    usual = time.monotonic() - started
    for number in range(max(5, rounds // 4)):
        process = place.command("key", "rotate-sealing")
        await asyncio.sleep(usual * (0.6 + 0.17 * (number % 9)))
        process.kill()
        process.communicate()
        await place.check()
        assert len(read_file(place.key).keys) <= 2
    for _ in range(2):  # with PostgreSQL the first may only make the key
        if "Done." in await place.finish("key", "rotate-sealing"):
            break
    await place.finish("key", "rotate-sealing", "--forget-old")
    await place.check()
    assert len(read_file(place.key).keys) == 1
    assert len(await under(place.database)) == 1
    await place.finish("audit", "verify")
