"""Users over JSON: directory, leaderboard, reading, changing, deleting."""

import pytest

from doorward.kernel.caller import Caller
from tests.http.conftest import PASSWORD, Visitor, World


async def test_a_user_changes_what_they_may_and_id_may_equal_the_path(visitor: Visitor) -> None:
    user = await visitor.sign_up("ada")
    tracking = {"steps": 4000, "days": ["mon", "tue"]}
    answer = await visitor.send("PUT", f"/api/users/{user['id']}", {"id": user["id"], "tracking": tracking})

    assert answer.status_code == 200
    assert answer.json()["tracking"] == tracking
    assert answer.json()["name"] == user["name"]


async def test_another_id_in_the_body_is_refused(visitor: Visitor) -> None:
    user = await visitor.sign_up("ada")
    answer = await visitor.send("PUT", f"/api/users/{user['id']}", {"id": "someone-else", "name": "Ada Two"})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "id"


@pytest.mark.asvs("15.3.3")
@pytest.mark.parametrize("field", ["coins", "roles", "status", "email_verified", "created_at", "password", "legacy_id"])
async def test_privileged_fields_are_never_written_by_their_owner(visitor: Visitor, field: str) -> None:
    user = await visitor.sign_up("ada")
    answer = await visitor.send("PATCH", "/api/users/me", {field: 5})

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await visitor.get("/api/users/me")).json()["coins"] == user["coins"]


@pytest.mark.asvs("8.2.2")
async def test_members_see_each_other_but_not_each_others_private_fields(world: World) -> None:
    ada, eve = world.visitor(), world.visitor()
    user = await ada.sign_up("ada", dob="1990-12-10", email="ada@example.org", tracking=[1], secret="mine", motto="on")
    await eve.sign_up("eve")
    seen = (await eve.get(f"/api/users/{user['id']}")).json()

    assert seen["name"] == user["name"]
    assert seen["motto"] == "on"
    assert not {"dob", "email", "tracking", "secret", "status", "roles"} & set(seen)
    listed = (await eve.get("/api/users")).json()["data"]
    assert len(listed) == 2
    assert all(not {"dob", "email", "tracking", "secret"} & set(row) for row in listed)


async def test_strangers_see_nobody(world: World, visitor: Visitor) -> None:
    user = await visitor.sign_up("ada")
    stranger = world.visitor()

    assert (await stranger.get("/api/users")).status_code == 401
    assert (await stranger.get(f"/api/users/{user['id']}")).status_code == 401


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_nobody_changes_or_deletes_somebody_else(world: World, method: str) -> None:
    ada, eve = world.visitor(), world.visitor()
    user = await ada.sign_up("ada")
    await eve.sign_up("eve")
    body = None if method == "DELETE" else {"name": "Mallory"}

    assert (await eve.send(method, f"/api/users/{user['id']}", body)).status_code == 403
    assert (await ada.get("/api/users/me")).json()["name"] == user["name"]


async def test_the_leaderboard_ranks_and_ties_share_a_rank(world: World) -> None:
    visitors = {}
    for uid, coins in (("ann", 10), ("bob", 30), ("cem", 30), ("dee", 0)):
        visitors[uid] = world.visitor()
        user = await visitors[uid].sign_up(uid)
        changes = world.services.users.validate_update({"coins": coins}, "app", user["id"])
        await world.services.users.update(user["id"], changes, None, Caller("test"))
    answer = await visitors["ann"].get("/api/users?sort=-coins&limit=3")

    rows = answer.json()["data"]
    assert [(row["coins"], row["rank"]) for row in rows] == [(30, 1), (30, 1), (10, 3)]
    assert answer.json()["own"]["rank"] == 3
    rest = await visitors["ann"].get(
        "/api/users", params={"sort": "-coins", "limit": 3, "cursor": answer.json()["next_cursor"]}
    )
    assert [(row["uid"], row["rank"]) for row in rest.json()["data"]] == [("dee", 4)]
    assert rest.json()["next_cursor"] is None


@pytest.mark.parametrize(
    "query", ["sort=secret", "sort=-nothing", "limit=0", "limit=x", "cursor=zzz", "limit=1&limit=2"]
)
async def test_a_bad_query_is_refused(visitor: Visitor, query: str) -> None:
    await visitor.sign_up("ada")
    assert (await visitor.get(f"/api/users?{query}")).status_code == 400


async def test_deleting_oneself_needs_a_fresh_authentication(world: World, visitor: Visitor) -> None:
    user = await visitor.sign_up("ada")
    world.clock.advance(601)
    refused = await visitor.send("DELETE", f"/api/users/{user['id']}")
    assert refused.status_code == 403
    assert refused.json()["max_age"] == 600
    assert "insufficient_user_authentication" in refused.headers["www-authenticate"]
    assert (await visitor.send("DELETE", "/api/users/me", {"password": "wrong horse battery"})).status_code == 401

    assert (await visitor.send("DELETE", "/api/users/me", {"password": PASSWORD})).status_code == 204
    asked = await world.visitor().sign_in("ada")
    assert (asked.status_code, asked.json()["next"]) == (200, "restoration")
    assert (await visitor.get("/api/users/me")).status_code == 401


async def test_reauthenticating_makes_the_session_fresh_and_replaces_its_secret(world: World, visitor: Visitor) -> None:
    await visitor.sign_up("ada")
    before = visitor.cookie_header()
    world.clock.advance(601)
    answer = await visitor.post("/api/sessions/current/reauthenticate", {"password": PASSWORD})

    assert answer.status_code == 200
    assert (await world.visitor().get("/api/users/me", headers=before)).status_code == 401
    assert (await visitor.send("DELETE", "/api/users/me")).status_code == 204
