"""The same request sent twice is carried out once (draft-ietf-httpapi-idempotency-key-header).

Who sends a key has the answer kept, sealed, for a day. What was refused is not kept: nothing was done, so it may be
tried again. An answer that was never written down (the process died, or the disk was full at that moment) is not
guessed: the key is refused from then on, because to carry the request out anew could do it twice.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import bindparam as p
from sqlalchemy import delete, select, update
from starlette.responses import Response

from doorward.kernel.caller import Caller
from doorward.kernel.errors import Conflict, KeyUsedOtherwise, Malformed, Problem, Unavailable
from doorward.kernel.instant import DAY, Instant
from doorward.kernel.msgid import msgid
from doorward.ports import Admission, Clock, Database, Sealer
from doorward.sql import PURGE_AT_ONCE, Statement, Work, insert, purge, purpose_of
from doorward.sql.tables import idempotency
from doorward.web.routing import SignedIn

HEADER: Final = "idempotency-key"
REPLAYED: Final = "idempotent-replayed"
KEEP: Final = DAY
LIMIT: Final = "idempotency"  # the table of limits.toml
LONGEST_ANSWER: Final = 256 * 1024
_KEY = re.compile(r'"([!#-\[\]-~]{1,200})"|([!#-\[\]-~]{1,200})')  # a string of RFC 8941, or the same without quotes
_WRONG_KEY = msgid("Idempotency-Key takes 1 to 200 visible ASCII characters")
_UNDER_WAY = msgid(
    "The same request is under way, or it is not known what became of it: look, before you send a new key"
)
_OURS: Final = frozenset({"content-length", "set-cookie"})
_log = structlog.get_logger("doorward.web")
Admit = Callable[[str, Caller, Mapping[str, str]], Awaitable[Admission]]  # (action, who, subjects); raises RateLimited

_INSERT = Statement(
    insert(idempotency)
    .values({column.name: p(column.name) for column in idempotency.columns})
    .on_conflict_do_nothing()
    .returning(idempotency.c.id)
)
_FIND = Statement(
    select(idempotency.c.request_digest, idempotency.c.answer_sealed).where(idempotency.c.id == p("row_id"))
)
_KEEP_ANSWER = Statement(update(idempotency).where(idempotency.c.id == p("row_id")).values(answer_sealed=p("answer")))
_DELETE = Statement(delete(idempotency).where(idempotency.c.id == p("row_id")))
_DELETE_OLD = Statement(
    delete(idempotency).where(idempotency.c.id == p("row_id"), idempotency.c.expires_at <= p("now"))
)
_PURGE = purge(idempotency.c.id, idempotency.c.expires_at <= p("now"))


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Keeps answers. Of keys, of who sent them and of requests it holds MACs only."""

    db: Database
    clock: Clock
    sealer: Sealer
    admit: Admit

    async def once(
        self, who: SignedIn, caller: Caller, given: str, request: bytes, carry_out: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Carry a request out, or give the answer that it had. `given`: the header.

        Raises Malformed (no such key is possible), KeyUsedOtherwise, Conflict (under way), RateLimited, and what
        `carry_out` raises.
        """
        found = _KEY.fullmatch(given.strip())
        if found is None:
            raise Malformed(_WRONG_KEY, reason="Idempotency-Key")
        if who.transport != "key":  # an API key has a figure of its own, and its owner answers for it
            async with await self.admit(LIMIT, caller, {"account": who.user_id}):
                pass
        row_id = self.sealer.mac(f"{who.id}\0{found[1] or found[2]}".encode(), "idempotency_key").hex()
        digest = self.sealer.mac(request, "idempotency_request")
        if (earlier := await self._begin(row_id, digest)) is not None:
            return earlier
        try:
            response = await carry_out()
        except Problem:
            with suppress(Unavailable):  # then it stays refused until it is forgotten
                await self.db.write(lambda: _run(_DELETE, row_id))
            raise
        await self._keep(row_id, response)
        return response

    async def purge(self) -> None:
        """Forget what is over."""
        now = self.clock.now()
        while await self.db.write(lambda: _purge(now)) == PURGE_AT_ONCE:
            pass

    async def _begin(self, row_id: str, digest: bytes) -> Response | None:
        now = self.clock.now()
        found = await self.db.write(lambda: _reserve(row_id, digest, now))
        if found is None:
            return None
        kept_digest, sealed = found
        if kept_digest != digest:
            raise KeyUsedOtherwise
        if sealed is None:
            raise Conflict(_UNDER_WAY, reason="idempotency key in use")
        return _decode(self.sealer.open(sealed, purpose_of("idempotency", row_id)))

    async def _keep(self, row_id: str, response: Response) -> None:
        encoded = _encode(response)
        if len(encoded) > LONGEST_ANSWER:
            _log.warning("answer_not_kept", reason="too long")
            return
        sealed = self.sealer.seal(encoded, purpose_of("idempotency", row_id))
        try:
            await self.db.write(lambda: _run(_KEEP_ANSWER, row_id, answer=sealed))
        except Unavailable as problem:  # it was carried out, so its sender hears so
            _log.warning("answer_not_kept", reason=problem.reason)


def _reserve(row_id: str, digest: bytes, now: Instant) -> Work[tuple[bytes, bytes | None] | None]:
    """Take a key; what is kept under it when somebody has taken it before."""
    yield _DELETE_OLD(row_id=row_id, now=now)
    taken = yield _INSERT(id=row_id, request_digest=digest, answer_sealed=None, created_at=now, expires_at=now + KEEP)
    if taken:
        return None
    rows = yield _FIND(row_id=row_id)
    # It was there a moment ago; if its request was refused meanwhile, the sender may try again.
    return (bytes(rows[0][0]), None if rows[0][1] is None else bytes(rows[0][1])) if rows else (digest, None)


def _run(statement: Statement, row_id: str, **values: bytes) -> Work[None]:
    yield statement(row_id=row_id, **values)


def _purge(now: Instant) -> Work[int]:
    return len((yield _PURGE(now=now)))


def _encode(response: Response) -> bytes:
    headers = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in response.raw_headers
        if name.decode("latin-1") not in _OURS
    ]
    body = b64encode(bytes(response.body)).decode()
    return json.dumps({"status": response.status_code, "headers": headers, "body": body}).encode()


def _decode(encoded: bytes) -> Response:
    kept = json.loads(encoded)
    return Response(b64decode(kept["body"]), kept["status"], {**dict(kept["headers"]), REPLAYED: "true"})
