"""Several processes behind one set of sockets: started together, replaced when one dies, stopped together."""

import multiprocessing
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from doorward import log
from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.server.process import FAILED, SERVED, STOP_SECONDS, App, Links, links_of, run
from doorward.server.tls import Certificate

REPLACE_SECONDS: Final = 1.0  # between two starts of one worker: a worker that cannot start must not eat the machine
_LEEWAY_SECONDS: Final = 5
_log = structlog.get_logger("doorward.server")

Build: TypeAlias = Callable[[Settings, DataDir], App]
Greet: TypeAlias = Callable[[Links], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker does. Travels to new processes, so `build` is a function of a module."""

    settings: Settings
    data: DataDir
    build: Build
    listeners: Sequence[socket.socket]


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    started: float


def supervise(job: Job, greet: Greet) -> int:
    """Run the workers until SIGTERM or SIGINT. `greet` gets the operator's links once all are ready.

    Returns SERVED, or the status of one that could not start at first.
    """
    with _signals() as stopping:
        workers = [_start(job, first=number == 0) for number in range(job.settings.server.workers)]
        try:
            links = [_await_ready(worker, stopping) for worker in workers]
            if stopping.poll():
                return SERVED
            if None in links:
                return _status(workers[links.index(None)])
            greet(links[0] or Links())
            _keep_alive(job, workers, stopping)
        finally:
            _stop(workers)
    return SERVED


def certificate_of(settings: Settings) -> Certificate | None:
    """The configured certificate. Raises TlsRefused."""
    cert, key = settings.server.tls_cert, settings.server.tls_key
    return None if cert is None or key is None else Certificate(Path(cert), Path(key))


def _start(job: Job, *, first: bool) -> _Worker:
    context = multiprocessing.get_context("spawn")  # a fork would share what threads and libraries hold
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(job, theirs, first), name="doorward-worker")
    process.start()
    theirs.close()  # so that the pipe ends with the worker, and with us
    return _Worker(process, ours, time.monotonic())


def _work(job: Job, pipe: Connection, first: bool) -> None:  # noqa: FBT001  arguments of a process
    log.configure(form=job.settings.log.format, level=job.settings.log.level)

    async def ready(app: App) -> None:
        pipe.send(await links_of(app) if first else Links())

    app = job.build(job.settings, job.data)
    certificate = certificate_of(job.settings)
    status = run(app, job.settings, job.listeners, ready, certificate=certificate, stop_on_eof=pipe.fileno())
    raise SystemExit(status)


def _await_ready(worker: _Worker, stopping: Connection) -> Links | None:
    """What it tells us, of all workers only the first; None when it ended before it was ready."""
    while worker.pipe not in (found := wait([worker.pipe, worker.process.sentinel, stopping])):
        if stopping in found or worker.process.sentinel in found:
            return None
    try:
        links: Links = worker.pipe.recv()
    except EOFError:
        return None
    return links


def _status(worker: _Worker) -> int:
    """The exit status of one that has ended, or is about to."""
    worker.process.join(STOP_SECONDS)
    return worker.process.exitcode or FAILED


def _keep_alive(job: Job, workers: list[_Worker], stopping: Connection) -> None:
    while not stopping.poll():
        wait([stopping, *(worker.process.sentinel for worker in workers)])
        for number, worker in enumerate(workers):
            if not worker.process.is_alive() and not stopping.poll(_rest(worker)):
                _log.error("worker_replaced", exit_status=worker.process.exitcode)
                worker.pipe.close()
                workers[number] = _start(job, first=False)


def _rest(worker: _Worker) -> float:
    return max(0.0, worker.started + REPLACE_SECONDS - time.monotonic())


def _stop(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + STOP_SECONDS + _LEEWAY_SECONDS
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


@contextmanager
def _signals() -> Iterator[Connection]:
    """A pipe that has something to read once we are asked to stop, so that one wait hears signals and workers."""
    reading, writing = multiprocessing.Pipe(duplex=False)
    before = {
        number: signal.signal(number, lambda _number, _frame: writing.send(None))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield reading
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        reading.close()
        writing.close()
