"""What is done again and again in the background."""

import asyncio
import io

import pytest
from sqlalchemy import func, insert, select

from doorward import log
from doorward.app import repeat
from doorward.kernel.errors import Unavailable
from doorward.ports import Database
from doorward.sessions import store
from doorward.sql import PURGE_AT_ONCE, Statement, Work
from doorward.sql.tables import revocation, session, users
from doorward.testing import MovableClock
from tests.support.logs import restored_logging

MANY = 2 * PURGE_AT_ONCE + 1


@pytest.mark.parametrize("failure", [LookupError(), Unavailable(retry_after_seconds=1, reason="down")])
async def test_a_chore_that_fails_is_logged_and_done_again(failure: Exception) -> None:
    done = asyncio.Event()
    failures = [failure]

    async def chore() -> None:
        if failures:
            raise failures.pop()
        done.set()

    with restored_logging():
        log.configure(form="json", stream=(lines := io.StringIO()))
        task = asyncio.create_task(repeat(0, "sweep", chore))
        async with asyncio.timeout(5):
            await done.wait()
        task.cancel()
        assert lines.getvalue().count('"chore_failed"') == 1


async def test_what_has_expired_is_forgotten_some_at_a_time(database: Database, clock: MovableClock) -> None:
    now = clock.now()
    user = {
        "id": "u1", "uid": "ada", "uid_key": "ada", "name": "Ada", "status": "active", "roles": "[]", "fields": "{}",
        "version": 1, "created_at": 0, "updated_at": 0,
    }  # fmt: skip
    columns = {"user_id": "u1", "transport": "cookie", "amr": "[]", "aal": 1, "address": "", "user_agent": ""}
    times = dict.fromkeys(("auth_time", "created_at", "last_seen_at", "expires_at"), 0)

    def work() -> Work[None]:
        yield Statement(insert(users).values(user))()
        rows = [{"id": f"s{n}", "token_digest": b"%d" % n, **columns, **times} for n in range(MANY)]
        for start in range(0, MANY, 500):
            yield Statement(insert(session).values(rows[start : start + 500]))()
        yield Statement(insert(revocation).values([{"kind": "user", "id": "u1", "at": 0} for _ in range(MANY)]))()

    await database.write(work)
    for delete, table in ((store.delete_expired, session), (store.delete_old_revocations, revocation)):
        removed: list[int] = []
        while not removed or removed[-1]:
            removed.append(await database.write(lambda delete=delete: delete(now)))  # type: ignore[misc]  # mypy's gap
        assert removed == [PURGE_AT_ONCE, PURGE_AT_ONCE, 1, 0]
        ((left,),) = await database.read(_count(table))
        assert left == 0


def _count(table: object) -> Work[list[tuple[int, ...]]]:
    return list((yield Statement(select(func.count()).select_from(table))()))  # type: ignore[arg-type]  # any table
