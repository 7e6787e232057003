"""Lets time pass for somebody whose server runs in a process of its own, where no clock can be moved.

What stands of them in its SQLite file becomes older instead, and its caches are told as by another process.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from doorward.kernel.instant import SECOND

STALE = 11 * 60  # seconds after which a proof is not fresh any more (C26)
WAIT_SECONDS = 10
_AGED = (
    "UPDATE session SET auth_time = auth_time - :by, created_at = created_at - :by WHERE user_id = :user",
    "UPDATE users SET created_at = created_at - :by WHERE id = :user",
    "INSERT INTO revocation (kind, id, at) VALUES ('user', :user, :now)",
)


def let_pass(page: Page, data: Path, seconds: int = STALE) -> None:
    """So many seconds since whoever is signed in here signed in, and signed up."""
    before = _session(page)
    _write(data, _AGED, {"by": seconds * SECOND, "user": before["user"]["id"], "now": time.time_ns() // 1000})
    _until(lambda: bool(_session(page)["auth_time"] <= before["auth_time"] - seconds))


def let_code_change(data: Path) -> None:
    """Every authenticator app may be asked again: as if half a minute had passed since the last code."""
    _write(data, ["UPDATE authenticator SET state = '{\"step\": null}' WHERE kind = 'totp'"], {})


def _session(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.request.get("/api/sessions/current").json()
    return found


def _write(data: Path, statements: Sequence[str], values: dict[str, Any]) -> None:
    with closing(sqlite3.connect(data / "doorward.db", timeout=WAIT_SECONDS)) as db, db:
        for statement in statements:
            db.execute(statement, values)


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
