"""What protecting an app costs: a token seen before beside a fresh one, and endpoints with and without protection.

The first is CPU time of one thread. The second is requests a second, one app on one core, asked by wrk on the other,
and beside it what each request took of the app's CPU time, which says the same on a machine that others use, too.
The issuer is that of the test kit, on the loopback, and its feed is followed all the while. Wanted: a token seen before
at least 50 times as fast, its revocation check included; a protected endpoint at least 85 % of an open one.
"""

import json
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack

from bench import load, servers
from doorward_client import Guard, Settings
from doorward_client.testing import Issuer, MovableClock

TOKENS = 500
ROUNDS = 9
SERVER, CLIENT = 0, 1


class RealClock(MovableClock):
    """The time as it is."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def main(seconds: float) -> None:
    """Measure and print."""
    os.sched_setaffinity(0, {CLIENT})
    with Issuer(RealClock()) as issuer:
        app, ada = issuer.client(), issuer.user()
        tokens = [issuer.access_token(ada, app) for _ in range(TOKENS)]
        checks(Settings(issuer.url, app.client_id, app.secret), tokens)
        os.environ |= {
            "DOORWARD_ISSUER": issuer.url,
            "DOORWARD_CLIENT_ID": app.client_id,
            "DOORWARD_CLIENT_SECRET": app.secret or "",
        }
        endpoints("flask", ["protected"], tokens[0], seconds)
        endpoints("fastapi", ["protected", "router"], tokens[0], seconds)


def checks(settings: Settings, tokens: list[str]) -> None:
    """A fresh verification beside the check of a token seen before, revocations included."""
    with Guard(settings) as guard:
        while not guard.core.revocations.fresh:
            guard.verify(tokens[0])
            time.sleep(0.05)
        fresh = cpu(lambda: [guard.verify(token) for token in tokens[1:]]) / (TOKENS - 1)
        seen = min(cpu(lambda: [guard.verify(tokens[0]) for _ in range(TOKENS)]) for _ in range(ROUNDS)) / TOKENS
    print(f"fresh token: {fresh * 1e6:8.1f} µs\n seen token: {seen * 1e6:8.2f} µs")
    print(f"      ratio: {fresh / seen:8.0f}      (wanted: at least 50)")


def endpoints(framework: str, protected: list[str], token: str, seconds: float) -> None:
    """Requests a second of an open endpoint and of protected ones, in turn."""
    rates: dict[str, list[float]] = {how: [] for how in ("open", *protected)}
    costs: dict[str, list[float]] = {how: [] for how in rates}
    length = max(1, round(seconds / 3))  # short and often: what others do on the machine then meets all alike
    header = f"authorization: Bearer {token}"
    with ExitStack() as running:
        apps = [sys.executable, "-m", "bench.client_apps", framework]
        ports = {how: running.enter_context(servers.running([*apps, how], {SERVER})) for how in rates}
        for port in ports.values():
            load.wrk(port, "/", header, seconds=1, cores=str(CLIENT))
        for _ in range(ROUNDS):
            for how, found in rates.items():
                before = spent(ports[how])
                found.append(load.wrk(ports[how], "/", header, seconds=length, cores=str(CLIENT)))
                costs[how].append((spent(ports[how]) - before) / (found[-1] * length))
    for how, found in rates.items():
        cost = statistics.median(costs[how]) * 1e6
        said = f"{statistics.median(found):8.0f}/s   ({min(found):.0f}-{max(found):.0f})   {cost:6.1f} µs of CPU time"
        print(f"{framework + ' ' + how:>20}: {said}")
    for how in protected:
        kept = statistics.median(one / other for one, other in zip(rates[how], rates["open"], strict=True))
        by_cpu = statistics.median(one / other for one, other in zip(costs["open"], costs[how], strict=True))
        print(f"{'kept, ' + how:>20}: {kept:8.1%}   by CPU time {by_cpu:.1%}   (wanted: at least 85 %)")


def spent(port: int) -> float:
    """Seconds of CPU time that the app has used."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/spent") as answer:
        seconds: float = json.load(answer)["seconds"]
    return seconds


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU time that this thread spends."""
    started = time.thread_time()
    work()
    return time.thread_time() - started
