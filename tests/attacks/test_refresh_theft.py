"""Refresh tokens: they rotate, parallel tabs get along, and a stolen one ends the family (C53; ASVS 10.4.5)."""

import asyncio
import json

import pytest

from doorward.kernel.instant import DAY, SECOND
from tests.http.conftest import PASSWORD, Inbox, Visitor, World
from tests.support.apps import App, Key, claims_of, member, register, register_public
from tests.support.attack import OPERATOR, audited, dump, make_admin


async def used(app: App, token: str) -> str:
    answer = await app.refresh(token)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["refresh_token"])


async def over(app: App, *tokens: str) -> bool:
    answers = [await app.refresh(token) for token in tokens]
    return all((answer.status_code, answer.json()["error"]) == (400, "invalid_grant") for answer in answers)


@pytest.mark.asvs("10.4.5")
async def test_every_use_brings_another_token_of_the_same_family(world: World) -> None:
    app, ada = await register(world), await member(world)
    first = await app.tokens(ada)
    world.clock.advance(60)
    second = (await app.refresh(first["refresh_token"])).json()
    old, new = claims_of(first["access_token"]), claims_of(second["access_token"])
    assert first["refresh_token"] != second["refresh_token"]
    assert {name: old[name] for name in ("sub", "sid", "fid", "aud", "auth_time", "scope")} == {
        name: new[name] for name in ("sub", "sid", "fid", "aud", "auth_time", "scope")
    }
    assert (new["iat"] - old["iat"], new["jti"] != old["jti"]) == (60, True)
    assert "id_token" not in second
    stored = str(await dump(world.services.db))
    assert first["refresh_token"] not in stored
    assert second["refresh_token"] not in stored


