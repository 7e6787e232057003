"""Second factors of members: set up, used, and what is left to do at a sign-in."""

import base64
from typing import Any

import httpx

from doorward.authenticators.kinds.totp import STEP_SECONDS, code_at
from doorward.kernel.instant import SECOND
from tests.http.conftest import PASSWORD, Visitor, World

OWN = "/api/users/me/authenticators"
STEP = "/api/sessions/authenticator"


def app_code(world: World, key: str, steps: int = 0) -> str:
    """What an authenticator app with this key shows now, or so many steps later."""
    text = key.replace(" ", "")
    secret = base64.b32decode(text + "=" * (-len(text) % 8))
    return code_at(secret, world.clock.now() // (STEP_SECONDS * SECOND) + steps)


async def set_up_app(world: World, visitor: Visitor) -> str:
    """Turn an authenticator app on for somebody signed in just now; its key. The next code comes a step later."""
    offer = await visitor.post(OWN, {"kind": "totp"})
    assert offer.status_code == 200, offer.text
    key = str(offer.json()["secret"])
    answer = await visitor.post(f"{OWN}/confirm", {"kind": "totp", "code": app_code(world, key)})
    assert answer.status_code in {200, 201}, answer.text
    world.clock.advance(STEP_SECONDS)
    return key


async def make_codes(visitor: Visitor) -> list[str]:
    """Recovery codes for somebody signed in just now."""
    offer = await visitor.post(OWN, {"kind": "recovery_code"})
    assert offer.status_code == 200, offer.text
    codes: list[str] = offer.json()["codes"]
    assert (await visitor.post(f"{OWN}/confirm", {"kind": "recovery_code", "kept": True})).status_code == 201
    return codes


async def half_signed_in(world: World, uid: str, visitor: Visitor | None = None) -> tuple[Visitor, dict[str, Any]]:
    """Somebody who has shown the right password, and what they were told is left."""
    visitor = visitor or world.visitor()
    answer = await visitor.http.post("/api/sessions", json={"identifier": uid, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return visitor, told


async def step(visitor: Visitor, kind: str, code: str, **more: Any) -> httpx.Response:
    """Answer at the second step."""
    answer = await visitor.http.post(STEP, json={"kind": kind, "code": code, **more})
    if answer.status_code == 201:
        visitor.csrf = answer.json()["csrf_token"]
    return answer


async def signed_in(visitor: Visitor) -> bool:
    """Whether the browser's cookie opens anything."""
    return (await visitor.get("/api/sessions/current")).status_code == 200
