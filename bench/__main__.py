"""`make bench`: figures are ratios of two measurements of one run on one machine, but for `directory` and `start`.

None can fail a build.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import apps, client, directory, equality, load, servers, sign_in, start
from bench.people import PASSWORD, sign_up
from doorward.adapters.argon2 import Argon2Hasher

SERVER, CLIENT = 0, 1
BOTH = {SERVER, CLIENT}


def main() -> None:
    """Run the sections asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help="default: all")
    parser.add_argument("--seconds", type=float, default=5)
    asked = parser.parse_args()
    for name in asked.sections or SECTIONS:
        print(f"\n== {name}")
        SECTIONS[name](asked.seconds)


def sessions(seconds: float) -> None:
    """GET /api/sessions/current with a cookie beside an empty raw-ASGI application, one worker, 32 connections."""
    os.sched_setaffinity(0, {CLIENT})
    rates: dict[str, list[float]] = {"empty": [], "session check": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.empty({SERVER}) as empty_port,
        servers.doorward(Path(folder), {SERVER}) as port,
    ):
        cookie = sign_up(port, "checker")
        for _ in range(5):
            rates["empty"].append(load.wrk(empty_port, "/", f"cookie: {cookie}", seconds=seconds, cores=str(CLIENT)))
            rates["session check"].append(
                load.wrk(port, "/api/sessions/current", f"cookie: {cookie}", seconds=seconds, cores=str(CLIENT))
            )
    for name, found in rates.items():
        print(f"{name:>14}: {statistics.median(found):9.0f}/s   ({min(found):.0f}-{max(found):.0f})")
    ratio = statistics.median(rates["session check"]) / statistics.median(rates["empty"])
    print(f"{'ratio':>14}: {ratio:9.1%}   (wanted: at least 60 %)")


def sign_ins(seconds: float) -> None:
    """Sign-ins a second beside raw Argon2id hashes a second with the same parameters, both on one core."""
    os.sched_setaffinity(0, {SERVER})
    raw = asyncio.run(_raw_hashes(seconds))
    os.sched_setaffinity(0, {CLIENT})
    with tempfile.TemporaryDirectory() as folder, servers.doorward(Path(folder), {SERVER}) as port:
        names = _users(port)
        found = load.load(port, _sign_in_requests(names), connections=8, seconds=seconds)
    print(f"raw hashes: {raw:7.1f}/s\n  sign-ins: {found.rate(201):7.1f}/s   other answers: {_others(found, 201)}")
    print(f"     ratio: {found.rate(201) / raw:7.1%}   (wanted: at least 90 %)")


def together(seconds: float) -> None:
    """Session checks at half their maximum while sign-ins fill the hash pool, all of it on two cores."""
    os.sched_setaffinity(0, BOTH)
    path = "/api/sessions/current"
    with tempfile.TemporaryDirectory() as folder, servers.doorward(Path(folder), BOTH) as port:
        names = _users(port)
        header = f"cookie: {sign_up(port, 'checker')}"
        most = load.wrk(port, path, header, seconds=seconds, cores="0,1")
        alone = load.load(port, _sign_in_requests(names), connections=8, seconds=seconds).rate(201)
        with ThreadPoolExecutor(1) as pool:
            served = pool.submit(load.h2load, port, path, header, seconds=seconds, per_second=most / 2)
            both = load.load(port, _sign_in_requests(names), connections=8, seconds=seconds)
    print(f"session checks alone: {most:8.0f}/s, offered: {most / 2:8.0f}/s")
    print(f"              served: {served.result() / (most / 2):8.1%}   (wanted: at least 95 %)")
    print(f"      sign-ins alone: {alone:8.1f}/s, meanwhile: {both.rate(201):.1f}/s, others: {_others(both, 201)}")
    print(f"                kept: {both.rate(201) / alone:8.1%}   (wanted: at least 40 %)")


async def _raw_hashes(seconds: float) -> float:
    hasher = Argon2Hasher()
    try:
        digest = await hasher.hash(PASSWORD)
        until, done = time.perf_counter() + seconds, 0

        async def one() -> None:
            nonlocal done
            while time.perf_counter() < until:
                await hasher.verify(digest, PASSWORD)
                done += 1

        started = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(8)))
        return done / (time.perf_counter() - started)
    finally:
        hasher.close()


def _users(port: int) -> list[str]:
    names = [f"user{number}" for number in range(32)]
    for name in names:
        sign_up(port, name)
    return names


def _sign_in_requests(names: list[str]) -> Callable[[], bytes]:
    bodies = [json.dumps({"identifier": name, "password": PASSWORD, "transport": "bearer"}).encode() for name in names]
    endless = itertools.cycle([load.post_json("/api/sessions", body) for body in bodies])
    return lambda: next(endless)


def _others(tally: load.Tally, expected: int) -> dict[int, int]:
    return {status: number for status, number in tally.answered.items() if status != expected}


SECTIONS: dict[str, Callable[[float], None]] = {
    "sessions": sessions,
    "sign-ins": sign_ins,
    "together": together,
    "sign-in": sign_in.main,
    "equality": equality.main,
    "directory": directory.main,
    "start": start.main,
    "client": client.main,
    "apps": apps.main,
}

if __name__ == "__main__":
    main()
