"""Invitations, closed doors, domains, reserved handles and floods, as people and programs meet them.

ASVS 5.0: 2.4.1 (automation), 6.3.8 (nobody learns who is registered).
"""

import asyncio
import hashlib
import json
import re
from typing import Any

import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Signup
from doorward.kernel.caller import LOCAL_OPERATOR
from tests.http.conftest import PASSWORD, Inbox, Visitor, World
from tests.support.attack import audited, fields_of

ADDRESS = "ada@example.org"


@pytest.fixture
def mail_settings(settings: Settings) -> Settings:
    """By invitation or from a few domains."""
    signup = Signup(identifier="email", deny_domains=("evil.example",), reserved_names=("fitness",))
    return msgspec.structs.replace(settings, signup=signup, limits={"sign-up-free": {"per_address": "3/1h"}})


@pytest.fixture
def visitor(mail_world: World) -> Visitor:
    return mail_world.visitor()


async def invited(inbox: Inbox, *roles: str, address: str = ADDRESS) -> str:
    """The token of an invitation that has arrived."""
    await inbox.world.services.invitations.invite(address, roles, None, LOCAL_OPERATOR, "ar")
    sent = await inbox.last(address)
    assert (sent.template, sent.locale) == ("invitation", "ar")
    return str(sent.values["path"]).removeprefix("/invitation/")


async def test_the_invited_choose_a_password_and_are_in_with_the_roles_they_were_given(
    visitor: Visitor, inbox: Inbox
) -> None:
    token = await invited(inbox, "support")
    page = await visitor.get(f"/invitation/{token}")
    assert page.headers["referrer-policy"] == "no-referrer"
    assert ADDRESS in page.text
    assert 'name="email"' not in page.text
    answer = await visitor.submit(f"/invitation/{token}", {"password": PASSWORD, "name": "Ada", "uid": "ada"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?welcome=1")
    me = (await visitor.get("/api/sessions/current")).json()["user"]
    user = (await visitor.get(f"/api/users/{me['id']}")).json()
    assert (user["uid"], user["email"], user["email_verified"], user["roles"]) == ("ada", ADDRESS, True, ["support"])
    again = await inbox.world.visitor().get(f"/invitation/{token}")
    assert again.status_code == 200
    assert "This invitation has been accepted" in again.text


async def test_looking_at_an_invitation_uses_nothing_up(visitor: Visitor, inbox: Inbox) -> None:
    token = await invited(inbox)
    for _ in range(3):
        assert (await visitor.get(f"/invitation/{token}")).status_code == 200
        await visitor.send("HEAD", f"/invitation/{token}")
    short = await visitor.submit(f"/invitation/{token}", {"password": "short", "name": "Ada"})
    assert short.status_code == 400
    assert 'value="Ada"' in short.text
    accepted = await visitor.post("/api/invitations/accept", {"token": token, "password": PASSWORD})
    assert accepted.status_code == 201


async def test_of_twenty_who_accept_at_once_one_gets_in(inbox: Inbox) -> None:
    token = await invited(inbox)
    world = inbox.world
    body = {"token": token, "password": PASSWORD}
    answers = await asyncio.gather(*(world.visitor().post("/api/invitations/accept", body) for _ in range(20)))
    assert sorted({answer.status_code for answer in answers}) == [201, 400]
    assert [answer.status_code for answer in answers].count(201) == 1


@pytest.mark.parametrize("field", ["email", "roles", "role", "status", "email_verified"])
async def test_an_invitation_gives_what_it_says_and_no_more(visitor: Visitor, inbox: Inbox, field: str) -> None:
    token = await invited(inbox)
    answer = await visitor.post("/api/invitations/accept", {"token": token, "password": PASSWORD, field: "admin"})
    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}


async def test_a_newer_invitation_takes_the_place_of_an_older_one_and_both_end_in_time(
    visitor: Visitor, inbox: Inbox
) -> None:
    older = await invited(inbox)
    newer = await invited(inbox)
    assert (await visitor.get(f"/invitation/{older}")).status_code == 410
    inbox.world.clock.advance(7 * 86_400)
    page = await visitor.get(f"/invitation/{newer}")
    assert page.status_code == 410
    assert "This invitation has expired" in page.text
    assert (await visitor.get("/invitation/made-up")).status_code == 404


async def test_an_invitation_that_is_called_off_lets_nobody_in(visitor: Visitor, inbox: Inbox) -> None:
    token, other = await invited(inbox), await invited(inbox, address="bob@example.org")
    invitations = inbox.world.services.invitations
    assert await invitations.call_off("ADA@example.org", None, LOCAL_OPERATOR) == 1
    assert await invitations.call_off(ADDRESS, None, LOCAL_OPERATOR) == 0
    page = await visitor.get(f"/invitation/{token}")
    assert (page.status_code, "This invitation no longer works" in page.text) == (410, True)
    answer = await visitor.post("/api/invitations/accept", {"token": token, "password": PASSWORD})
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("token", "void")]
    assert (await visitor.get(f"/invitation/{other}")).status_code == 200
    (row,) = await audited(inbox.world, "authn_token_revoked")
    assert json.loads(row.payload or "{}") == {"purpose": "invitation", "why": "called off"}


