"""What attacks share: the route table as requests, what lies in the database, answers without what must differ."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec
from sqlalchemy import select

from doorward.app import front
from doorward.audit import AuditEvent
from doorward.audit.store import list_events
from doorward.config import Settings
from doorward.confirmations import Purpose
from doorward.kernel.caller import Caller
from doorward.kernel.ids import new_token
from doorward.ports import Database
from doorward.sql import Row, Statement, Work
from doorward.sql.tables import metadata
from doorward.users import contact_key
from doorward.web.routing import FORM, JSON, Operation
from tests.http.conftest import Visitor, World

NOBODY = "01890000-0000-7000-8000-000000000000"  # a well-formed id that nothing has
OPERATOR = Caller("operator")
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_PLACES = {"id": NOBODY, "token": "A" * 43, "code": "invalid", "client_id": "nobody"}


def with_every_operation(settings: Settings) -> Settings:
    """The same, with what has to be switched on."""
    factors = msgspec.structs.replace(settings.factors, sms=True, email=True, cool_off=True)
    signin = msgspec.structs.replace(settings.signin, email_link=True)
    return msgspec.structs.replace(settings, signin=signin, factors=factors)


def route_table(world: World) -> Sequence[Operation]:
    """Every operation of the running application."""
    return front(world.services).operations


def name_of(operation: Operation) -> str:
    """An operation as people say it."""
    return f"{operation.method} {operation.path}"


def path_of(operation: Operation, **places: str) -> str:
    """Its path with every place filled; by default with what leads nowhere."""
    return re.sub(r"\{(\w+)\}", lambda place: {**_PLACES, **places}[place[1]], operation.path)


async def call(visitor: Visitor, operation: Operation, path: str | None = None, **headers: str) -> httpx.Response:
    """The plainest request that the gate can read: an empty object, an empty form, or nothing."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    content, kind = {JSON: (b"{}", JSON), FORM: (b"", FORM)}.get(operation.reads or "", (b"", ""))
    if kind:
        headers["content-type"] = kind
    return await visitor.http.request(operation.method, path or path_of(operation), content=content, headers=headers)


async def make_admin(world: World, visitor: Visitor, uid: str) -> dict[str, Any]:
    """Sign up an administrator, signed in just now."""
    user = await visitor.sign_up(uid)
    await world.services.users.set_roles(user["id"], ["admin"], None, OPERATOR)
    assert (await visitor.sign_in(uid)).status_code == 201
    return user


async def live_token(world: World, purpose: Purpose, user_id: str | None = None) -> str:
    """The token of a link that works, with what the links of all purposes carry."""
    services, now = world.services, world.clock.now()
    target = f"{new_token()}@example.org".lower()
    payload = {"roles": [], "user_agent": "", "address": "", "path": "/account", "old": target, "new": target,
               "what": "new_device", "at": now, "device": "", "kind": ""}  # fmt: skip
    if purpose == "not_me" and user_id is not None:  # it counts while its address is theirs
        await services.db.write(lambda: services.users.prove(user_id, "email", target, OPERATOR, now))
    opened = await services.db.write(
        lambda: services.confirmations.begin(
            purpose, target, contact_key("email", target), now=now, user_id=user_id, payload=payload
        )
    )
    return opened.token


async def dump(db: Database) -> Mapping[str, list[Row]]:
    """Every row of every table."""
    return {table.name: sorted(await db.search(_rows(Statement(select(table)))), key=repr) for table in _tables()}


async def audited(world: World, event: str) -> list[AuditEvent]:
    """Audit rows of one kind, oldest first."""
    found = await world.services.db.search(list_events(limit=10_000))
    return [row for row in reversed(found) if row.event == event]


def shown(answer: httpx.Response, *own: str) -> tuple[int, list[tuple[str, str]], str]:
    """Status, headers and body of an answer, without the request's id and the words in `own`."""
    request_id = answer.headers["x-request-id"]
    headers = sorted((name, value) for name, value in answer.headers.multi_items() if name != "x-request-id")
    text = answer.text.replace(request_id, "REQUEST")
    for word in own:
        text = text.replace(word, "OWN")
    return answer.status_code, headers, text


def fields_of(answer: httpx.Response) -> set[str]:
    """The fields that a refusal names."""
    return {error["field"] for error in answer.json().get("errors", [])}


def _tables() -> Sequence[Any]:
    return metadata.sorted_tables


def _rows(statement: Statement) -> Work[list[Row]]:
    return list((yield statement()))
