"""Work that needs other servers, written once for threads and for tasks.

A flow is a generator: it yields what it needs and is sent what came of it. Who drives it decides how to wait.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the issuer. Answered with an Answer; where none comes, Unavailable is thrown into the flow."""

    method: str
    url: str
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Exclusive:
    """A flow to run while nobody else in this process runs one of the same name. Answered with what it returns."""

    name: str
    flow: Callable[[], "Flow[Any]"]


Step: TypeAlias = Call | Exclusive
Flow: TypeAlias = Generator[Step, Any, T]


def done(value: T) -> Flow[T]:
    """Return a value without asking anybody."""
    return value
    yield  # type: ignore[unreachable]  # what makes this a flow
