"""Several processes on one database act as one: what one of them ended, none believes; what one counted, all count."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import func, select

from doorward.kernel.instant import SECOND
from doorward.sql import Statement, Work
from doorward.sql.tables import revocation
from tests.support.calling import PASSWORD, Answer, Caller
from tests.support.databases import open_database
from tests.support.farm import Farm, four_workers, two_nodes
from tests.support.measuring import MEASURED
from tests.support.postgres import PostgresServer
from tests.support.processes import descendants, is_alive
from tests.support.waiting import wait_until

CONFIG = """
[limits.sign-in]
per_address = "10000/15m"       # the limit of one account is what counts here
everybody = "10000/1m"

[limits.sign-up-free]
per_address = "10000/1h"

[limits.account]
first_delay = "10m"             # so that slow machines, too, see no second chance
"""
BELIEF_SECONDS = 1.0
KNOWN_SECONDS = 0.5  # until all of them have a session in memory
LOOK_SECONDS = 2.0  # how long it is watched after a change
PAUSE_SECONDS = 0.005
STOP_SECONDS = 10.0  # about one on a quiet machine

_LATEST = Statement(select(func.max(revocation.c.at)))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def farm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Four workers on an SQLite file, then two nodes on one PostgreSQL database."""
    place = tmp_path_factory.mktemp("farm")
    with farm_of(request, place) as farm:
        yield farm


@contextmanager
def farm_of(request: pytest.FixtureRequest, place: Path) -> Iterator[Farm]:
    config = place / "doorward.toml"
    config.write_text(CONFIG)
    if request.param == "sqlite":
        with four_workers(place, config) as farm:
            yield farm
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    postgres.create("farm")
    with two_nodes(place, config, postgres.url("farm")) as farm:
        yield farm
    postgres.drop("farm")


def authenticate(caller: Caller, uid: str) -> tuple[Answer, Mapping[str, str]]:
    """Sign up and in; the answer and a header with the token of the same session that the cookie stands for."""
    assert caller.sign_up(uid).status == 201
    answer = caller.ask("POST", "/api/users/authenticate", {"uid": uid, "password": PASSWORD})
    assert answer.status == 200
    return answer, {"authorization": f"Bearer {answer.json['data']['jwt']}"}


# what ended is believed by nobody


def sign_out(_farm: Farm, caller: Caller, _user: str, token: Mapping[str, str]) -> None:
    assert caller.ask("DELETE", "/api/sessions/current", headers=token).status == 204


def sign_out_everywhere(_farm: Farm, caller: Caller, _user: str, token: Mapping[str, str]) -> None:
    assert caller.ask("DELETE", "/api/sessions", headers=token).status == 204


def end_from_the_list(_farm: Farm, caller: Caller, _user: str, token: Mapping[str, str]) -> None:
    """In another session, as somebody does who does not know this one."""
    ended = caller.ask("GET", "/api/sessions/current", headers=token).json["id"]
    sent = {"identifier": "end-from-the-list", "password": PASSWORD, "transport": "bearer"}
    other = {"authorization": f"Bearer {caller.ask('POST', '/api/sessions', sent).json['token']}"}
    assert caller.ask("DELETE", f"/api/sessions/{ended}", headers=other).status == 204


def delete(_farm: Farm, caller: Caller, user: str, token: Mapping[str, str]) -> None:
    assert caller.ask("DELETE", f"/api/users/{user}", headers=token).status == 204


def disable(farm: Farm, _caller: Caller, user: str, _token: Mapping[str, str]) -> None:
    farm.command("user", "disable", user)


def change_roles(farm: Farm, _caller: Caller, user: str, _token: Mapping[str, str]) -> None:
    farm.command("user", "set-role", user, "support")


def last_believed(caller: Caller, tickets: Sequence[tuple[str, Mapping[str, str]]], over: Event) -> float:
    """Ask one process again and again until `over`; when the last question was asked that it said yes to.

    In seconds since the epoch. Not when the answer came: a busy machine may take its time to deliver it.
    """
    believed = 0.0
    statuses: dict[str, int] = {}
    while not over.is_set():
        for path, ticket in tickets:
            asked = time.time()
            statuses[path] = caller.ask("GET", path, headers=ticket).status
            if statuses[path] == 200:
                believed = asked
        time.sleep(PAUSE_SECONDS)
    assert believed, "it never believed, so this shows nothing"
    assert set(statuses.values()) == {401}
    return believed


def changed_at(farm: Farm) -> float:
    """When the newest revocation was made, in seconds since the epoch."""

    def latest() -> Work[int]:
        return int((yield _LATEST())[0][0])

    async def find() -> int:
        database = await open_database(farm.database)
        try:
            return await database.search(latest())
        finally:
            await database.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(find()) / SECOND


