"""The whole application in process, on both databases, reached over ASGI as a program or a browser would."""

import io
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from doorward import log, testing
from doorward.adapters.sealing import KeyFileSealer
from doorward.app import App, Services
from doorward.config import Settings
from doorward.config.settings import Signup
from doorward.datadir import DataDir
from doorward.testing import MovableClock, Sent
from doorward.users import Declaration
from tests.support.logs import restored_logging

__all__ = ["Sent"]  # what tests read in an inbox

ORIGIN = "http://localhost:8000"
PASSWORD = "seven quiet herons at noon"
FITNESS = {
    "tracking": Declaration(type="json"),
    "exercise": Declaration(type="json"),
    "coins": Declaration(type="integer", write="app", read="public", sortable=True, minimum=0, default=0),
    "motto": Declaration(type="string", max_length=200, read="members"),
    "secret": Declaration(type="string", max_length=200),
}


@dataclass(repr=False)
class Visitor:
    """Someone with a cookie jar. A browser also says where its requests come from."""

    http: httpx.AsyncClient
    csrf: str = ""

    async def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return await self.http.get(path, **kwargs)

    def cookie_header(self) -> dict[str, str]:
        """Its cookies as a header, to be replayed by somebody else."""
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())}

    async def send(self, method: str, path: str, json: Any = None, **kwargs: Any) -> httpx.Response:
        headers = {**({"x-csrf-token": self.csrf} if self.csrf else {}), **kwargs.pop("headers", {})}
        if json is None:
            return await self.http.request(method, path, headers=headers, **kwargs)
        return await self.http.request(method, path, json=json, headers=headers, **kwargs)

    async def post(self, path: str, json: Any = None, **kwargs: Any) -> httpx.Response:
        return await self.send("POST", path, json, **kwargs)

    async def sign_up(self, uid: str, password: str = PASSWORD, **fields: Any) -> dict[str, Any]:
        """Sign up over JSON; from then on requests carry the session's CSRF token."""
        body = {"uid": uid, "name": f"Name of {uid}", "password": password, **fields}
        answer = await self.http.post("/api/users", json=body)
        assert answer.status_code == 201, answer.text
        await self.learn_csrf()
        user: dict[str, Any] = answer.json()
        return user

    async def sign_in(self, identifier: str, password: str = PASSWORD) -> httpx.Response:
        answer = await self.http.post("/api/sessions", json={"identifier": identifier, "password": password})
        if answer.status_code == 201:
            self.csrf = answer.json()["csrf_token"]
        return answer

    async def learn_csrf(self) -> str:
        self.csrf = (await self.http.get("/api/sessions/current")).json()["csrf_token"]
        return self.csrf

    async def submit(self, path: str, fields: Mapping[str, str], page: str | None = None) -> httpx.Response:
        """Fetch a page and send its form, as a browser without JavaScript does."""
        shown = await self.http.get(page or path)
        token = re.search(r'name="csrf_token" value="([^"]+)"', shown.text)
        assert token, shown.text
        return await self.http.post(
            path,
            data={"csrf_token": token[1], **fields},
            headers={"origin": ORIGIN, "sec-fetch-site": "same-origin"},
        )


@dataclass(repr=False)  # of everything that is wired it would never end
class World:
    """A running application and a way to meet it."""

    app: App
    services: Services
    clock: MovableClock

    def visitor(self, address: str = "127.0.0.1", **headers: str) -> Visitor:
        transport = httpx.ASGITransport(app=self.app, client=(address, 40000))
        return Visitor(httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers))


class Inbox(testing.Inbox[World]):
    """Every mailbox and every telephone of a world."""


@asynccontextmanager
async def running(settings: Settings, data: DataDir, clock: MovableClock) -> AsyncIterator[World]:
    app = App(settings, data, clock)
    async with app.running() as services:
        yield World(app, services, clock)


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[io.StringIO]:
    """What the application logs, as JSON lines."""
    with restored_logging():
        stream = io.StringIO()
        log.configure(form="json", stream=stream)
        yield stream


@pytest.fixture
def settings() -> Settings:
    """Cheap hashes; the write-up's fields."""
    base = Settings()
    return msgspec.structs.replace(
        base,
        signup=Signup(identifier="uid"),
        fields=FITNESS,
        password=msgspec.structs.replace(base.password, memory_kib=8, time_cost=1),
    )


@pytest.fixture
def mail_settings(settings: Settings) -> Settings:
    """The same where people sign up with an e-mail address, as they do unless configured otherwise."""
    return msgspec.structs.replace(settings, signup=Signup(identifier="email"))


@pytest.fixture
async def world(database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock) -> AsyncIterator[World]:
    """The application on each database in turn."""
    async with on_database(database_address, settings, tmp_path, clock) as world:
        yield world


@pytest.fixture
async def mail_world(
    database_address: str, mail_settings: Settings, tmp_path: Path, clock: MovableClock
) -> AsyncIterator[World]:
    """The application in mode "email", on each database in turn."""
    async with on_database(database_address, mail_settings, tmp_path, clock) as world:
        yield world


@pytest.fixture
def inbox(mail_world: World) -> Inbox:
    """Every mailbox there is."""
    return Inbox(mail_world)


@asynccontextmanager
async def on_database(
    database_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> AsyncIterator[World]:
    """Run the application on a migrated database."""
    data = DataDir.open(tmp_path / "data")
    if database_address.startswith("postgresql:"):
        database = msgspec.structs.replace(settings.database, url=database_address)
        settings = msgspec.structs.replace(settings, database=database)
    elif not data.database.exists():  # else it is a restart
        KeyFileSealer.open_or_create(data.sealing_key)  # a database without its key is refused
        shutil.copy(database_address, data.database)
    async with running(settings, data, clock) as world:
        yield world


@pytest.fixture
def visitor(world: World) -> Visitor:
    """A program with a cookie jar."""
    return world.visitor()
