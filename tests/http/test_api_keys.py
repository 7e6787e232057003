"""API keys: made, used, replaced, ended; over JSON and on the page (C48, UX-56)."""

import io
import json
import re
import zipfile
from typing import Any

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.sql.tables import api_key_secret
from tests.http.conftest import Inbox, Visitor, World
from tests.support.apps import register
from tests.support.attack import OPERATOR, audited, dump, make_admin
from tests.support.members import STALE, member

KEYS = "/api/users/me/keys"
ME = "/api/users/me"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    own = msgspec.structs.replace(settings.apikeys, scopes={"orders:read": "Read your orders"})
    return msgspec.structs.replace(settings, apikeys=own)


async def make(visitor: Visitor, *scopes: str, **body: Any) -> dict[str, Any]:
    """Make a key over JSON."""
    answer = await visitor.post(KEYS, {"name": "Report", "scopes": list(scopes or ("profile:read",)), **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def use(
    world: World, key: dict[str, Any], method: str = "GET", path: str = ME, body: Any = None
) -> httpx.Response:
    """Use a key from a program of its own."""
    return await world.visitor().send(method, path, body, headers={"authorization": f"Bearer {key['secret']}"})


@pytest.mark.asvs("13.3.4")
async def test_a_key_is_made_shown_once_and_opens_what_its_scopes_say(world: World, visitor: Visitor) -> None:
    user = await visitor.sign_up("ada")
    key = await make(visitor, "profile:read")
    assert re.fullmatch(r"dw_[0-9A-Za-z]{49}", key["secret"])
    assert key["secret"].startswith(key["hint"])
    for headers in ({"authorization": f"Bearer {key['secret']}"}, {"x-api-key": key["secret"]}):
        answer = await world.visitor().get(ME, headers=headers)
        assert (answer.status_code, answer.json()["id"]) == (200, user["id"])
    listed = (await visitor.get(KEYS)).json()
    assert key["secret"] not in json.dumps(listed)
    assert [row["id"] for row in listed["data"]] == [key["id"]]
    assert "orders:read" in {scope["name"] for scope in listed["scopes"]}
    assert "users:write" not in {scope["name"] for scope in listed["scopes"]}, "that one is for administrators"
    rows = (await dump(world.services.db))["api_key_secret"]
    assert key["secret"].encode() not in repr(rows).encode()
    assert {column.name for column in api_key_secret.columns} == {"secret_digest", "key_id", "created_at", "expires_at"}


@pytest.mark.asvs("8.2.1")
async def test_a_key_without_the_scope_is_told_which_it_needs(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    answer = await use(world, await make(visitor, "profile:read"), path="/api/users")
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert answer.json()["scopes"] == ["users:read"]
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="users:read"'


async def test_everything_wrong_with_what_is_asked_is_said_at_once(visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    wrong: dict[str, Any] = {
        "name": " ",
        "scopes": ["nothing"],
        "days": 366,
        "networks": ["x"],
        "per_minute": 0,
        "x": 1,
    }
    answer = await visitor.post(KEYS, wrong)
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == set(wrong)
    for networks in (["0.0.0.0/0"], ["::/0"], ["10.0.0.1/8"], ["192.0.2.0/24"] * 21, "10.0.0.0/8"):
        answer = await visitor.post(KEYS, {"name": "x", "scopes": ["profile:read"], "networks": networks})
        assert [error["field"] for error in answer.json()["errors"]] == ["networks"]
    assert (await visitor.get(KEYS)).json()["data"] == []


@pytest.mark.asvs("6.4.5")
async def test_a_key_ends_by_itself_after_a_reminder(world: World) -> None:
    visitor, _ = await member(world, "ada", "ada@example.org")
    key, short = await make(visitor), await make(visitor, days=7)
    world.clock.advance(82 * 86_400)
    assert await world.services.api_keys.remind() == 0
    world.clock.advance(2 * 86_400)
    assert [await world.services.api_keys.remind() for _ in range(2)] == [1, 0], "once"
    sent = await Inbox(world).last("ada@example.org")
    assert (sent.template, sent.values["label"]) == ("api_key_expires", "Report")
    assert (await use(world, key)).status_code == 200
    assert (await use(world, short)).status_code == 401
    world.clock.advance(6 * 86_400)
    assert (await use(world, key)).status_code == 401
    world.clock.advance(40 * 86_400)
    await world.services.api_keys.purge()
    assert (await dump(world.services.db))["api_key"] == []


async def test_both_secrets_work_while_a_key_is_replaced(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    first = await make(visitor)
    path = f"{KEYS}/{first['id']}/rotate"
    world.clock.advance(60)
    second = (await visitor.post(path, {"overlap_hours": 1, "days": 30})).json()
    assert [(await use(world, key)).status_code for key in (first, second)] == [200, 200]
    assert second["hint"] != first["hint"]
    world.clock.advance(3_600)
    assert [(await use(world, key)).status_code for key in (first, second)] == [401, 200]
    await visitor.sign_in("ada")
    third = (await visitor.post(path, {})).json()
    fourth = (await visitor.post(path, {})).json()
    assert [(await use(world, key)).status_code for key in (second, third, fourth)] == [401, 200, 200], "two at most"
    fifth = (await visitor.post(path, {"overlap_hours": 0})).json()
    assert [(await use(world, key)).status_code for key in (fourth, fifth)] == [401, 200]


async def test_replacing_a_key_that_is_over_brings_its_old_secret_not_back(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    old = await make(visitor, days=1)
    world.clock.advance(2 * 86_400)
    await visitor.sign_in("ada")
    new = (await visitor.post(f"{KEYS}/{old['id']}/rotate", {"overlap_hours": 24})).json()
    assert [(await use(world, key)).status_code for key in (old, new)] == [401, 200]


async def test_its_last_use_is_kept_to_the_minute(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    key = await make(visitor)
    for seconds, address in ((0, "192.0.2.1"), (59, "192.0.2.2"), (1, "192.0.2.3")):
        world.clock.advance(seconds)
        program = world.visitor(address)
        assert (await program.get(ME, headers={"x-api-key": key["secret"]})).status_code == 200
        (row,) = (await visitor.get(KEYS)).json()["data"]
        assert row["last_address"] == ("192.0.2.3" if seconds == 1 else "192.0.2.1")


@pytest.mark.asvs("8.2.1")
async def test_a_key_works_only_from_its_networks(world: World, visitor: Visitor) -> None:
    user = await visitor.sign_up("ada")
    key = await make(visitor, networks=["192.0.2.0/24", "2001:db8::/32"])
    for address, status in (
        ("192.0.2.200", 200), ("::ffff:192.0.2.3", 200), ("2001:db8::1", 200), ("192.0.3.1", 401), ("2001:db9::1", 401),
    ):  # fmt: skip
        answer = await world.visitor(address).get(ME, headers={"x-api-key": key["secret"]})
        assert answer.status_code == status, address
    refused = await audited(world, "authn_login_fail")
    assert refused[-1].user_id == user["id"]
    assert "from another network" in (refused[-1].payload or "")


@pytest.mark.asvs("2.4.1")
async def test_a_key_has_its_own_number_of_requests_a_minute(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    few, many = await make(visitor, per_minute=3), await make(visitor)
    assert [(await use(world, few)).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert (await use(world, many)).status_code == 200
    world.clock.advance(20)
    assert [(await use(world, few)).status_code for _ in range(2)] == [200, 429]
    answer = await visitor.post(KEYS, {"name": "x", "scopes": ["profile:read"], "per_minute": 601})
    assert answer.status_code == 400


async def test_there_are_twenty_keys_at_most(visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    for _ in range(20):
        await make(visitor)
    assert (await visitor.post(KEYS, {"name": "x", "scopes": ["profile:read"]})).status_code == 409


@pytest.mark.asvs("6.3.7")
async def test_the_owner_is_told_and_says_not_me(world: World) -> None:
    visitor, _ = await member(world, "ada", "ada@example.org")
    older = await make(visitor)
    world.clock.advance(60)
    key = await make(visitor)
    world.clock.advance(1)  # ids alone put messages in order
    await visitor.post(f"{KEYS}/{key['id']}/rotate", {})
    sent = [one for one in await Inbox(world).messages("ada@example.org") if one.template.startswith("api_key")]
    assert [one.template for one in sent] == ["api_key_created", "api_key_created", "api_key_rotated"]
    stranger = world.visitor()
    page = await stranger.get(str(sent[1].values["path"]))
    assert "API key" in page.text
    assert (await stranger.submit(str(sent[1].values["path"]), {})).status_code == 303
    assert [(await use(world, one)).status_code for one in (older, key)] == [401, 401]


async def test_an_app_writes_its_fields_of_anybody_with_an_administrators_key(world: World, visitor: Visitor) -> None:
    user = await visitor.sign_up("ada")
    chief = world.visitor()
    boss = await make_admin(world, chief, "chief")
    key = await make(chief, "users:write")
    path = f"/api/users/{user['id']}"
    answer = await use(world, key, "PATCH", path, {"coins": 5, "motto": "on"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["coins"] == 5
    assert "email" not in answer.json(), "a key that may write is not thereby shown everything"
    refused = await use(world, key, "PATCH", path, {"name": "Mallory", "uid": "mallory"})
    assert {error["field"] for error in refused.json()["errors"]} == {"name", "uid"}
    own = await make(chief, "profile:write")
    assert (await use(world, own, "PATCH", path, {"motto": "off"})).status_code == 403
    assert (await use(world, own, "PATCH", f"/api/users/{boss['id']}", {"name": "Boss"})).status_code == 200
    assert (await use(world, own, "PATCH", f"/api/users/{boss['id']}", {"coins": 5})).status_code == 400
    assert (await use(world, key, "PATCH", f"/api/users/{boss['id']}", {"coins": 5})).status_code == 200


async def test_the_page_makes_replaces_and_deletes(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    page = await visitor.submit("/account/keys", {"days": "90"})
    assert page.status_code == 400
    assert "Give the key a name" in page.text
    form = {
        "name": "Nightly <report>",
        "days": "30",
        "scope-profile:read": "true",
        "networks": "127.0.0.1, 192.0.2.0/24",
    }
    made = await visitor.submit("/account/keys", form)
    assert made.status_code == 200
    secret = re.findall(r"dw_[0-9A-Za-z]{49}", made.text)
    assert len(secret) == 1
    assert made.headers["cache-control"] == "no-store"
    (row,) = (await visitor.get(KEYS)).json()["data"]
    assert (row["scopes"], row["networks"]) == (["profile:read"], ["127.0.0.1/32", "192.0.2.0/24"])
    assert row["expires_at"][:10] == "2026-12-23"
    assert (await use(world, {"secret": secret[0]})).status_code == 200
    shown = (await visitor.get("/account/keys")).text
    assert secret[0] not in shown
    assert "Nightly &lt;report&gt;" in shown
    rotated = await visitor.submit(f"/account/keys/{row['id']}/rotate", {}, "/account/keys")
    (second,) = re.findall(r"dw_[0-9A-Za-z]{49}", rotated.text)
    refused = await visitor.submit(f"/account/keys/{row['id']}/delete", {"confirm": "nightly"}, "/account/keys")
    assert refused.status_code == 400
    assert "Type the name" in refused.text
    assert (await use(world, {"secret": second})).status_code == 200
    gone = await visitor.submit(f"/account/keys/{row['id']}/delete", {"confirm": "Nightly <report>"}, "/account/keys")
    assert gone.headers["location"] == "/account/keys?key-off=1"
    assert [(await use(world, {"secret": one})).status_code for one in (secret[0], second)] == [401, 401]


async def test_the_page_asks_for_a_proof_and_goes_on_with_what_was_typed(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    world.clock.advance(STALE)
    form = {"name": "Later", "days": "7", "scope-profile:read": "true"}
    answer = await visitor.submit("/account/keys", form)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/confirm?next=")
    assert (await visitor.get(KEYS)).json()["data"] == []


async def test_the_activity_and_the_export_tell_of_keys(visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    key = await make(visitor)
    await visitor.get(ME, params={"key": key["secret"]})
    await visitor.send("DELETE", f"{KEYS}/{key['id']}")
    told = {row["what"] for row in (await visitor.get(f"{ME}/activity")).json()["data"]}
    assert {"You made an API key", "An API key ended"} <= told
    assert "An API key of yours was sent in an address, where others may read it: replace it" in told
    await make(visitor, "orders:read", days=3)
    archive = zipfile.ZipFile(io.BytesIO((await visitor.post(f"{ME}/export")).content))
    (kept,) = json.loads(archive.read("keys.json"))
    assert (kept["scopes"], kept["expires_at"][:10]) == (["orders:read"], "2026-11-26")
    assert "digest" not in json.dumps(kept)


async def test_an_app_is_told_what_a_key_is_worth(world: World, visitor: Visitor) -> None:
    user = await visitor.sign_up("ada")
    key = await make(visitor, "orders:read", networks=["192.0.2.0/24"])
    told = await world.services.api_keys.introspect(key["secret"], OPERATOR)
    assert told is not None
    assert (told["active"], told["sub"], told["scope"]) == (True, user["id"], "orders:read")
    assert told["client_id"] == f"apikey:{key['id']}"
    assert told["networks"] == ["192.0.2.0/24"]
    await visitor.send("DELETE", f"{KEYS}/{key['id']}")
    assert await world.services.api_keys.introspect(key["secret"], OPERATOR) is None


async def test_an_app_that_is_sent_a_key_asks_us_what_it_opens(world: World, visitor: Visitor) -> None:
    """RFC 7662: the key is for any app of ours; which scopes it needs is for the app to say."""
    user, app = await visitor.sign_up("ada"), await register(world)
    key = await make(visitor, "orders:read")
    told = await app.introspect(key["secret"])
    assert (told["active"], told["sub"], told["scope"]) == (True, user["id"], "orders:read")
    assert told["client_id"] == f"apikey:{key['id']}"
    assert (await visitor.send("DELETE", f"{KEYS}/{key['id']}", {"name": "Report"})).status_code == 204
    assert await app.introspect(key["secret"]) == {"active": False}


@pytest.mark.asvs("16.3.4")
async def test_a_key_that_apps_are_sent_is_counted_and_seen_to_be_used(world: World, visitor: Visitor) -> None:
    """C48: its owner sees that it is used, and its own limit holds wherever it is shown."""
    app = await register(world)
    await visitor.sign_up("ada")
    key = await make(visitor, "orders:read", per_minute=2)
    for _ in range(2):
        assert (await app.introspect(key["secret"]))["active"] is True
    (row,) = (await visitor.get(KEYS)).json()["data"]
    assert row["last_used_at"] is not None
    refused = await app.http.post("/oauth/introspect", data={"token": key["secret"]}, headers=app.basic)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert (await use(world, key)).status_code == 429
    (noted,) = await audited(world, "excess_rate_limit_exceeded")
    assert json.loads(noted.payload or "")["action"] == "api-key"


@pytest.mark.asvs("2.4.1")
async def test_keys_of_one_user_do_not_keep_out_those_of_another_at_the_same_app(
    world: World, visitor: Visitor
) -> None:
    """All of them are asked about from the address of the app."""
    app = await register(world)
    await visitor.sign_up("ada")
    key = await make(visitor, "orders:read")
    limiter = world.services.api_keys.limiter
    for number in range(6000):  # what one address may use up in a minute
        async with await limiter.admit("api-key", "198.51.100.77", {"key": f"another {number}"}):
            pass
    told = {"x-api-key": key["secret"]}
    assert (await world.visitor("198.51.100.77").get("/api/users/me", headers=told)).status_code == 429
    assert (await app.introspect(key["secret"]))["active"] is True
    (row,) = (await visitor.get(KEYS)).json()["data"]
    assert row["last_address"] is None, "where the app is, is not where the key was used"
