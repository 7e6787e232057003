"""Tries that have begun and not ended, so that one refused only because of them can wait for their outcome."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from doorward.kernel.errors import Problem, Unavailable

T = TypeVar("T")

MAX_WAITING = 256  # in one line; more are sent away, so that a flood cannot pile up here


class Full(Exception):  # noqa: N818  not an error yet: waiting may help
    """There is no place under `key` now. `refusal` is what to answer when nothing under way could free one."""

    def __init__(self, key: Hashable, refusal: Problem) -> None:
        self.key = key
        self.refusal = refusal
        super().__init__()


@dataclass(slots=True)
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class UnderWay:
    """Counts tries under way by key, within one event loop."""

    def __init__(self) -> None:
        self._counts: Counter[Hashable] = Counter()
        self._ended: dict[Hashable, asyncio.Event] = {}
        self._lines: dict[Hashable, _Line] = {}

    def count(self, key: Hashable) -> int:
        """How many are under way."""
        return self._counts[key]

    def begin(self, key: Hashable) -> None:
        """A try begins."""
        self._counts[key] += 1

    def end(self, key: Hashable) -> None:
        """A try ends, and the first in line may look again."""
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]
        ended = self._ended.pop(key, None)
        if ended is not None:
            ended.set()

    async def enter(self, line: Hashable, begin: Callable[[], Awaitable[T]]) -> T:
        """Call `begin` until it finds a place, one caller of a `line` at a time, in the order they came.

        `begin` raises Full when there is no place, else it calls `self.begin`. Raises the refusal it named as soon as
        nothing is under way there, and Unavailable when too many wait already.
        """
        async with self._head_of(line):
            while True:
                try:
                    return await begin()
                except Full as full:
                    if not self._counts[full.key]:
                        raise full.refusal from None
                    await self._ended.setdefault(full.key, asyncio.Event()).wait()

    @asynccontextmanager
    async def _head_of(self, name: Hashable) -> AsyncIterator[None]:
        line = self._lines.setdefault(name, _Line())
        if line.waiting >= MAX_WAITING:
            raise Unavailable(retry_after_seconds=2, reason="too many tries wait")
        line.waiting += 1
        try:
            async with line.lock:
                yield
        finally:
            line.waiting -= 1
            if not line.waiting:
                del self._lines[name]
