"""Headers that every answer carries, whatever it answers (C39, C40; ASVS 3.4)."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from doorward.app import front
from doorward.config import Settings
from doorward.confirmations import Purpose
from doorward.web.front import Front
from doorward.web.pages import Pages
from doorward.web.routing import Access, Call, Operation
from tests.http.conftest import ORIGIN, Visitor, World
from tests.support.attack import call, live_token, name_of, path_of, route_table, with_every_operation

ALWAYS = {
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
SECRET_PATHS: Mapping[str, Purpose | None] = {  # what follows opens something
    "/cool-off/": "cool_off_stop",
    "/invitation/": "invitation",
    "/not-me/": "not_me",
    "/recovery/": "password",
    "/setup/": None,
    "/sign-in/link/": "sign_in",
    "/undo/": "email_undo",
    "/verify/": "email",
}
FRAGMENTS = ("UNKNOWN", "TRACE", "TRACK", "CONNECT", "OPTIONS", "PROPFIND", "DEBUG", "X" * 200)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_every_operation(settings)


def check(answer: httpx.Response, *, shared: bool = False) -> None:
    """`shared`: other origins may load it."""
    headers = answer.headers
    what = (answer.request.method, str(answer.request.url), answer.status_code)
    assert {name: headers.get(name) for name in ALWAYS} == ALWAYS, what
    assert headers["cross-origin-resource-policy"] == ("cross-origin" if shared else "same-origin"), what
    secret = {"no-referrer"} if answer.request.url.path.startswith(tuple(SECRET_PATHS)) else set()
    assert headers["referrer-policy"] in {"same-origin", *secret}, what
    kind = headers.get("content-type", "")
    if kind.startswith("text/html"):
        check_page(headers)
    else:
        assert headers["content-security-policy"] == DATA_POLICY, what
    assert len(headers["x-request-id"]) == 16
    for name in headers:
        assert len(headers.get_list(name)) == 1 or name == "set-cookie", (name, what)
    assert not {name for name in headers if name.startswith("access-control-")} | {"server", "x-powered-by"} & set(
        headers
    )
    assert not kind.startswith(("text/html", "text/css", "text/javascript")) or "charset=utf-8" in kind, what
    assert kind or not answer.content, what


def check_page(headers: httpx.Headers) -> None:
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    for name in ("default-src", "object-src", "base-uri", "frame-ancestors"):
        assert policy[name] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert policy["form-action"] == "'self'"
    assert policy["report-uri"] == "/csp-reports"
    assert headers["x-frame-options"] == "DENY"
    assert headers["permissions-policy"] == "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def check_not_stored(answer: httpx.Response) -> None:
    assert answer.headers["cache-control"] == "no-store", (answer.request.method, answer.request.url)


@pytest.mark.asvs("3.4.1")
@pytest.mark.asvs("3.4.3")
@pytest.mark.asvs("3.4.4")
@pytest.mark.asvs("3.4.5")
@pytest.mark.asvs("3.4.6")
@pytest.mark.asvs("3.4.8")
@pytest.mark.asvs("14.3.2")
async def test_every_operation_answers_with_them_and_is_not_stored(world: World) -> None:
    member, stranger = world.visitor(), world.visitor()
    await member.sign_up("ada")
    for operation in route_table(world):
        if operation.method == "GET":
            for visitor in (stranger, member):
                answer = await visitor.get(path_of(operation))
                shared = operation.path == "/.well-known/jwks.json"
                check(answer, shared=shared)
                if not shared:
                    check_not_stored(answer)
    for operation in route_table(world):
        answers = [
            await call(stranger, operation),
            await call(world.visitor(), operation, origin="https://evil.example"),
        ]
        for answer in answers:
            check(answer, shared=operation.path == "/.well-known/jwks.json")


@pytest.mark.asvs("3.4.1")
@pytest.mark.asvs("16.5.1")
async def test_refusals_carry_them_too(world: World) -> None:
    member = world.visitor()
    await member.sign_up("ada")
    big = b"x" * 1_000_000
    json = {"content-type": "application/json", "x-csrf-token": member.csrf}
    answers = {
        404: [await member.get("/nothing"), await member.get("/api/nothing"), await member.get("/static/nothing.css")],
        405: [await member.send("POST", "/livez"), await member.send("PUT", "/sign-in"), await member.get("/sign-out")],
        413: [await member.http.post("/api/users", content=big, headers=json),
              await member.http.post("/sign-in", content=big, headers=json)],
        415: [await member.http.post("/api/users", content=b"x"), await member.http.post("/sign-up", content=b"x")],
        400: [await member.post("/api/users", {}), await member.get("/members?sort=x")],
        401: [await world.visitor().get("/api/users/me"), await world.visitor().sign_in("ada", "wrong")],
        403: [await world.visitor().http.post("/preferences", data={"theme": "dark"}),
              await member.http.patch("/api/users/me", json={"name": "Ada Two"})],
        303: [await member.get("/"), await world.visitor().get("/account")],
    }  # fmt: skip
    for status, found in answers.items():
        for answer in found:
            assert answer.status_code == status, answer.request.url
            check(answer)
            check_not_stored(answer)
            assert (
                answer.headers["x-request-id"] in answer.text
                or status == 303
                or not answer.content
                or ("problem" not in answer.headers["content-type"] and status in {400, 401, 403})
            )


@pytest.mark.asvs("3.4.1")
async def test_static_files_carry_them_and_are_kept(world: World) -> None:
    files = Pages("Doorward").static_files()
    assert files
    for path, (media_type, body) in files.items():
        answer = await world.visitor().get(path)
        check(answer)
        assert (answer.status_code, answer.content) == (200, body)
        assert answer.headers["content-type"] == media_type
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert (await world.visitor().http.head(path)).headers["content-length"] == str(len(body))
        assert (await world.visitor().http.post(path)).status_code in {404, 405}


async def test_the_fast_answers_carry_them(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    first, second = [await visitor.get("/api/sessions/current") for _ in range(2)]
    for answer in (first, second, await visitor.get("/livez"), await visitor.http.head("/livez")):
        check(answer)
        check_not_stored(answer)
    assert first.json() == second.json()


@pytest.mark.asvs("4.1.4")
@pytest.mark.asvs("13.4.4")
@pytest.mark.parametrize("method", FRAGMENTS)
async def test_unknown_methods_are_refused_whoever_asks(world: World, method: str) -> None:
    member = world.visitor()
    await member.sign_up("ada")
    for path in ("/", "/sign-in", "/api/users/me", "/livez", "/api/sessions/current", "/nothing"):
        for visitor in (member, world.visitor()):
            for headers in ({}, {"authorization": "Bearer abcdef"}, {"origin": "https://evil.example"}):
                answer = await visitor.http.request(method, path, headers=headers)
                assert answer.status_code == 405, (method, path, headers)
                assert answer.headers["allow"]
                assert "abcdef" not in answer.text
                check(answer)


@pytest.mark.asvs("3.4.2")
async def test_no_origin_is_let_in(world: World) -> None:
    member = world.visitor()
    await member.sign_up("ada")
    for origin in ("https://evil.example", "null", ORIGIN, "http://localhost:8000.evil.example"):
        asked = {
            "origin": origin,
            "access-control-request-method": "DELETE",
            "access-control-request-headers": "x-csrf-token",
        }
        check(await member.get("/api/users/me", headers=asked))
        check(await member.http.options("/api/users/me", headers=asked))


@pytest.mark.asvs("14.3.2")
async def test_the_address_of_a_link_is_told_to_nobody(world: World) -> None:
    with_token = {o.path.partition("{")[0] for o in route_table(world) if "{token}" in o.path}
    assert with_token == set(SECRET_PATHS)
    setup = (await world.services.setup.new_link()).removeprefix("/setup/")
    for number, (place, purpose) in enumerate(SECRET_PATHS.items()):
        visitor = world.visitor()
        user = await world.visitor().sign_up(f"user-{number}")
        token = setup if purpose is None else await live_token(world, purpose, user["id"])
        shown, sent = await visitor.get(place + token), await visitor.submit(place + token, {"password": "short"})
        assert (shown.status_code, sent.status_code in {303, 400, 410}) == (200, True), place
        for answer in (shown, sent):
            check(answer)
            assert answer.headers["referrer-policy"] == "no-referrer", place


@pytest.fixture
async def failing(world: World) -> AsyncIterator[Visitor]:
    """An application with an operation that raises what nobody foresaw."""
    real = front(world.services)

    async def fail(_: Call) -> Any:
        message = "SELECT secret FROM nowhere"
        raise RuntimeError(message)

    operations = [Operation("GET", path, fail, Access.ANYONE, "Fails") for path in ("/fails", "/api/fails")]
    broken = Front(real._gate, operations, {})  # noqa: SLF001  ours
    transport = httpx.ASGITransport(app=broken, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        yield Visitor(http)


@pytest.mark.asvs("16.5.1")
@pytest.mark.asvs("16.5.4")
@pytest.mark.asvs("13.4.6")
async def test_what_nobody_foresaw_says_nothing_but_a_number(failing: Visitor) -> None:
    for path in ("/fails", "/api/fails"):
        answer = await failing.get(path)
        assert answer.status_code == 500
        check(answer)
        check_not_stored(answer)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert not [word for word in ("SELECT", "RuntimeError", "Traceback", ".py") if word in answer.text]


@pytest.mark.asvs("13.4.5")
async def test_nothing_for_operators_is_public(world: World) -> None:
    for path in (
        "/metrics",
        "/debug",
        "/docs",
        "/redoc",
        "/admin",
        "/.env",
        "/.git/config",
        "/server-status",
        "/openapi.json",
        "/static/",
    ):
        assert (await world.visitor().get(path)).status_code == 404, path


async def test_every_answer_of_the_table_is_documented_as_page_or_api(world: World) -> None:
    for operation in route_table(world):
        answer = await call(world.visitor(), operation, path_of(operation))
        kind = answer.headers.get("content-type", "")
        if answer.status_code >= 400:
            wanted = "text/html; charset=utf-8" if operation.is_page else "application/problem+json"
            assert kind == wanted, name_of(operation)