@pytest.mark.parametrize("what", ["still there", "no administrator any more", "disabled", "gone"])
async def test_an_invitation_is_worth_as_much_as_whoever_sent_it(visitor: Visitor, inbox: Inbox, what: str) -> None:
    services = inbox.world.services
    other, admin = inbox.world.visitor(), inbox.world.visitor()  # the last administrator could not go
    token = await invited(inbox, "admin", address="other@example.org")
    await other.post("/api/invitations/accept", {"token": token, "password": PASSWORD})
    token = await invited(inbox, "admin", address="root@example.org")
    user = (await admin.post("/api/invitations/accept", {"token": token, "password": PASSWORD})).json()
    await admin.learn_csrf()
    assert (await admin.post("/api/invitations", {"email": ADDRESS, "roles": ["admin"]})).status_code == 202
    path = str((await inbox.last(ADDRESS)).values["path"])
    if what == "no administrator any more":
        await services.users.set_roles(user["id"], ["support"], None, LOCAL_OPERATOR)
    elif what == "disabled":
        await services.users.set_status(user["id"], "disabled", None, LOCAL_OPERATOR)
    elif what == "gone":
        await services.users.delete(user["id"], None, LOCAL_OPERATOR)
    page = await visitor.get(path)
    body = {"token": path.removeprefix("/invitation/"), "password": PASSWORD}
    answer = await visitor.post("/api/invitations/accept", body)
    if what == "still there":
        assert (page.status_code, answer.status_code) == (200, 201)
        return
    assert (page.status_code, answer.status_code) == (410, 400)
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("token", "void")]
    assert (await visitor.submit(path, {"password": PASSWORD}, "/sign-in")).status_code == 400
    assert await services.users.proven_owner("email", ADDRESS) is None


async def test_the_invited_get_no_handle_that_is_kept_for_another(visitor: Visitor, inbox: Inbox) -> None:
    for uid, email in (("lovelace", "eve@example.org"), ("ada.l", ADDRESS)):
        body = {"email": email, "uid": uid, "password": PASSWORD}
        assert (await inbox.world.visitor().post("/api/users", body)).status_code == 202
    inbox.world.clock.advance(1)
    token = await invited(inbox)
    body = {"token": token, "password": PASSWORD, "uid": "Lovelace"}
    answer = await visitor.post("/api/invitations/accept", body)
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("uid", "taken")]
    accepted = await visitor.post("/api/invitations/accept", {**body, "uid": "ada.l"})
    assert accepted.json()["uid"] == "ada.l", "kept for the same address"


async def test_members_invite_nobody_and_administrators_do_by_the_api(visitor: Visitor, inbox: Inbox) -> None:
    token = await invited(inbox)
    await visitor.post("/api/invitations/accept", {"token": token, "password": PASSWORD})
    await visitor.learn_csrf()
    body = {"email": "bob@example.org", "roles": ["auditor"]}
    assert (await visitor.post("/api/invitations", body)).status_code == 403
    admin = inbox.world.visitor()
    token = await invited(inbox, "admin", address="root@example.org")
    await admin.post("/api/invitations/accept", {"token": token, "password": PASSWORD})
    await admin.learn_csrf()
    assert (await admin.post("/api/invitations", body)).status_code == 202
    assert (await inbox.last("bob@example.org")).template == "invitation"
    known = await admin.post("/api/invitations", {"email": ADDRESS})
    assert known.json()["errors"][0]["code"] == "known"
    odd = await admin.post("/api/invitations", {"email": "x", "roles": ["king"], "name": "Bob"})
    assert (odd.status_code, fields_of(odd)) == (400, {"email", "roles", "name"})
    wrong: tuple[Any, ...] = (False, 0, "", {}, "auditor", [["auditor"]])
    for roles in wrong:
        answer = await admin.post("/api/invitations", {**body, "roles": roles})
        assert (answer.status_code, fields_of(answer)) == (400, {"roles"}), roles
    inbox.world.clock.advance(601)
    assert (await admin.post("/api/invitations", body)).json()["code"] == "reauthentication_needed"


