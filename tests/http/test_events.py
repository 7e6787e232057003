"""Which events come about, who reads them, and that they reach an app over the network."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doorward.app import webhook_client
from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.instant import DAY, SECOND
from doorward.ports.outbound import OutboundRefused
from doorward.testing import MovableClock
from doorward.users.sources import Record
from tests.http.conftest import PASSWORD, Inbox, Visitor, World, running
from tests.support.attack import OPERATOR, make_admin
from tests.support.elsewhere import elsewhere
from tests.support.members import member

EVENTS = "/api/events"


async def happened(world: World) -> list[dict[str, Any]]:
    """Every event, as an app hears it."""
    return [event.payload() for event in await world.services.events.page(0, 1_000)]


async def told(world: World, user_id: str) -> list[tuple[str, Any]]:
    """Type and what else is said, of one user."""
    found = [event for event in await happened(world) if event["data"]["id"] == user_id]
    return [(event["type"], {name: value for name, value in event["data"].items() if name != "id"}) for event in found]


async def test_a_whole_life_is_told_without_a_word_that_is_personal(world: World) -> None:
    ada, user_id = await member(world, "ada", "ada@example.org")
    await ada.send("PATCH", "/api/users/me", {"name": "Ada Lovelace", "motto": "on"})
    await ada.send("PATCH", "/api/users/me", {"name": "Ada Lovelace"})
    session = (await ada.get("/api/sessions/current")).json()["id"]
    await ada.send("DELETE", "/api/sessions/current")
    await ada.sign_in("ada")
    second = (await ada.get("/api/sessions/current")).json()["id"]
    assert (await ada.send("DELETE", "/api/users/me", {"password": PASSWORD})).status_code == 204
    world.clock.advance(14 * DAY / SECOND)
    assert await world.services.leaving.erase_due() == 1
    assert await told(world, user_id) == [
        ("user.created", {}),
        ("user.updated", {"changed": ["email"]}),
        ("user.updated", {"changed": ["name", "motto"]}),
        ("session.ended", {"session_id": session}),
        ("session.ended", {"session_id": second}),
        ("user.updated", {"changed": ["status"], "status": "leaving"}),
        ("user.deleted", {}),
    ]
    text = json.dumps(await happened(world))
    assert not [word for word in ("ada@example.org", "Lovelace", '"ada"', "127.0.0.1") if word in text]


async def test_an_administrators_acts_are_told_too(world: World) -> None:
    ada = world.visitor()
    user = await ada.sign_up("ada")
    users = world.services.users
    await users.set_status(user["id"], "disabled", None, OPERATOR)
    await users.set_roles(user["id"], ["auditor"], None, OPERATOR)
    await users.delete(user["id"], None, OPERATOR)
    kinds = [kind for kind, _ in await told(world, user["id"])]
    assert kinds == ["user.created", "user.updated", "session.ended", "user.updated", "user.deleted"]
    assert (await told(world, user["id"]))[1][1] == {"changed": ["status"], "status": "disabled"}


async def test_an_event_is_there_only_if_its_cause_is(world: World) -> None:
    ada, eve = world.visitor(), world.visitor()
    user = await ada.sign_up("ada")
    await eve.sign_up("eve")
    before = await happened(world)
    await eve.send("PATCH", f"/api/users/{user['id']}", {"name": "Mallory"})
    await ada.send("PATCH", "/api/users/me", {"name": "x"})
    await world.visitor().post("/api/users", {"uid": "ada", "name": "Ada", "password": PASSWORD})
    assert await happened(world) == before


async def test_a_program_reads_on_from_its_cursor(world: World) -> None:
    chief = world.visitor()
    await make_admin(world, chief, "chief")
    made = (await chief.post("/api/users/me/keys", {"name": "App", "scopes": ["events:read"]})).json()
    program = world.visitor(**{"x-api-key": made["secret"]})
    first = (await program.get(EVENTS, params={"limit": 1})).json()
    assert [event["type"] for event in first["data"]] == ["user.created"]
    assert first["data"][0]["cursor"] == first["next_cursor"]
    rest = (await program.get(EVENTS, params={"after": first["next_cursor"]})).json()
    assert rest["data"]
    end = (await program.get(EVENTS, params={"after": rest["next_cursor"]})).json()
    assert end == {"data": [], "next_cursor": rest["next_cursor"]}
    await world.visitor().sign_up("ada")
    assert [e["type"] for e in (await program.get(EVENTS, params={"after": end["next_cursor"]})).json()["data"]] == [
        "user.created"
    ]
    assert (await chief.get(EVENTS)).json()["data"][0] == first["data"][0]


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "after=" + "9" * 19, "limit=0", "limit=1001", "after=&limit="]
)
async def test_a_query_that_cannot_be_read_is_refused(world: World, query: str) -> None:
    chief = world.visitor()
    await make_admin(world, chief, "chief")
    answer = await chief.get(f"{EVENTS}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


@pytest.mark.asvs("8.2.1")
async def test_nobody_else_reads_events(world: World) -> None:
    ada, chief = world.visitor(), world.visitor()
    await ada.sign_up("ada")
    assert (await ada.get(EVENTS)).status_code == 403
    assert (await world.visitor().get(EVENTS)).status_code == 401
    await make_admin(world, chief, "chief")
    made = (await chief.post("/api/users/me/keys", {"name": "App", "scopes": ["users:read", "users:write"]})).json()
    assert (await world.visitor().get(EVENTS, headers={"x-api-key": made["secret"]})).status_code == 403


async def test_who_was_imported_is_named_by_the_id_of_before(world: World) -> None:
    digest = await world.services.hasher.hash(PASSWORD)
    record = Record("old:7", {"uid": "grace", "name": "Grace"}, digest)
    totals = await world.services.importer.import_users(iter([record]), print)
    assert totals.imported == 1
    (event,) = await happened(world)
    assert (event["type"], event["data"]["legacy_id"]) == ("user.created", "old:7")
    await world.services.users.delete(event["data"]["id"], None, OPERATOR)
    assert (await happened(world))[-1]["data"] == event["data"]


async def test_an_app_hears_of_it_over_the_network(tmp_path: Path, settings: Settings) -> None:
    own = msgspec.structs.replace(settings.webhooks, allow_private_networks=True)
    settings = msgspec.structs.replace(settings, webhooks=own)
    async with elsewhere(None) as app, running(settings, DataDir.open(tmp_path / "d"), MovableClock()) as world:
        await world.services.webhooks.add(f"{app.url}/hooks?x=1", ["user.created"], LOCAL_OPERATOR)
        visitor: Visitor = world.visitor()
        user = await visitor.sign_up("ada")
        async with asyncio.timeout(10):
            while not app.seen:
                await world.services.sender.drain()
        (seen,) = app.seen
        assert (seen.method, seen.target) == ("POST", "/hooks?x=1")
        assert json.loads(seen.body)["data"] == {"id": user["id"]}
        assert seen.headers["webhook-signature"].startswith("v1,")


@pytest.mark.asvs("13.2.4")
@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://10.0.0.1/", "https://[::1]/",
            "http://app.example.org/", "https://localhost/", "https://2130706433/"]
)  # fmt: skip
async def test_no_endpoint_leads_inside(settings: Settings, url: str) -> None:
    with pytest.raises(OutboundRefused):
        await webhook_client(settings).request("POST", url, {}, b"{}")


async def test_the_inbox_is_not_needed(mail_world: World) -> None:
    """A newcomer by e-mail is told of once they are there, not when they ask."""
    visitor = mail_world.visitor()
    await visitor.post("/api/users", {"email": "ada@example.org", "password": PASSWORD})
    assert await happened(mail_world) == []
    code = (await Inbox(mail_world).last("ada@example.org")).values["code"]
    assert (await visitor.post("/api/verifications", {"code": code})).status_code == 200
    assert [event["type"] for event in await happened(mail_world)] == ["user.created", "user.updated"]
