"""Where a browser is sent with a code: to exactly what is registered (C55; ASVS 10.4.1; RFC 9700 §2.1, §4.1)."""

import secrets
from typing import Any

import pytest

from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.errors import Invalid
from doorward.oidc import Client, redirect_problem
from tests.http.conftest import World
from tests.support.apps import member, register
from tests.support.attack import dump

VERIFIER = secrets.token_urlsafe(32)
REAL = "https://app.example/cb?keep=1"
MUTATIONS = [
    "https://app.example/cb",
    "https://app.example/cb?keep=1&more=2",
    "https://app.example/cb?keep=1#",
    "https://app.example/cb?keep=1#fragment",
    "https://app.example/cb/?keep=1",
    "https://app.example//cb?keep=1",
    "https://app.example/./cb?keep=1",
    "https://app.example/x/../cb?keep=1",
    "https://app.example/%63b?keep=1",
    "https://app.example/CB?keep=1",
    "https://app.example/cb?KEEP=1",
    "https://APP.example/cb?keep=1",
    "HTTPS://app.example/cb?keep=1",
    "http://app.example/cb?keep=1",
    "https://app.example:443/cb?keep=1",
    "https://app.example./cb?keep=1",
    "https://app.example.evil.example/cb?keep=1",
    "https://evil.example/cb?keep=1",
    "https://app.example@evil.example/cb?keep=1",
    "https://user:word@app.example/cb?keep=1",
    "https://evil.example\\@app.example/cb?keep=1",
    "https://app.example\\.evil.example/cb?keep=1",
    "//app.example/cb?keep=1",
    "/cb?keep=1",
    "javascript:alert(1)//https://app.example/cb?keep=1",
    "data:text/html,x",
    " https://app.example/cb?keep=1",
    "https://app.example/cb?keep=1 ",
    "https://app.example/cb?keep=1\r\nLocation: https://evil.example",
    "https://app.example/cb?keep=1\x00",
    "https://app.example/cb\t?keep=1",
    "https://app\u3002example/cb?keep=1",
    "https://\u0430pp.example/cb?keep=1",
    "https://app.example/cb?keep=1,https://evil.example",
    "https://*.example/cb?keep=1",
    "",
]  # fmt: skip


@pytest.mark.asvs("10.4.1")
@pytest.mark.asvs("3.7.2")
@pytest.mark.parametrize("signed_in", [True, False])
async def test_a_mutation_is_shown_a_page_of_ours_and_leads_nowhere(world: World, *, signed_in: bool) -> None:
    assert len(MUTATIONS) >= 25
    app = await register(world, redirect_uris=(REAL,))
    visitor = await member(world) if signed_in else world.visitor()
    before = await dump(world.services.db)
    for uri in [*MUTATIONS, None]:
        for more in ({}, {"response_type": "token"}, {"prompt": "none"}, {"scope": "admin"}):
            answer = await visitor.get(app.url(VERIFIER, redirect_uri=uri, **more))
            assert answer.status_code == 400, uri
            assert answer.headers["content-type"].startswith("text/html")
            assert "location" not in answer.headers
            assert "refresh" not in answer.headers
    assert await dump(world.services.db) == before


@pytest.mark.asvs("10.4.1")
async def test_what_is_registered_is_kept_as_it_is(world: World) -> None:
    app, ada = await register(world, redirect_uris=(REAL, "https://app.example/other")), await member(world)
    for uri in app.client.redirect_uris:
        answer = await ada.get(app.url(VERIFIER, redirect_uri=uri))
        assert answer.headers["location"].startswith(f"{uri}{'&' if '?' in uri else '?'}code=")


async def test_a_parameter_given_twice_leads_nowhere(world: World) -> None:
    app, ada = await register(world, redirect_uris=(REAL,)), await member(world)
    for name, value in (("redirect_uri", "https://evil.example"), ("client_id", "other"), ("state", "x")):
        assert (await ada.get(f"{app.url(VERIFIER)}&{name}={value}")).status_code == 400