@pytest.mark.asvs("15.4.2")
async def test_twenty_tabs_that_refresh_at_once_all_go_on_with_one_token(world: World) -> None:
    app, ada = await register(world), await member(world)
    token = (await app.tokens(ada))["refresh_token"]
    for _ in range(3):
        answers = await asyncio.gather(*(app.refresh(token) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        (token,) = {answer.json()["refresh_token"] for answer in answers}
        world.clock.advance(1)
    assert await audited(world, "authn_token_reuse") == []


async def test_a_tab_that_is_a_little_late_gets_the_same_and_one_that_is_later_ends_it(world: World) -> None:
    app, ada = await register(world), await member(world)
    first = (await app.tokens(ada))["refresh_token"]
    second = await used(app, first)
    world.clock.advance(10)
    assert await used(app, first) == second
    world.clock.advance(0.001)
    assert await over(app, first, second)


@pytest.mark.asvs("10.4.5")
async def test_a_stolen_token_ends_everything_and_its_owner_hears_of_it(mail_world: World, inbox: Inbox) -> None:
    world = mail_world
    app, ada = await register(world), await signed_in_by_mail(world)
    tokens = await app.tokens(ada)
    fid = claims_of(tokens["access_token"])["fid"]
    second = await used(app, tokens["refresh_token"])
    third = (await app.refresh(second)).json()
    stolen = await app.refresh(tokens["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert await over(app, third["refresh_token"], second)
    for token in (tokens["access_token"], third["access_token"]):
        assert await app.introspect(token) == {"active": False}
        assert (await app.userinfo(token)).status_code == 401
    (event,) = await audited(world, "authn_token_reuse")
    assert json.loads(event.payload or "") == {
        "client": app.client.id, "family": fid, "why": "used before", "device": "Python",
    }  # fmt: skip
    told = [mail for mail in await inbox.messages("ada@example.org") if mail.template == "app_ended"]
    assert [mail.values["app"] for mail in told] == ["Notes"]
    revoked = {(row[1], row[2]) for row in (await dump(world.services.db))["revocation"]}
    assert ("family", fid) in revoked
    assert (await ada.get("/api/sessions/current")).status_code == 200, "the session itself was not stolen"


async def signed_in_by_mail(world: World) -> Visitor:
    """Somebody whose address is proven."""
    ada = world.visitor()
    body = {"email": "ada@example.org", "uid": "ada", "name": "Ada", "password": PASSWORD}
    assert (await ada.http.post("/api/users", json=body)).status_code == 202
    code = (await Inbox(world).last("ada@example.org")).values["code"]
    answer = await ada.post("/api/verifications", {"code": code})
    assert answer.status_code in {200, 201}, answer.text
    await ada.learn_csrf()
    return ada


async def test_a_token_in_the_hands_of_another_client_ends_the_family(world: World) -> None:
    app, other, ada = await register(world), await register(world, name="Other"), await member(world)
    token = (await app.tokens(ada))["refresh_token"]
    assert await over(other, token)
    assert await over(app, token)
    assert len(await audited(world, "authn_token_reuse")) == 1


@pytest.mark.asvs("10.4.14")
async def test_a_public_clients_token_is_bound_to_its_key(world: World) -> None:
    app, ada, own = await register_public(world), await member(world), Key(world)
    tokens = await app.tokens(ada, own.proof())
    assert claims_of(tokens["access_token"])["cnf"] == {"jkt": own.thumbprint}
    token = tokens["refresh_token"]
    assert (await app.refresh(token)).json()["error"] == "invalid_grant"
    again = (await app.refresh(token, own.proof())).json()
    assert again["token_type"] == "DPoP", "a request without a proof took nothing away"
    assert (await app.refresh(again["refresh_token"], Key(world).proof())).json()["error"] == "invalid_grant"
    assert (await app.refresh(again["refresh_token"], own.proof())).json()["error"] == "invalid_grant"
    assert len(await audited(world, "authn_token_reuse")) == 1


async def test_more_than_was_granted_is_refused_and_takes_nothing_away(world: World) -> None:
    app, ada = await register(world), await member(world)
    token = (await app.tokens(ada, scope="openid offline_access"))["refresh_token"]
    assert (await app.refresh(token, scope="openid email")).json()["error"] == "invalid_scope"
    assert (await app.refresh(token, resource="https://x.example")).json()["error"] == "invalid_target"
    less = (await app.refresh(token, scope="openid")).json()
    assert (less["scope"], claims_of(less["access_token"])["scope"]) == ("openid", "openid")
    assert (await app.refresh(less["refresh_token"])).json()["scope"] == "openid offline_access"


@pytest.mark.asvs("10.4.8")
async def test_a_family_ends_after_fourteen_idle_days_and_after_thirty_anyway(world: World) -> None:
    app, ada = await register(world), await member(world)
    idle, busy = (await app.tokens(ada))["refresh_token"], (await app.tokens(ada))["refresh_token"]
    for _ in range(2):
        world.clock.advance(14 * DAY // SECOND - 1)
        busy = await used(app, busy)
    assert await over(app, idle)
    world.clock.advance(2 * DAY // SECOND + 1)
    busy = await used(app, busy)
    world.clock.advance(1)
    assert await over(app, busy)


ENDS = ("sign-out", "one", "everywhere", "password", "own password", "disable", "role", "leave", "erase", "operator")


@pytest.mark.asvs("7.4.1")
@pytest.mark.asvs("7.4.2")
@pytest.mark.parametrize("how", ENDS)
async def test_whatever_ends_a_session_ends_what_apps_got_in_it(world: World, how: str) -> None:
    app, ada = await register(world), world.visitor()
    user = await ada.sign_up("ada")
    tokens = await app.tokens(ada)
    session = (await ada.get("/api/sessions/current")).json()["id"]
    chief = world.visitor()
    await make_admin(world, chief, "chief")
    users = world.services.users
    match how:
        case "sign-out":
            await ada.send("DELETE", "/api/sessions/current")
        case "one":
            await ada.send("DELETE", f"/api/sessions/{session}")
        case "everywhere":
            await ada.send("DELETE", "/api/sessions")
        case "password":  # elsewhere: the session that changes it goes on
            other = world.visitor()
            await other.sign_in("ada")
            change = {"current_password": PASSWORD, "new_password": "another quite different phrase"}
            assert (await other.send("PUT", "/api/users/me/password", change)).is_success
        case "own password":  # a copy of the refresh token must not outlive what its owner does about it (C9)
            change = {"current_password": PASSWORD, "new_password": "another quite different phrase"}
            assert (await ada.send("PUT", "/api/users/me/password", change)).is_success
        case "disable":
            await users.set_status(user["id"], "disabled", None, OPERATOR)
        case "role":
            await users.set_roles(user["id"], ["auditor"], None, OPERATOR)
        case "leave":
            await ada.send("DELETE", "/api/users/me", {"password": PASSWORD})
        case "erase":
            await users.delete(user["id"], None, OPERATOR)
        case _:
            await world.services.sessions.end_everywhere(user["id"], OPERATOR)
    assert await over(app, tokens["refresh_token"])
    assert await app.introspect(tokens["access_token"]) == {"active": False}
    assert (await app.userinfo(tokens["access_token"])).status_code == 401


async def test_the_session_that_changes_the_password_gives_its_apps_new_tokens_unasked(world: World) -> None:
    """C9: whoever copied the old ones has nothing; its owner does not have to sign in for it."""
    app, ada = await register(world), await member(world)
    token = (await app.tokens(ada))["refresh_token"]
    change = {"current_password": PASSWORD, "new_password": "another quite different phrase"}
    assert (await ada.send("PUT", "/api/users/me/password", change)).is_success
    assert await over(app, token)
    await used(app, (await app.tokens(ada))["refresh_token"])


async def test_what_outlives_the_time_of_its_session_still_ends_with_the_password(world: World) -> None:
    """`offline_access` lasts thirty days, a session of one factor too, and then it is purged."""
    app, ada = await register(world), await member(world)
    token = (await app.tokens(ada))["refresh_token"]
    await ada.send("DELETE", "/api/sessions?others=true")
    for _ in range(2):
        world.clock.advance(13 * DAY // SECOND)
        token = await used(app, token)
    await world.services.sessions.purge()
    other = world.visitor()
    await other.sign_in("ada")
    await other.send("DELETE", "/api/sessions")
    assert await over(app, token)


async def test_an_app_gives_its_tokens_back(world: World) -> None:
    app, other, ada = await register(world), await register(world, name="Other"), await member(world)
    for kind in ("refresh_token", "access_token"):
        tokens = await app.tokens(ada)
        for stranger in (other,):
            answer = await stranger.http.post("/oauth/revoke", data={"token": tokens[kind]}, headers=stranger.basic)
            assert answer.status_code == 200
        assert (await app.introspect(tokens["access_token"]))["active"], "another's token is not touched"
        answer = await app.http.post("/oauth/revoke", data={"token": tokens[kind]}, headers=app.basic)
        assert (answer.status_code, answer.content) == (200, b"")
        assert not (await app.introspect(tokens["access_token"]))["active"]
        assert await over(app, tokens["refresh_token"])
    for nothing in ("x", "dwr_x", ""):
        assert (await app.http.post("/oauth/revoke", data={"token": nothing}, headers=app.basic)).status_code == 200
    assert (await app.http.post("/oauth/revoke", data={"token": "x"})).status_code == 401
