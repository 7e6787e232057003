"""The fitness example, started once for every test in here."""

from collections.abc import Iterator
from itertools import count

import pytest

from fitness.demo import Place
from tests.support.fitness import Member, add_user, demo

_numbers = count(1)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Doorward, the API and the front end, each on a port of its own."""
    with demo(tmp_path_factory.mktemp("demo")) as started:
        yield started


@pytest.fixture
def ada(place: Place) -> Iterator[Member]:
    """Somebody new, who is signed in."""
    member = Member(place, _newcomer(place, "ada"))
    yield member
    member.close()


@pytest.fixture
def bob(place: Place) -> Iterator[Member]:
    """Somebody else."""
    member = Member(place, _newcomer(place, "bob"))
    yield member
    member.close()


def _newcomer(place: Place, name: str) -> str:
    uid = f"{name}{next(_numbers)}"
    add_user(place, uid)
    return uid