@pytest.mark.asvs("10.4.1")
@pytest.mark.parametrize("client_id", [None, "", "nobody", "\x00", "x" * 5000, "doorward"])
async def test_an_unknown_client_leads_nowhere(world: World, client_id: str | None) -> None:
    app, ada = await register(world, redirect_uris=(REAL,)), await member(world)
    answer = await ada.get(app.url(VERIFIER, client_id=client_id))
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_the_address_of_one_client_is_none_of_anothers(world: World) -> None:
    await register(world, redirect_uris=(REAL,))
    other, ada = await register(world, redirect_uris=("https://other.example/cb",)), await member(world)
    assert (await ada.get(other.url(VERIFIER, redirect_uri=REAL))).status_code == 400


@pytest.mark.asvs("10.4.1")
@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/cb", "https://app.example/cb#x", "https://app.example/cb#", "https://*.example/cb",
        "https://app.example/*", "https://user@app.example/cb", "https:///cb", "https:app.example/cb", "cb", "",
        "javascript:alert(1)", "com.example.app:/cb", "https://App.example/cb", "https://app.example/../cb",
        "https://app.example/%2e%2e/cb", "https://app.example/cb?code=1", "https://app.example/cb?st%61te=1",
        "https://app.example/c b", "https://app.example/c\\b", "https://app.example/\u00e9", "https://app.example:x/",
        "https://app.example:0/", "https://[::1/", "http://127.0.0.1.evil.example/cb", "ftp://app.example/",
        "https://app.example/" + "x" * 500,
    ],
)  # fmt: skip
def test_what_nobody_may_register(uri: str) -> None:
    assert redirect_problem(uri, loopback=True) is not None


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000/cb", "http://[::1]/cb", "http://localhost:8080/cb"])
def test_plain_http_is_for_this_machine_where_that_is_allowed(uri: str) -> None:
    assert redirect_problem(uri, development=True) is None
    assert redirect_problem(uri) is not None
    by_name = "localhost" in uri  # which may lead elsewhere (RFC 8252 §8.3)
    assert (redirect_problem(uri, loopback=True) is not None) is by_name


@pytest.mark.asvs("10.4.11")
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"id": "01890000-0000-7000-8000-000000000000"}, "id"),
        ({"id": "doorward"}, "id"),
        ({"id": "client:x"}, "id"),
        ({"id": "x"}, "id"),
        ({"name": " "}, "name"),
        ({"redirect_uris": ()}, "redirect-uri"),
        ({"redirect_uris": (REAL, REAL)}, "redirect-uri"),
        ({"redirect_uris": ("http://app.example/",)}, "redirect-uri"),
        ({"post_logout_redirect_uris": ("http://app.example/",)}, "post-logout-redirect-uri"),
        ({"resources": ("x",)}, "resource"),
        ({"scopes": ("two words",)}, "scope"),
        ({"claims": ("nothing",)}, "claim"),
        ({"alg": "HS256"}, "alg"),
        ({"auth_method": "none"}, "auth"),
        ({"kind": "spa"}, "auth"),
        ({"kind": "native"}, "auth"),
        ({"kind": "service"}, "redirect-uri"),
        ({"kind": "service", "redirect_uris": (), "scopes": ("openid",)}, "scope"),
        ({"auth_method": "private_key_jwt"}, "jwks"),
        ({"jwks": {"keys": []}}, "jwks"),
    ],
    ids=str,
)
async def test_a_registration_that_could_not_be_right_is_refused(
    world: World, changed: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await register(world, **changed)
    assert field in {error.field for error in refused.value.errors}


async def test_a_field_that_means_something_else_in_a_token_is_no_claim(world: World) -> None:
    clients = world.services.apps.clients
    clients.fields = (*clients.fields, "groups")
    with pytest.raises(Invalid):
        await clients.add(
            Client("", "Notes", "web", "client_secret_basic", (REAL,), claims=("groups",)), LOCAL_OPERATOR
        )
