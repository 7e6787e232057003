"""Bodies and addresses made to break readers, sent to every operation: refused, and never a 5xx (C44)."""

import json
from typing import Any

import msgspec
import pytest

from doorward.config import Settings
from doorward.confirmations import Purpose
from doorward.web.routing import FORM, JSON, Access, Operation
from tests.http.conftest import PASSWORD, Visitor, World
from tests.support.attack import (
    NOBODY,
    OPERATOR,
    fields_of,
    live_token,
    name_of,
    path_of,
    route_table,
    with_every_operation,
)

pytestmark = pytest.mark.slow

DEEP = 20_000
JSON_BODIES: dict[str, bytes] = {
    "deep arrays": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep and unclosed": b"[" * DEEP,
    "deep in a field": b'{"tracking":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a key twice": b'{"uid":"ada","uid":"eve"}',
    "a key twice, once escaped": b'{"uid":"ada","\\u0075id":"eve"}',
    "a key twice inside": b'{"tracking":{"a":1,"a":2}}',
    "NaN": b'{"coins":NaN}',
    "infinity": b'{"coins":-Infinity}',
    "too large a number": b'{"coins":1e999}',
    "a huge integer": b'{"coins":' + b"9" * 5_000 + b"}",
    "invalid UTF-8": b'{"name":"\xff\xfe"}',
    "overlong UTF-8": b'{"name":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"name":"\xed\xa0\x80"}',
    "a byte order mark": b'\xef\xbb\xbf{"name":"Ada"}',
    "UTF-16": '{"name":"Ada"}'.encode("utf-16"),
    "UTF-32": '{"name":"Ada"}'.encode("utf-32"),
    "half a pair": b'{"name":"\\ud800"}',
    "half a pair as a key": b'{"\\udfff":1}',
    "an array": b"[]",
    "a string": b'"name"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "nothing but space": b" \n ",
    "no JSON": b"name=Ada",
    "a comment": b"{/**/}",
    "a trailing comma": b'{"name":"Ada",}',
    "single quotes": b"{'name':'Ada'}",
    "two documents": b"{}{}",
    "cut off": b'{"name":"Ad',
    "NUL": b"\x00",
    "NUL inside": b'{"name\x00":1}',
}
FORM_BODIES: dict[str, bytes] = {
    "invalid percent": b"csrf_token=%zz",
    "invalid UTF-8": b"name=%ff%fe",
    "a surrogate": b"name=%ed%a0%80",
    "raw bytes": b"name=\xff",
    "a field twice": b"name=a&name=b",
    "no pairs": b"name",
    "only ampersands": b"&&&&",
    "too many fields": b"&".join(b"f%d=1" % number for number in range(201)),
    "NUL": b"name=%00&identifier=%00&password=%00&uid=%00",
    "JSON": b'{"name":"Ada"}',
}
TYPES = (
    JSON,
    "",
    "text/plain",
    "application/xml",
    FORM,
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    "application/json/x",
    "APPLICATION/JSON",
    "*/*",
    "a" * 5_000,
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    -(2**63) - 1,
    2**64,
    1.5,
    1e308,
    "",
    " ",
    "x" * 10_000,
    "\x00",
    [],
    [[]],
    {},
    {"a": 1},
    ["x"],
)
PATHS = (
    "/%00",
    "/api/%00",
    "/api/users/%00",
    "/api/users/%ff",
    "/api/users/%ed%a0%80",
    "/api/users/..%2f..%2fetc",
    "/api/users/" + "x" * 10_000,
    "/api/users/%E2%80%AE",
    "/api/sessions/%00",
    "/setup/%00",
    "/setup/%ff",
    "/problems/%00",
    "/static/..%2f..%2fetc%2fpasswd",
    "/\\evil",
    "/" + "a/" * 2_000,
    "/api/users/1'--",
)
QUERIES = (
    "next=/a&next=/b",
    "limit=1&limit=2",
    "sort=%00",
    "sort=%ff",
    "cursor=%00",
    "cursor=" + "A" * 10_000,
    "limit=1e9",
    "limit=-1",
    "limit=%D9%A1",
    "limit=" + "9" * 5_000,
    "cursor=WzFd",
    "a" * 10_000,
    "&&&",
    "=",
    "%",
    "next=%ff",
    "theme=%00",
)
TEXTS = {"uid", "name", "email", "dob", "motto", "password", "phone", "token", "code", "purpose"}
ANY_JSON = {"tracking", "exercise", "credential"}  # what a browser gave is read where it is checked
LINKS: dict[str, Purpose] = {  # what their `token` has to be for anybody to look further
    "/api/invitations/accept": "invitation",
    "/api/recovery/complete": "password",
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    many = {"per_address": "100000/1m", "everybody": "100000/1m"}
    limits: dict[str, dict[str, str | int]] = {name: {**many} for name in ("sign-in", "sign-up", "sign-up-free")}
    return with_every_operation(msgspec.structs.replace(settings, limits=limits))


async def member(world: World, number: int) -> Visitor:
    """Somebody new, from a network of their own."""
    visitor = world.visitor(f"198.51.{number // 200}.{number % 200 + 1}")
    await visitor.sign_up(f"member-{number}")
    return visitor


async def entitled(world: World, operation: Operation, number: int) -> tuple[Visitor, str]:
    """Somebody new whom `operation` listens to, and their id."""
    visitor = await member(world, number)
    user_id = str((await visitor.get("/api/users/me")).json()["id"])
    if operation.access is Access.ADMIN:
        await world.services.users.set_roles(user_id, ["admin"], None, OPERATOR)
        await visitor.sign_in(f"member-{number}")
    return visitor, user_id


async def send(visitor: Visitor, operation: Operation, body: bytes, kind: str, **headers: str) -> int:
    sent = {"x-csrf-token": visitor.csrf, **({"content-type": kind} if kind else {}), **headers}
    answer = await visitor.http.request(operation.method, path_of(operation), content=body, headers=sent)
    assert answer.status_code < 500, (name_of(operation), body[:80], kind, answer.text)
    return answer.status_code


@pytest.mark.asvs("1.5.3")
@pytest.mark.asvs("15.3.5")
async def test_broken_bodies_are_refused_by_every_operation(world: World) -> None:
    for number, operation in enumerate(route_table(world)):
        visitor = await member(world, number)
        token = b"csrf_token=" + visitor.csrf.encode()
        reads_json = operation.reads == JSON
        for what, body in JSON_BODIES.items():
            status = await send(visitor, operation, body, JSON)
            assert not reads_json or status in {400, 413}, (name_of(operation), what, status)
        for what, body in FORM_BODIES.items():
            await send(visitor, operation, body, FORM)
            status = await send(visitor, operation, token + b"&" + body, FORM)
            if operation.oauth:  # asks who the app is first; /oauth/authorize goes on to GET, which refuses
                assert operation.reads is None or status in {303, 400, 401, 413}, (name_of(operation), what, status)
                continue
            refused = {400, 403, 413} if what != "NUL" else {200, 303, 400, 401, 404, 409, 429}
            assert operation.reads != FORM or status in refused, (name_of(operation), what, status)
        await send(visitor, operation, b"", JSON)


@pytest.mark.asvs("4.1.1")
async def test_other_media_types_are_refused_by_every_operation(world: World) -> None:
    for number, operation in enumerate(route_table(world)):
        visitor = await member(world, number)
        for kind in TYPES:
            wanted = kind.lower() == operation.reads
            status = await send(visitor, operation, b"[" if operation.reads == JSON else b"x", kind)
            assert operation.reads is None or wanted or status == 415, (name_of(operation), kind, status)
        for encoding in ("gzip", "br", "deflate, gzip", "x" * 1_000):
            status = await send(
                visitor, operation, b"\x1f\x8b", operation.reads or JSON, **{"content-encoding": encoding}
            )
            assert operation.reads is None or status == 415, (name_of(operation), encoding)


@pytest.mark.asvs("15.1.3")
async def test_ten_megabytes_are_refused_by_every_operation(world: World) -> None:
    body = b'{"name":"' + b"x" * 10_000_000 + b'"}'
    for operation in route_table(world):
        if operation.path == "/livez":
            continue  # answered before anything is read; the server drops what is left
        kind = operation.reads or JSON
        assert await send(world.visitor(), operation, body, kind) == 413, name_of(operation)


@pytest.mark.asvs("2.2.1")
async def test_every_field_of_every_json_body_refuses_other_types(world: World) -> None:
    tried = 0
    for number, operation in enumerate(route_table(world)):
        schema = (operation.body_schema or {}) if operation.reads == JSON else {}
        fields = dict(schema.get("properties", {}))
        visitor, user_id = await entitled(world, operation, number) if fields else (world.visitor(), NOBODY)
        good: dict[str, Any] = {"uid": "new", "name": "New", "password": PASSWORD, "identifier": "nobody"}
        good |= {"current_password": "not the current phrase", "new_password": "another phrase of mine"}
        good |= {"email": "new@example.org", "phone": "+4915123456789", "token": "A" * 43}
        good |= {
            "kind": "totp",
            "code": "123456",
            "credential": {"id": "AAAA"},
            "label": "Mine",
            "scopes": ["profile:read"],
        }
        base = {name: good[name] for name in schema.get("required", ())}
        for field in fields:
            for value in VALUES:
                tried += 1
                path = path_of(operation, id=user_id)
                if operation.path in LINKS and field != "token":
                    base["token"] = await live_token(world, LINKS[operation.path], user_id)
                answer = await visitor.send(operation.method, path, {**base, field: value})
                assert answer.status_code < 500, (name_of(operation), field, value)
                named = fields_of(answer) if answer.status_code == 400 else set()
                if isinstance(value, list | dict) and field in TEXTS:
                    assert field in named, (name_of(operation), field, value, answer.text)
                if value == {}:
                    assert field in named or field in ANY_JSON, (name_of(operation), field, answer.text)
                if operation.method == "DELETE" and answer.is_success:
                    visitor, user_id = await entitled(world, operation, 500 + tried)
    assert tried > 500


@pytest.mark.asvs("15.3.7")
@pytest.mark.parametrize("signed_in", [False, True])
async def test_hostile_addresses_break_nothing(world: World, *, signed_in: bool) -> None:
    visitor = world.visitor()
    if signed_in:
        await visitor.sign_up("ada")
    for path in PATHS:
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = await visitor.send(method, path, {})
            assert answer.status_code < 500, (method, path[:80])
            assert answer.status_code not in {200, 201, 204}, (method, path[:80])
    for operation in route_table(world):
        if operation.method == "GET":
            for query in QUERIES:
                answer = await visitor.get(f"{path_of(operation)}?{query}")
                assert answer.status_code < 500, (operation.path, query[:80])


@pytest.mark.asvs("15.3.7")
@pytest.mark.parametrize(
    "path", ["/api/users?limit=1&limit=2", "/api/users?sort=name&sort=-name", "/members?sort=name&sort=name"]
)
async def test_a_parameter_given_twice_is_refused(world: World, path: str) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    assert (await visitor.get(path)).status_code == 400


async def test_json_beyond_every_integer_comes_back_or_is_refused(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    for number in ("9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e300", "-0", "0.1", "1E400"):
        body = f'{{"tracking": {number}}}'.encode()
        headers = {"content-type": JSON, "x-csrf-token": visitor.csrf}
        answer = await visitor.http.patch("/api/users/me", content=body, headers=headers)
        assert answer.status_code in {200, 400}
        if answer.status_code == 200:
            assert answer.json()["tracking"] == json.loads(number), number
