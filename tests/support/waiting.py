"""Waiting for what somebody else brings about: another thread, task or process."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 30.0
NOTHING = "it did not happen"


def wait_until(happened: Callable[[], object]) -> float:
    """Wait until what is asked again and again answers with something; the seconds it took."""
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < PATIENCE_SECONDS, NOTHING
        time.sleep(0.005)
    return time.monotonic() - started


async def until(happened: Callable[[], Any]) -> float:
    """The same for tasks. What is asked may have to be awaited."""
    started = time.monotonic()
    while True:
        found = happened()
        if await found if inspect.isawaitable(found) else found:
            return time.monotonic() - started
        assert time.monotonic() - started < PATIENCE_SECONDS, NOTHING
        await asyncio.sleep(0.01)