async def test_a_role_that_is_named_twice_is_given_once(visitor: Visitor, inbox: Inbox) -> None:
    token = await invited(inbox, "auditor", "admin", "auditor")
    accepted = await visitor.post("/api/invitations/accept", {"token": token, "password": PASSWORD})
    assert accepted.json()["roles"] == ["admin", "auditor"]


async def test_denied_domains_and_reserved_handles_are_refused_alike_for_known_and_new(visitor: Visitor) -> None:
    body = {"email": "ada@mail.EVIL.example", "uid": "Fitne55", "password": PASSWORD}
    answer = await visitor.post("/api/users", {**body, "uid": "ＦＩＴＮＥＳＳ"})
    assert {(error["field"], error["code"]) for error in answer.json()["errors"]} == {
        ("email", "domain_not_allowed"),
        ("uid", "taken"),
    }


async def test_nobody_gets_around_the_rules_by_changing_the_address_afterwards(visitor: Visitor, inbox: Inbox) -> None:
    token = await invited(inbox)
    user = (await visitor.post("/api/invitations/accept", {"token": token, "password": PASSWORD})).json()
    await visitor.learn_csrf()
    body = {"email": "ada@evil.example"}
    for method, path in (("POST", f"/api/users/{user['id']}/email"), ("PUT", f"/api/users/{user['id']}")):
        answer = await visitor.send(method, path, body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "domain_not_allowed"
    assert await inbox.messages("ada@evil.example") == []


async def test_a_flood_is_asked_for_a_proof_which_the_form_carries(visitor: Visitor, inbox: Inbox) -> None:
    def form(number: int) -> dict[str, str]:
        return {"email": f"user{number}@example.org", "password": PASSWORD}

    assert "data-challenge" not in (await visitor.get("/sign-up")).text
    for number in range(3):
        assert (await visitor.submit("/sign-up", form(number))).status_code == 303
    asked = await visitor.submit("/sign-up", form(3))
    assert asked.status_code == 429
    assert 'value="user3@example.org"' in asked.text
    place = re.search(
        r'data-salt="(\w+)" data-target="(\w+)" data-iterations="(\d+)" data-numbers="(\d+)"[^>]*>\s*'
        r'<input type="hidden" name="challenge" value="([^"]+)"',
        asked.text,
    )
    assert place is not None, asked.text
    salt, target, iterations, numbers, token = place.groups()
    solved = next(
        number
        for number in range(int(numbers))
        if hashlib.pbkdf2_hmac("sha256", str(number).encode(), bytes.fromhex(salt), int(iterations)).hex() == target
    )
    proof = {"challenge": token, "challenge_number": str(solved)}
    assert (await visitor.submit("/sign-up", {**form(3), **proof})).status_code == 303
    assert (await visitor.submit("/sign-up", {**form(4), **proof})).status_code == 429  # it counts once
    assert "data-challenge" in (await visitor.get("/sign-up")).text  # the next ones get it with the form
    assert len(await inbox.messages()) == 4


async def test_a_program_gets_the_challenge_in_the_answer(visitor: Visitor) -> None:
    answers = [
        await visitor.post("/api/users", {"email": f"user{number}@example.org", "password": PASSWORD})
        for number in range(4)
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    problem = answers[-1].json()
    assert problem["code"] == "challenge_required"
    assert set(problem["challenge"]) == {
        "algorithm", "iterations", "numbers", "salt", "target", "token", "patience_seconds"
    }  # fmt: skip


class TestClosed:
    """By invitation only."""

    @pytest.fixture
    def mail_settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, signup=Signup(identifier="email", invitation_only=True))

    async def test_others_are_told_and_the_invited_get_in(self, visitor: Visitor, inbox: Inbox) -> None:
        page = await visitor.get("/sign-up")
        assert page.status_code == 200
        assert "By invitation only" in page.text
        body = {"email": ADDRESS, "password": PASSWORD}
        assert (await visitor.post("/api/users", body)).status_code == 403
        assert await inbox.messages() == []
        token = await invited(inbox)
        accepted = await visitor.post("/api/invitations/accept", {"token": token, "password": PASSWORD})
        assert accepted.status_code == 201
