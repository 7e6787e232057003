"""Signing up over JSON and from the page."""

import asyncio

import pytest

from tests.http.conftest import PASSWORD, Visitor, World


async def test_a_newcomer_is_signed_in_at_once(visitor: Visitor) -> None:
    answer = await visitor.post("/api/users", {"uid": "ada", "name": "Ada Lovelace", "password": PASSWORD})

    assert answer.status_code == 201
    user = answer.json()
    assert (user["uid"], user["name"], user["coins"]) == ("ada", "Ada Lovelace", 0)
    assert answer.headers["location"] == f"/api/users/{user['id']}"
    assert PASSWORD not in answer.text
    current = await visitor.get("/api/sessions/current")
    assert current.json()["user"]["id"] == user["id"]


async def test_every_bad_field_is_named_at_once(visitor: Visitor) -> None:
    body = {
        "uid": "a",
        "name": "",
        "dob": "2019-02-30",
        "tracking": "fine",
        "coins": 5,
        "role": "admin",
        "motto": 7,
        "password": "short",
    }
    answer = await visitor.post("/api/users", body)

    assert answer.status_code == 400
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert {error["field"] for error in problem["errors"]} == {
        "uid",
        "name",
        "dob",
        "coins",
        "role",
        "motto",
        "password",
    }
    assert problem["message"] == problem["detail"]


@pytest.mark.parametrize("taken", ["ada", "ADA", "\N{CYRILLIC SMALL LETTER A}da"])
async def test_a_taken_uid_says_so_also_in_other_letters(visitor: Visitor, taken: str) -> None:
    await visitor.sign_up("ada")
    answer = await visitor.post("/api/users", {"uid": taken, "name": "Someone", "password": PASSWORD})

    assert answer.status_code == 400
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("uid", "taken")]


async def test_twenty_at_once_for_one_uid_make_one_user(world: World) -> None:

    async def one() -> int:
        visitor = world.visitor()
        return (await visitor.post("/api/users", {"uid": "ada", "name": "Ada", "password": PASSWORD})).status_code

    answers = await asyncio.gather(*(one() for _ in range(20)))

    assert sorted(answers) == [201] + [400] * 19


async def test_the_page_signs_up_without_javascript(visitor: Visitor) -> None:
    sent = {"uid": "ada", "name": "Ada Lovelace", "password": PASSWORD}
    answer = await visitor.submit("/sign-up", sent)

    assert answer.status_code == 303
    account = await visitor.get(answer.headers["location"])
    assert account.status_code == 200
    assert "Ada Lovelace" in account.text


async def test_the_page_keeps_what_was_typed_but_the_password(visitor: Visitor) -> None:
    answer = await visitor.submit("/sign-up", {"uid": "ada", "name": "Ada Lovelace", "password": "tooshort"})

    assert answer.status_code == 400
    assert 'value="Ada Lovelace"' in answer.text
    assert "tooshort" not in answer.text
    assert "There is a problem" in answer.text
    assert "<title>Error: " in answer.text


async def test_an_expired_form_comes_back_filled(visitor: Visitor) -> None:
    await visitor.get("/sign-up")
    answer = await visitor.http.post(
        "/sign-up", data={"csrf_token": "stale", "uid": "ada", "name": "Ada", "password": PASSWORD}
    )

    assert answer.status_code == 403
    assert 'value="ada"' in answer.text
    assert PASSWORD not in answer.text
