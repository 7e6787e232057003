"""Members whose addresses are proven, and what was sent to them."""

import re

import httpx

from tests.http.conftest import Inbox, Sent, Visitor, World

STALE = 601  # seconds after which an authentication is no longer fresh (C26)


async def member(world: World, uid: str, address: str | None = None, **headers: str) -> tuple[Visitor, str]:
    """Someone signed in who has proven `address`, and their id."""
    visitor = world.visitor(**headers)
    user = await visitor.sign_up(uid, **({} if address is None else {"email": address}))
    if address is not None:
        answer = await visitor.post("/api/verifications", {"code": await code(world, address)})
        assert answer.status_code == 200, answer.text
    return visitor, str(user["id"])


async def last(world: World, to: str, template: str | None = None) -> Sent:
    """The latest message to an address or a number. The next comes a second later, for ids alone put them in order."""
    found = await Inbox(world).last(to, template)
    world.clock.advance(1)
    return found


async def code(world: World, to: str) -> str:
    """The code in it."""
    return str((await last(world, to)).values["code"])


async def link(world: World, to: str) -> str:
    """The path of its link."""
    return str((await last(world, to)).values["path"])


async def follow(visitor: Visitor, path: str) -> httpx.Response:
    """Open a link and press the only button of its page."""
    return await visitor.submit(path, {})


async def email_of(visitor: Visitor) -> tuple[str | None, bool]:
    """One's own address and whether it is proven."""
    me = (await visitor.get("/api/users/me")).json()
    return me["email"], me["email_verified"]


def headings(answer: httpx.Response) -> list[str]:
    """The headings of a page."""
    return [re.sub(r"<[^>]+>", "", text) for text in re.findall(r"<h[12][^>]*>(.*?)</h[12]>", answer.text)]
