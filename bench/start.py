"""How soon the server is ready, how much memory it holds when idle, how soon the command line answers.

Wanted: ready < 1.5 s on a new data directory and on one that is there, < 120 MB resident, `doorward --help` < 200 ms.
"""

import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

PROGRAM = str(Path(sys.executable).parent / "doorward")
ROUNDS = 5
IDLE_SECONDS = 2.0
WAIT_SECONDS = 60


def main(_: float) -> None:
    """Measure each figure ROUNDS times, print the median and the extremes."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # sections before this one may have chosen
    first, second, resident, own = list[float](), list[float](), list[float](), list[float]()
    for _round in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            with started(Path(folder)) as (seconds, _pid):
                first.append(seconds)
            with started(Path(folder)) as (seconds, pid):
                second.append(seconds)
                time.sleep(IDLE_SECONDS)
                resident.append(megabytes(pid, "Rss"))
                own.append(megabytes(pid, "Pss"))
    print(f"{ROUNDS} rounds, one worker, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; median (least-most)")
    say("first start", first, "s", "< 1.5 s")
    say("second start", second, "s", "< 1.5 s")
    say("resident", resident, "MB", "< 120 MB")
    say("its share", own, "MB", "memory shared with others counted in parts")
    say("--help", [help_seconds() for _round in range(ROUNDS)], "s", "< 0.2 s")


@contextmanager
def started(data: Path) -> Iterator[tuple[float, int]]:
    """Start a server; seconds from the command to the first answer of /livez, and its process."""
    port = _free_port()
    command = [PROGRAM, "serve", "--port", str(port), "--data", str(data)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _is_live(port):
            if process.poll() is not None or time.perf_counter() - begun > WAIT_SECONDS:
                sys.exit("the server did not start")
            time.sleep(0.005)
        yield time.perf_counter() - begun, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECONDS)


def megabytes(pid: int, kind: str) -> float:
    """Memory of a process in 10^6 bytes; `kind` as in Linux' smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))
    return kib * 1024 / 1e6


def help_seconds() -> float:
    """From the command to its end."""
    begun = time.perf_counter()
    subprocess.run([PROGRAM, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def say(what: str, found: list[float], unit: str, wanted: str) -> None:
    """One line."""
    print(f"{what:>14}: {statistics.median(found):7.2f} {unit:2} ({min(found):.2f}-{max(found):.2f})   ({wanted})")


def _is_live(port: int) -> bool:
    with suppress(ConnectionError), closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
