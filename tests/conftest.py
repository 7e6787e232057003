"""What every test may ask for, and the rules none may break: no network but the loopback, nothing skipped in CI."""

import os
import shutil
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase

from doorward.adapters.sealing import KeyFileSealer
from doorward.ports import Database, Sealer
from doorward.testing import MovableClock
from tests.support.databases import migrate, open_database
from tests.support.measuring import measurements
from tests.support.network import forbid_the_outside_world
from tests.support.postgres import PostgresServer, postgres_server

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

TEMPLATE = "template_doorward"
hypothesis.settings.register_profile("house", deadline=None)  # a busy machine is slow, and nothing is wrong
hypothesis.settings.load_profile("house")
STORIES = 15


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know `--rounds`, `--stories`, `--shrink` and `--every-case`."""
    parser.addoption("--rounds", type=int, default=12, help="how often durability tests kill the server (default: 12)")
    parser.addoption("--every-case", action="store_true", help="every case of a test on both databases; takes minutes")
    parser.addoption("--stories", type=int, default=STORIES, help="how many lives are lived (default: %(default)s)")
    parser.addoption("--shrink", action="store_true", help="make a story that fails short; takes minutes")


def pytest_configure() -> None:
    """Close the network before the first test is even imported."""
    forbid_the_outside_world()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Over HTTP every test runs on both databases, and of its further cases each on one, in turn.

    What differs between cases is what is sent; what differs between databases shows with any of them. The rooms' own
    tests run every case on both.
    """
    if config.getoption("--every-case") or any("[" in argument for argument in config.args):
        return
    cases: dict[str, dict[str, int]] = {}
    spared = []
    for item in items:
        chosen = getattr(item, "callspec", None)
        database = None if chosen is None else chosen.params.get("database_address")
        if database is None or item.path.parent.name not in {"attacks", "http"}:
            continue
        test, _, rest = item.nodeid.partition("[")
        known = cases.setdefault(test, {})
        number = known.setdefault(rest.replace(database, ""), len(known))
        if number and database == ("sqlite", "postgresql")[number % 2]:
            spared.append(item)
    if spared:
        config.hook.pytest_deselected(items=spared)
        items[:] = [item for item in items if item not in set(spared)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was measured."""
    found = sorted(measurements(terminalreporter))
    if found:
        terminalreporter.section("measured")
        for test, what in found:
            terminalreporter.write_line(f"{test}: {what}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Whatever a test needs must be installed in CI."""
    return _never_skipped_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for whole files."""
    return _never_skipped_in_ci((yield))


def _never_skipped_in_ci(report: Report) -> Report:
    # An expected failure is reported as skipped too, but it ran.
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"nothing may be skipped in CI: {report.longrepr}"
    return report


@pytest.fixture
def clock() -> MovableClock:
    """A clock that moves when it is told to."""
    return MovableClock()


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    """A sealer with a key of its own."""
    return KeyFileSealer.open_or_create(tmp_path / "sealing.key")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often a durability test kills the server."""
    asked: int = request.config.getoption("--rounds")
    return asked


@pytest.fixture
def stories(request: pytest.FixtureRequest) -> hypothesis.settings:
    """How long a state machine goes on. Shrinking takes longer than `faulthandler_timeout`, so it is asked for."""
    return hypothesis.settings(
        max_examples=request.config.getoption("--stories"),
        stateful_step_count=40,
        deadline=None,
        print_blob=True,
        phases=[phase for phase in Phase if phase is not Phase.shrink or request.config.getoption("--shrink")],
        suppress_health_check=[HealthCheck.too_slow],  # each step is several requests
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for this process, with a migrated database to copy."""
    with postgres_server() as server:
        server.create(TEMPLATE)
        migrate(server.url(TEMPLATE))
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(str(path))
    return path


@pytest.fixture
def sqlite_address(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite file of the test's own."""
    return str(shutil.copy(sqlite_template, tmp_path / "doorward.db"))


@pytest.fixture
def postgresql_address(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated PostgreSQL database of the test's own."""
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    postgres.create(name, TEMPLATE)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_address(request: pytest.FixtureRequest) -> str:
    """Both databases in turn: the test runs on each. Open it again (`open_database`) to play a second worker."""
    address: str = request.getfixturevalue(f"{request.param}_address")
    return address


@pytest.fixture
async def database(database_address: str) -> AsyncIterator[Database]:
    """A migrated database, open, on SQLite and on PostgreSQL in turn."""
    opened = await open_database(database_address)
    yield opened
    await opened.close()
