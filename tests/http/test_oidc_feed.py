"""The feed by which apps hear within two seconds of what has ended."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest

from doorward.oidc import check_public_keys, following
from doorward.sessions import list_revocations
from tests.http.conftest import ORIGIN, World
from tests.support.apps import (
    Key,
    assertion,
    claims_of,
    member,
    register,
    register_public,
    register_service,
    shown,
)
from tests.support.attack import OPERATOR
from tests.support.waiting import until


@dataclass
class Stream:
    """One open stream, spoken to over ASGI as a server would: a test client would wait for its end."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False
    body: bytes = b""
    _read: bool = False
    _gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> dict[str, Any]:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        if self.status == 200:
            self.lines += [json.loads(line) for line in message.get("body", b"").splitlines()]
        self.ended = not message.get("more_body", False)

    def leave(self) -> None:
        """The client goes away."""
        self._gone.set()

    def heard(self, kind: str, subject: str) -> bool:
        """Whether something was said to be over."""
        return any((line.get("kind"), line.get("id")) == (kind, subject) for line in self.lines)


@asynccontextmanager
async def following_of(
    world: World, headers: dict[str, str], query: str = "", form: dict[str, str] | None = None
) -> AsyncIterator[Stream]:
    """By GET; with a form by POST."""
    stream = Stream(body=urlencode(form or {}).encode())
    if form is not None:
        headers = {**headers, "content-type": "application/x-www-form-urlencoded"}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1",
        "method": "GET" if form is None else "POST",
        "path": "/oauth/revocations", "raw_path": b"/oauth/revocations", "root_path": "", "scheme": "http",
        "query_string": query.encode(), "client": ("127.0.0.1", 1), "server": ("localhost", 8000),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    task = asyncio.create_task(world.app(scope, stream.receive, stream.send))
    try:
        await until(lambda: stream.status)
        yield stream
    finally:
        stream.leave()
        await task


async def fresh(world: World) -> None:
    """After the clock was moved the feed has to look again before anybody believes it."""
    await world.services.sessions.feed.read_once()


