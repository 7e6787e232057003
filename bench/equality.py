"""Whether the time of an answer tells who is registered: known beside unknown addresses, in one run, interleaved.

A real server in mode "email" on one core, its mail server a closed port; we ask from the other core, one request at a
time. The first of each pair is drawn by lot, and each waits until what the one before left to be done is done. Wanted:
an interval of the gap that holds zero.
"""

import asyncio
import http.client
import io
import json
import math
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

from bench import servers
from doorward import log
from doorward.app import open_services
from doorward.config import load
from doorward.datadir import DataDir
from doorward.kernel.caller import Caller
from doorward.users import NewUser

PAIRS = 200
PEOPLE = 50  # each meets four wrong passwords: the fifth would cost a delay
WARM_UP = 10
SETTLE_SECONDS = 0.05  # until what an answer left to be done, such as sending a mail, slows the next one down no more
PASSWORD = "a phrase that is long enough"  # noqa: S105  opens a throw-away database
SERVER, CLIENT = 0, 1
CONFIG = """
[signup]
identifier = "email"
[mail]
url = "smtp://localhost:9"
from = "id@example.org"
[limits.mail]
per_address = "100000/1m"
per_recipient = "100000/1m"
per_recipient_daily = "100000/1m"
everybody = "100000/1m"
[limits.sign-up]
per_address = "100000/1m"
everybody = "100000/1m"
[limits.sign-up-free]
per_address = "100000/1m"
everybody = "100000/1m"
[limits.sign-in]
per_address = "100000/1m"
everybody = "100000/1m"
"""
Request: TypeAlias = Callable[[str, int], tuple[str, object, int]]  # (kind, number) -> path, body, expected status


def main(_: float) -> None:
    """Ask and print."""
    os.sched_setaffinity(0, {CLIENT})
    os.environ["DOORWARD_SIGNUP__IDENTIFIER"] = "email"  # the other sections want users at once
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "doorward.toml"
        config.write_text(CONFIG)
        asyncio.run(fill(DataDir.open(folder / "data"), config))
        with servers.doorward(folder / "data", {SERVER}, "--config", str(config)) as port:
            print(f"{PAIRS} pairs each; milliseconds{'':5}known  unknown      gap           95 %")
            for title, request in WAYS.items():
                report(title, measure(port, request))


async def fill(data: DataDir, config: Path) -> None:
    """Put in those who are known."""
    log.configure(stream=io.StringIO())  # new users are events that a server would log
    caller = Caller("127.0.0.1", "bench")
    async with open_services(load(config, {}, {}).settings, data) as services:
        digest = await services.hasher.hash(PASSWORD)
        for number in range(PEOPLE):
            user, _ = await services.users.create(
                NewUser(f"known{number}", f"Known {number}"),
                caller,
                also=lambda user, _: services.passwords.set_password(user.id, digest),
            )
            address = _address("known", number)
            now = services.clock.now()
            await services.db.write(partial(services.users.prove, user.id, "email", address, caller, now))


def measure(port: int, request: Request) -> dict[str, list[float]]:
    """Milliseconds of each answer by kind."""
    connection = http.client.HTTPConnection("localhost", port, timeout=30)
    for number in range(WARM_UP):
        ask(connection, *request("unknown", -1 - number))
    found: dict[str, list[float]] = {"known": [], "unknown": []}
    for kind, number in _order():
        found[kind].append(ask(connection, *request(kind, number)))
        time.sleep(SETTLE_SECONDS)
    connection.close()
    return found


def ask(connection: http.client.HTTPConnection, path: str, body: object, expected: int) -> float:
    """Milliseconds of one answer. Ends the run when it is another one than expected."""
    sent = json.dumps(body)
    started = time.perf_counter()
    connection.request("POST", path, sent, {"content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    took = (time.perf_counter() - started) * 1000
    if answer.status != expected:
        raise SystemExit(text.decode())
    return took


def report(title: str, found: dict[str, list[float]]) -> None:
    """Print the medians, and the median of what parts the two of a pair with its 95 % interval (order statistics)."""
    known, unknown = (statistics.median(found[kind]) for kind in ("known", "unknown"))
    gaps = sorted(one - other for one, other in zip(found["known"], found["unknown"], strict=True))
    middle, reach = len(gaps) / 2, 1.96 * math.sqrt(len(gaps)) / 2
    gap, low, high = statistics.median(gaps), gaps[math.floor(middle - reach)], gaps[math.ceil(middle + reach) - 1]
    print(f"{title:>26}: {known:8.2f} {unknown:8.2f} {gap:+8.2f} ({gap / unknown:+.1%})   {low:+.2f} to {high:+.2f}")


def _order() -> Iterator[tuple[str, int]]:
    for number in range(PAIRS):
        first, second = ("known", "unknown") if secrets.randbelow(2) else ("unknown", "known")
        yield first, number
        yield second, number


def _address(kind: str, number: int) -> str:
    return f"{kind:*>7}{number % PEOPLE:03}@example.org".replace("*", "x") if number >= 0 else f"w{-number}@example.org"


def _sign_up(kind: str, number: int) -> tuple[str, object, int]:
    # Somebody new each time, or somebody known: an address that is only pending is as unknown as before.
    return "/api/users", {"email": _address(kind, number), "password": "another phrase of some length"}, 202


def _recovery(kind: str, number: int) -> tuple[str, object, int]:
    return "/api/recovery", {"email": _address(kind, number)}, 202


def _sign_in(kind: str, number: int) -> tuple[str, object, int]:
    return "/api/sessions", {"identifier": _address(kind, number), "password": "a wrong phrase of some length"}, 401


WAYS: dict[str, Request] = {"sign-up": _sign_up, "recovery": _recovery, "sign-in (wrong password)": _sign_in}
