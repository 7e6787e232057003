"""Signing in among a million users in SQLite, the hash taken out. Wanted: median < 3 ms."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.directory import USERS, fill, report, sample
from doorward.app import Services, open_services
from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.kernel.caller import Caller
from doorward.ports import Cost, Hasher, Verified
from doorward.signin.model import Credentials

PASSWORD = "a phrase that is long enough"  # noqa: S105  opens a throw-away database
CALLER = Caller("127.0.0.1", "bench")
SIGN_INS = 300


@dataclass
class Timed:
    """A hasher that keeps count of the time spent in it."""

    hasher: Hasher
    seconds: float = 0.0

    @property
    def cost(self) -> Cost:
        """As the hasher says."""
        return self.hasher.cost

    async def hash(self, password: str) -> str:
        """As the hasher does."""
        return await self.hasher.hash(password)

    async def derive(self, secret: str, salt: bytes, cost: Cost) -> bytes:
        """As the hasher does."""
        return await self.hasher.derive(secret, salt, cost)

    async def verify(self, digest: str | None, password: str) -> Verified:
        """As the hasher does, timed."""
        started = time.perf_counter()
        try:
            return await self.hasher.verify(digest, password)
        finally:
            self.seconds += time.perf_counter() - started


def main(_: float) -> None:
    """Fill a data directory, sign in one after the other, print."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(DataDir.open(Path(folder) / "data")))


async def measure(data: DataDir) -> None:
    """Sign in on a durable database."""
    async with open_services(Settings(), data):
        pass  # makes the key and the schema
    await asyncio.to_thread(fill, data.database, USERS)
    async with open_services(Settings(), data) as services:
        timed = Timed(services.hasher)
        services.passwords.hasher = timed
        await services.sessions.start()
        digest = await timed.hash(PASSWORD)
        found = []
        for user_id in await asyncio.to_thread(sample, data.database, SIGN_INS):
            await services.db.write(partial(services.passwords.set_password, user_id, digest))
            found.append(await one(services, timed, user_id))
        await services.sessions.stop()
    print(f"{USERS:,} users; milliseconds, {'':7}median      p99      max")
    report("sign-in", "less hash", sorted(found))


async def one(services: Services, timed: Timed, user_id: str) -> float:
    """Milliseconds of one sign-in outside the hasher."""
    user = await services.users.find(user_id)
    if user is None:
        raise LookupError(user_id)
    timed.seconds, started = 0.0, time.perf_counter()
    await services.sign_in.sign_in(Credentials(user.uid, PASSWORD, "bearer"), CALLER, None)
    return (time.perf_counter() - started - timed.seconds) * 1000
