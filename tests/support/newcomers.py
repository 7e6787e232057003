"""Those who sign up with a passkey, over JSON and from the pages."""

import json
from typing import Any

import httpx

from doorward.testing.authenticator import SoftwareAuthenticator
from tests.http.conftest import ORIGIN, Visitor

OPTIONS, AGAIN, SIGN_UP = "/api/users/passkey/options", "/api/users/passkey/options/again", "/api/users/passkey"
PAGE, CREATE_PAGE = "/sign-up/passkey", "/sign-up/passkey/create"


async def options_for(visitor: Visitor, **fields: Any) -> dict[str, Any]:
    """Fill in who one is; what to make."""
    answer = await visitor.http.post(OPTIONS, json=fields)
    assert answer.status_code == 200, answer.text
    options: dict[str, Any] = answer.json()
    return options


async def send(visitor: Visitor, credential: Any) -> httpx.Response:
    """Send what the device has made."""
    answer = await visitor.http.post(SIGN_UP, json={"credential": credential})
    if answer.status_code == 201:
        await visitor.learn_csrf()
    return answer


async def join(visitor: Visitor, device: SoftwareAuthenticator, uid: str, **fields: Any) -> dict[str, Any]:
    """Sign up with a passkey in mode "uid"; the user."""
    options = await options_for(visitor, uid=uid, name=f"Name of {uid}", **fields)
    answer = await send(visitor, device.create(options, ORIGIN))
    assert answer.status_code == 201, answer.text
    user: dict[str, Any] = answer.json()
    return user


async def over_pages(visitor: Visitor, device: SoftwareAuthenticator, **fields: str) -> httpx.Response:
    """The same from the pages, as their script does; the last answer."""
    answer = await visitor.submit(PAGE, fields)
    assert (answer.status_code, answer.headers.get("location")) == (303, CREATE_PAGE), answer.text
    options = (await visitor.http.post(AGAIN, json={}, headers={"origin": ORIGIN})).json()
    credential = device.create(options, ORIGIN)
    return await visitor.submit(CREATE_PAGE, {"kind": "passkey", "credential": json.dumps(credential)})


async def use(visitor: Visitor, device: SoftwareAuthenticator, **tweaks: Any) -> httpx.Response:
    """Sign in with the passkey alone."""
    options = (await visitor.http.post("/api/sessions/passkey/options", json={})).json()
    credential = device.get(options, ORIGIN, **tweaks)
    answer = await visitor.http.post("/api/sessions/passkey", json={"credential": credential})
    if answer.status_code == 201:
        visitor.csrf = answer.json()["csrf_token"]
    return answer
