"""What people have begun goes on when the sealing key is replaced under a running server."""

import re
import shutil
from pathlib import Path

import pytest

from doorward.adapters.sealing import open_sealer_of
from doorward.sealing import Begun, Forgotten, Rotated, SealingKeys
from tests.http.conftest import ORIGIN, PASSWORD, Inbox, World

ADDRESS = "ada@example.org"


async def rotate(world: World) -> None:
    """To the end: the old key is gone."""
    keys = world.services.sealing
    keys.late_seconds = 0
    before = world.services.sealer.key_id
    begun = await keys.begin(alone=True)
    assert isinstance(begun, Begun)
    assert isinstance(await keys.seal_anew(begun), Rotated)
    assert await keys.forget_old() == Forgotten([before])


@pytest.mark.asvs("6.3.1")
async def test_failures_stay_counted(world: World) -> None:
    await world.visitor().sign_up("ada")
    stranger = world.visitor("192.0.2.1")
    assert [(await stranger.sign_in("ada", "wrong")).status_code for _ in range(5)] == [401] * 5
    await rotate(world)
    assert (await stranger.sign_in("ada", PASSWORD)).status_code == 429


async def test_a_form_that_stands_open_can_be_sent_and_a_program_keeps_its_token(world: World) -> None:
    browser, program = world.visitor(), world.visitor()
    await browser.sign_up("ada")
    await program.sign_up("bob")
    page = (await browser.get("/account/profile")).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    await rotate(world)
    sent = await browser.http.post(
        "/account/profile",
        data={"csrf_token": token[1], "name": "Ada Lovelace"},
        headers={"origin": ORIGIN, "sec-fetch-site": "same-origin"},
    )
    assert sent.status_code == 303, sent.text
    assert (await program.send("PATCH", "/api/users/me", {"name": "Bob"})).status_code == 200


async def test_a_link_and_a_code_that_were_sent_before_still_confirm(mail_world: World, inbox: Inbox) -> None:
    by_code, by_link = mail_world.visitor(), mail_world.visitor()
    for visitor, address in ((by_code, ADDRESS), (by_link, "eve@example.org")):
        answer = await visitor.post("/api/users", {"email": address, "password": PASSWORD})
        assert answer.status_code == 202
    await rotate(mail_world)
    code = (await inbox.last(ADDRESS)).values["code"]
    token = (await inbox.last("eve@example.org")).values["path"].removeprefix("/verify/")
    assert (await by_code.post("/api/verifications", {"code": code})).status_code == 200
    assert (await by_link.post("/api/verifications", {"token": token})).status_code == 200


async def test_tokens_that_were_signed_before_are_believed_and_others_are_signed(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")

    async def jwt() -> dict[str, str]:
        answer = await world.visitor().post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD})
        return {"authorization": f"Bearer {answer.json()['data']['jwt']}"}

    before = await jwt()
    await rotate(world)
    await world.services.keys.refresh()
    for ticket in (before, await jwt()):
        assert (await world.visitor().get("/api/users/me", headers=ticket)).status_code == 200


async def test_a_server_that_lacks_the_key_is_not_ready(world: World, tmp_path: Path) -> None:
    ready = await world.visitor().get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (200, ["database", "sealing key"])
    services, ours, theirs = world.services, tmp_path / "data/sealing.key", tmp_path / "elsewhere.key"
    shutil.copy(ours, theirs)
    elsewhere = await open_sealer_of(services.db, theirs, {})
    await SealingKeys(services.db, elsewhere, elsewhere, services.audit).begin(alone=True)
    await services.sealing.follow()
    ready = await world.visitor().get("/readyz")
    assert (ready.status_code, ready.json()["detail"]) == (503, "Not ready: sealing key")
    assert (await world.visitor().get("/livez")).status_code == 200
    shutil.copy(theirs, ours)
    await services.sealing.follow()
    assert (await world.visitor().get("/readyz")).status_code == 200
