"""A sign-up that was answered stays, whatever happens to the server: shown by killing it and by watching the disk."""

import os
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest

from tests.support.calling import CUT_OFF, Answer, Caller
from tests.support.serving import Running, running
from tests.support.strace import COMMAND, unsynced_answers

CALLERS = 8
MANY = """
[signup]
identifier = "uid"

[limits.sign-up-free]
per_address = "100000/1m"
everybody = "100000/1m"

[limits.sign-up]
per_address = "100000/1m"
everybody = "100000/1m"
"""
SIGN_UPS = 20
REQUEST, ANSWER = r"\"POST /api/users", r"\"HTTP/1\.1 201"
WAIT_SECONDS = 30


@dataclass(frozen=True)
class Place:
    """Where the data are, and how a server is started on them."""

    data: Path
    config: Path
    environ: Mapping[str, str]

    def server(self) -> AbstractContextManager[Running]:
        """A server of its own process."""
        arguments = ("serve", "--port", "0", "--data", str(self.data), "--config", str(self.config))
        return running("doorward.cli", *arguments, environ={**os.environ, **self.environ})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Sign-ups without end."""
    path = tmp_path / "doorward.toml"
    path.write_text(MANY)
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path, config: Path) -> Place:
    """Each database in turn; only the server is killed, the database server lives on."""
    is_sqlite = request.param == "sqlite"
    environ = {} if is_sqlite else {"DOORWARD_DATABASE__URL": request.getfixturevalue("postgresql_address")}
    return Place(tmp_path / "data", config, environ)


# killed


@dataclass
class Crowd:
    """Callers who sign up one after the other until the server is gone."""

    name: str
    answered: dict[str, Answer] = field(default_factory=dict)
    cut_off: list[str] = field(default_factory=list)
    begun: Event = field(default_factory=Event)

    def sign_up_until_cut_off(self, port: int, number: int) -> None:
        uid, caller = "", Caller(port)
        try:
            for count in range(1_000_000):
                uid = f"{self.name}-{number}-{count}"
                self.answered[uid] = caller.sign_up(uid)
                self.begun.set()
        except CUT_OFF:
            self.cut_off.append(uid)
        finally:
            caller.close()

    def meet(self, server: Running, seconds: float) -> None:
        """Sign up in parallel, and kill the server that long after its first answer."""
        with ThreadPoolExecutor(CALLERS) as pool:
            for number in range(CALLERS):
                pool.submit(self.sign_up_until_cut_off, server.port, number)
            assert self.begun.wait(WAIT_SECONDS)
            time.sleep(seconds)
            assert server.stop(signal.SIGKILL) == -signal.SIGKILL

    def statuses(self) -> set[int]:
        return {answer.status for answer in self.answered.values()}


def signed_in_again(server: Running, uids: Sequence[str]) -> dict[str, int]:
    """What each is answered who signs in with the password."""

    def some(mine: Sequence[str]) -> dict[str, int]:
        with Caller(server.port) as caller:
            return {uid: caller.sign_in(uid).status for uid in mine}

    with ThreadPoolExecutor(2) as pool:
        return {uid: status for found in pool.map(some, (uids[::2], uids[1::2])) for uid, status in found.items()}


def still_signed_in(server: Running, answered: Mapping[str, Answer]) -> dict[str, int]:
    """What each is answered who still has the session that began with the sign-up."""
    with Caller(server.port) as caller:
        return {
            uid: caller.ask("GET", "/api/sessions/current", headers=answer.cookie).status
            for uid, answer in answered.items()
        }


@pytest.mark.slow
def test_a_killed_server_loses_no_sign_up_that_it_had_answered(place: Place, rounds: int) -> None:
    everybody: dict[str, Answer] = {}
    newest: list[str] = []
    cut_off = 0
    for number in range(rounds if not place.environ else max(3, rounds // 5)):
        with place.server() as server:
            assert signed_in_again(server, newest) == dict.fromkeys(newest, 201)
            crowd = Crowd(f"round{number}")
            crowd.meet(server, 0.05 + 0.05 * (number % 7))
        assert crowd.statuses() == {201}
        newest = list(crowd.answered)
        everybody |= crowd.answered
        cut_off += len(crowd.cut_off)
    with place.server() as server:
        assert signed_in_again(server, newest) == dict.fromkeys(newest, 201)
        assert still_signed_in(server, everybody) == dict.fromkeys(everybody, 200)
    assert cut_off, "it was never killed in the middle"
    sys.stdout.write(f"{len(everybody)} sign-ups answered, {cut_off} cut off\n")


# watched


def trace_sign_ups(module: str, *arguments: str, place: Path) -> list[str]:
    """The system calls of a server while it is asked for SIGN_UPS accounts, one after the other."""
    trace = place / "trace"
    # -D: the server is our child and strace its own, so that signals reach the server.
    with running(module, *arguments, under=(*COMMAND, "-D", "-o", str(trace))) as server:
        with Caller(server.port) as caller:
            assert [caller.sign_up(f"user{number}").status for number in range(SIGN_UPS)] == [201] * SIGN_UPS
        assert server.stop() == 0
    # `running` has waited until nobody held the server's outputs any more, so strace has written everything.
    lines = trace.read_text().splitlines()
    for what in (REQUEST, ANSWER):
        assert sum(bool(re.search(what, line)) for line in lines) == SIGN_UPS
    return lines


@pytest.mark.slow
def test_the_log_is_synced_between_reading_a_sign_up_and_answering_it(tmp_path: Path, config: Path) -> None:
    arguments = ("serve", "--port", "0", "--data", str(tmp_path / "data"), "--config", str(config))
    trace = trace_sign_ups("doorward.cli", *arguments, place=tmp_path)
    assert unsynced_answers(trace, tmp_path / "data/doorward.db", ANSWER, REQUEST) == []


@pytest.mark.slow
def test_the_trace_of_a_server_that_does_not_sync_shows_it(tmp_path: Path, config: Path) -> None:
    trace = trace_sign_ups("tests.support.unsynced", str(tmp_path / "data"), str(config), place=tmp_path)
    assert len(unsynced_answers(trace, tmp_path / "data/doorward.db", ANSWER, REQUEST)) == SIGN_UPS