@pytest.mark.asvs("7.4.2")
async def test_an_app_hears_of_every_end_within_two_seconds(world: World) -> None:
    app, ada = await register(world), await member(world)
    tokens, again = await app.tokens(ada), await app.tokens(ada)
    claims = claims_of(tokens["access_token"])
    async with following_of(world, app.basic) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "application/x-ndjson")
        assert stream.headers["cache-control"] == "no-store"
        await until(lambda: stream.lines)
        assert stream.lines[0]["heartbeat"] is True
        ends: dict[tuple[str, str], Callable[[], Awaitable[Any]]] = {
            ("family", claims_of(again["access_token"])["fid"]): partial(
                app.http.post, "/oauth/revoke", data={"token": again["refresh_token"]}, headers=app.basic
            ),
            ("session", claims["sid"]): partial(ada.send, "DELETE", "/api/sessions/current"),
            ("user", claims["sub"]): partial(
                world.services.users.set_status, claims["sub"], "disabled", None, OPERATOR
            ),
        }
        await ada.send("PATCH", "/api/users/me", {"name": "Ada L."})
        for what, end in ends.items():
            await end()
            assert await until(partial(stream.heard, *what)) < 2
        line = next(line for line in stream.lines if line.get("kind") == "session")
        assert (line["at"], line["seq"] > 0) == (world.clock.now() // 1000, True)
        kinds = [line["kind"] for line in stream.lines if "kind" in line]
        assert kinds == ["family", "session", "user"], "a new name has ended nothing"


@pytest.mark.asvs("7.4.2")
async def test_an_app_hears_of_everybody_who_is_erased_or_leaves(world: World) -> None:
    """At once by an administrator, or with time to come back."""
    app, users = await register(world), world.services.users
    at_once, later = await member(world, "ada"), await member(world, "bob")
    tokens = {uid: await app.tokens(visitor) for uid, visitor in (("ada", at_once), ("bob", later))}
    subjects = {uid: claims_of(granted["access_token"])["sub"] for uid, granted in tokens.items()}
    async with following_of(world, app.basic) as stream:
        await until(lambda: stream.lines)
        await users.delete(subjects["ada"], None, OPERATOR)
        assert await until(lambda: stream.heard("user", subjects["ada"])) < 2
        now = world.clock.now()
        await world.services.db.write(lambda: users.leave(subjects["bob"], OPERATOR, now))
        assert await until(lambda: stream.heard("user", subjects["bob"])) < 2
    for granted in tokens.values():
        assert (await app.introspect(granted["access_token"]))["active"] is False


async def test_there_is_a_heartbeat_twice_a_second_as_long_as_the_feed_is_fresh(world: World) -> None:
    app = await register(world)
    async with following_of(world, app.basic) as stream:
        assert await until(lambda: len(stream.lines) >= 4) < 2.5
        assert all(line == {"seq": line["seq"], "heartbeat": True} for line in stream.lines)
        await world.services.sessions.feed.stop()
        world.clock.advance(1)
        silent = len(stream.lines)
        await asyncio.sleep(1.2)
        assert len(stream.lines) == silent, "nobody is told that all is well when we do not know"
    async with following_of(world, app.basic) as late:
        assert late.status == 503


async def test_whoever_begins_hears_of_all_that_can_still_matter(world: World) -> None:
    app, ada, eve = await register(world), await member(world), await member(world, "eve")
    old, new = [(await one.get("/api/sessions/current")).json()["id"] for one in (ada, eve)]
    await ada.send("DELETE", "/api/sessions/current")
    world.clock.advance(661)
    await eve.send("DELETE", "/api/sessions/current")
    await fresh(world)
    async with following_of(world, app.basic) as stream:
        await until(lambda: stream.heard("session", new))
        assert not stream.heard("session", old), "every token of then has expired"
    (first, *_) = await world.services.db.search(list_revocations(-1))
    async with following_of(world, app.basic, f"after={first.seq}") as stream:
        await until(lambda: stream.heard("session", new))
        assert stream.heard("session", old), "sent again, in case one came late"


async def test_a_renewed_session_is_not_over(world: World) -> None:
    app, ada = await register(world), await member(world)
    session = (await ada.get("/api/sessions/current")).json()["id"]
    async with following_of(world, app.basic) as stream:
        await ada.submit("/confirm", {"password": "seven quiet herons at noon"})
        seq = (await world.services.db.search(list_revocations(-1)))[-1].seq
        await until(lambda: any(line["seq"] >= seq for line in stream.lines))
        assert not stream.heard("session", session)
        assert not [line for line in stream.lines if line.get("kind") == "renewal"]


@pytest.mark.asvs("8.2.1")
async def test_only_apps_that_can_prove_it_may_follow(world: World) -> None:
    app, public, service, ada = (
        await register(world), await register_public(world), await register_service(world), await member(world)
    )  # fmt: skip
    right = (await service.token(grant_type="client_credentials", resource=ORIGIN)).json()["access_token"]
    async with following_of(world, {"authorization": f"Bearer {right}"}) as stream:
        assert stream.status == 200
    elsewhere = (await service.token(grant_type="client_credentials")).json()["access_token"]
    narrow = (await service.token(grant_type="client_credentials", resource=ORIGIN, scope="reports")).json()
    users = (await app.tokens(ada))["access_token"]
    for headers, status in (
        ({}, 401),
        ({"authorization": "Basic x"}, 401),
        ({"authorization": f"Bearer {elsewhere}"}, 401),
        ({"authorization": f"Bearer {users}"}, 401),
        ({"authorization": f"Bearer {narrow['access_token']}"}, 403),
        (ada.cookie_header(), 401),
    ):
        async with following_of(world, headers) as stream:
            assert stream.status == status, headers
    async with following_of(world, {}, f"client_id={public.client.id}") as stream:
        assert stream.status == 401
    async with following_of(world, app.basic, "after=-1") as stream:
        assert stream.status == 400


@pytest.mark.asvs("10.4.16")
async def test_a_form_has_room_for_every_way_to_prove_it(world: World) -> None:
    key, ada = Key(world), await member(world)
    public = check_public_keys({"keys": [{**key.jwk.as_dict(private=False), "kid": "one"}]})
    keyed = await register(world, auth_method="private_key_jwt", jwks=public)
    app, session = await register(world), (await ada.get("/api/sessions/current")).json()["id"]
    sent = shown(assertion(world, keyed, key))
    async with following_of(world, {}, form=sent) as by_key, following_of(world, app.basic, form={}) as by_secret:
        assert (by_key.status, by_secret.status) == (200, 200)
        await ada.send("DELETE", "/api/sessions/current")
        assert await until(lambda: by_key.heard("session", session) and by_secret.heard("session", session)) < 2
    world.clock.advance(661)
    await fresh(world)
    for after, hears in (("1", True), ("", False)):
        async with following_of(world, app.basic, form={"after": after}) as stream:
            await until(lambda: stream.lines)
            assert stream.heard("session", session) is hears, "from a number on, or what can still matter"


@pytest.mark.asvs("8.2.1")
@pytest.mark.asvs("10.4.16")
async def test_a_form_that_proves_nothing_is_refused(world: World) -> None:
    key, thief = Key(world), Key(world)
    public = check_public_keys({"keys": [{**key.jwk.as_dict(private=False), "kid": "one"}]})
    keyed = await register(world, auth_method="private_key_jwt", jwks=public)
    narrow = await register(world, scopes=("openid",), auth_method="private_key_jwt", jwks=public)
    app, spa, service = await register(world), await register_public(world), await register_service(world)
    bearer = (await service.token(grant_type="client_credentials", resource=ORIGIN)).json()["access_token"]
    once = shown(assertion(world, keyed, key))
    async with following_of(world, {}, form=once) as stream:
        assert stream.status == 200
    cases: list[tuple[dict[str, str], dict[str, str], int]] = [
        ({}, {}, 401),
        ({}, once, 401),
        ({}, shown(assertion(world, keyed, thief)), 401),
        ({}, shown(assertion(world, keyed, key)) | {"client_id": app.client.id}, 401),
        ({}, shown(assertion(world, narrow, key)), 403),
        ({}, {"client_id": spa.client.id}, 401),
        ({}, {"client_id": app.client.id}, 401),
        ({"authorization": f"Bearer {bearer}"}, {}, 401),
        (app.basic, {"after": "-1"}, 400),
        (app.basic, {"after": "9" * 19}, 400),
        (app.basic, shown(assertion(world, keyed, key)), 400),  # two ways at once (RFC 6749 §2.3)
    ]
    for headers, form, status in cases:
        async with following_of(world, headers, form=form) as stream:
            assert stream.status == status, (headers, form)


@pytest.mark.asvs("15.1.3")
async def test_streams_are_bounded_and_end_with_the_server(world: World) -> None:
    app, feed = await register(world), world.services.apps.following
    streams = [following_of(world, app.basic) for _ in range(following.MAX_OF_CLIENT)]
    opened = [await stream.__aenter__() for stream in streams]
    await until(lambda: feed.streams == following.MAX_OF_CLIENT)
    async with following_of(world, app.basic) as beyond:
        assert (beyond.status, beyond.headers["retry-after"]) == (503, "1")
    opened[0].leave()
    await until(lambda: feed.streams == following.MAX_OF_CLIENT - 1)
    world.app.stopping()
    assert await until(lambda: all(stream.ended for stream in opened[1:])) < 1
    assert feed.streams == 0
    for stream in streams:
        await stream.__aexit__(None, None, None)


async def test_a_reader_that_falls_behind_is_sent_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "QUEUE", 3)
    app, sessions = await register(world), world.services.sessions
    async with following_of(world, app.basic) as stream:
        await until(lambda: len(stream.lines) > 1)
        for number in range(5):
            await world.services.db.write(partial(sessions.revoke, "token", str(number), 0))
        await fresh(world)
        await until(lambda: stream.ended or stream.heard("token", "4"))