@pytest.mark.slow
@pytest.mark.asvs("7.4.1")
@pytest.mark.asvs("7.4.2")
@pytest.mark.parametrize("change", [sign_out, sign_out_everywhere, end_from_the_list, delete, disable, change_roles])
def test_every_process_refuses_what_has_ended_within_a_second(
    farm: Farm,
    change: Callable[[Farm, Caller, str, Mapping[str, str]], None],
    record_property: Callable[[str, object], None],
) -> None:
    with farm.callers() as callers:
        (_, first), *_ = callers
        answer, token = authenticate(first, change.__name__.replace("_", "-"))
        tickets = [("/api/sessions/current", answer.cookie), ("/api/users/me", token)]
        over = Event()
        with ThreadPoolExecutor(len(callers)) as pool, Caller(farm.ports[0]) as changer:
            asking = [pool.submit(last_believed, caller, tickets, over) for _, caller in callers]
            time.sleep(KNOWN_SECONDS)
            try:
                change(farm, changer, answer.json["data"]["user"]["id"], token)
                time.sleep(LOOK_SECONDS)
            finally:
                over.set()
    changed = changed_at(farm)
    lags = [future.result() - changed for future in asking]
    assert len(lags) == len(farm.processes()) == (4 if len(farm.servers) == 1 else 2)
    record_property(MEASURED, f"believed for {max(lags):.3f} s after the change, at most, by {len(lags)} processes")
    assert max(lags) < BELIEF_SECONDS


# what one counted, all count


@pytest.mark.slow
@pytest.mark.asvs("6.3.1")
def test_of_fifty_wrong_guesses_at_once_the_processes_look_at_five(farm: Farm) -> None:
    with farm.callers(50) as callers, ThreadPoolExecutor(len(callers)) as pool:
        processes, asking = zip(*callers, strict=True)
        assert asking[0].sign_up("guessed").status == 201
        guesses = [f"wrong guess number {number}" for number in range(len(asking))]
        answers = list(pool.map(lambda caller, guess: caller.sign_in("guessed", guess), asking, guesses))
        # The right password has to wait, too, wherever it is tried.
        assert {caller.sign_in("guessed").status for caller in asking} == {429}
    looked = Counter(process for process, answer in zip(processes, answers, strict=True) if answer.status == 401)
    sys.stdout.write(f"asked: {sorted(Counter(processes).values())}, looked: {sorted(looked.values())}\n")
    assert Counter(answer.status for answer in answers) == {401: 5, 429: 45}


@pytest.mark.slow
@pytest.mark.asvs("15.4.2")
def test_of_twenty_sign_ups_for_one_name_at_once_one_gets_it(farm: Farm) -> None:
    with farm.callers(20) as callers, ThreadPoolExecutor(len(callers)) as pool:
        answers = list(pool.map(lambda found: found[1].sign_up("wanted"), callers))
    assert Counter(answer.status for answer in answers) == {201: 1, 400: 19}
    refused = {answer.json["errors"][0]["code"] for answer in answers if answer.status == 400}
    assert refused == {"taken"}


# processes come and go


@pytest.fixture
def workers_of_our_own(tmp_path: Path) -> Iterator[Farm]:
    """Four workers to be ended."""
    config = tmp_path / "doorward.toml"
    config.write_text(CONFIG)
    with four_workers(tmp_path, config) as farm:
        yield farm


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_sigterm_leaves_no_process(workers_of_our_own: Farm) -> None:
    farm, server = workers_of_our_own, workers_of_our_own.servers[0]
    with farm.callers() as callers:
        killed, caller = callers[0]
        session = caller.sign_up("witness").cookie
        os.kill(killed, signal.SIGKILL)
        server.wait_for_log("worker_replaced")  # said before the new one is there
        wait_until(lambda: len(farm.processes() - {killed}) == 4)
    with farm.callers() as callers:  # waits for the new one
        assert len(callers) == 4
        assert killed not in dict(callers)
        for _, caller in callers:
            assert caller.ask("GET", "/api/sessions/current", headers=session).status == 200
        everybody = descendants(server.process.pid)
        started = time.monotonic()
        assert server.stop() == 0  # although connections are open
        while any(map(is_alive, everybody)):  # multiprocessing's own helper goes a moment after the supervisor
            assert time.monotonic() - started < STOP_SECONDS
            time.sleep(0.01)
        seconds = time.monotonic() - started
    sys.stdout.write(f"stopped in {seconds:.2f} s\n")
    assert seconds < STOP_SECONDS
    assert len(everybody) >= 4
