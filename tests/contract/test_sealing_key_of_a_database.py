"""A database remembers which sealing key it is used with; with another, or with none, nothing starts (C19)."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from starlette.types import Message

from doorward.adapters.keyring import SealingKey, SealingKeyRefused
from doorward.app import App, open_services
from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.kernel.startup import StartRefused
from tests.support.serving import refused

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(database_address: str, tmp_path: Path) -> Settings:
    """For the database of this test, SQLite in the first data directory."""
    if not database_address.startswith("postgresql:"):
        DataDir.open(tmp_path / "first")
        shutil.copy(database_address, tmp_path / "first/doorward.db")
        return Settings()
    database = msgspec.structs.replace(Settings().database, url=database_address)
    return msgspec.structs.replace(Settings(), database=database)


async def use(settings: Settings, data: DataDir) -> str:
    async with open_services(settings, data) as services:
        return services.sealer.key_id


async def test_the_key_of_the_first_start_is_used_ever_after(settings: Settings, tmp_path: Path) -> None:
    data = DataDir.open(tmp_path / "first")
    assert await use(settings, data) == await use(settings, data)


@pytest.mark.asvs("13.3.1")
async def test_a_lost_key_is_not_replaced_by_a_new_one(settings: Settings, tmp_path: Path) -> None:
    data = DataDir.open(tmp_path / "first")
    await use(settings, data)
    data.sealing_key.unlink()
    with pytest.raises(SealingKeyRefused, match="Put the key back"):
        await use(settings, data)
    assert not data.sealing_key.exists()


async def test_another_key_is_refused(settings: Settings, tmp_path: Path) -> None:
    data = DataDir.open(tmp_path / "first")
    await use(settings, data)
    data.sealing_key.write_text(SealingKey.new().text)
    with pytest.raises(SealingKeyRefused, match="another sealing key"):
        await use(settings, data)


async def test_a_second_machine_without_the_key_is_refused_and_gets_none(
    postgresql_address: str, tmp_path: Path
) -> None:
    database = msgspec.structs.replace(Settings().database, url=postgresql_address)
    settings = msgspec.structs.replace(Settings(), database=database)
    await use(settings, DataDir.open(tmp_path / "first"))
    second = DataDir.open(tmp_path / "second")
    with pytest.raises(SealingKeyRefused, match="Put the key"):
        await use(settings, second)
    assert not second.sealing_key.exists()


async def test_the_application_tells_the_server_why_it_does_not_start(settings: Settings, tmp_path: Path) -> None:
    data = DataDir.open(tmp_path / "first")
    await use(settings, data)
    data.sealing_key.write_text(SealingKey.new().text)
    app = App(settings, data)
    sent: list[Mapping[str, str]] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)
    assert isinstance(app.refused, StartRefused)
    assert "another sealing key" in sent[-1]["message"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_ends_with_the_status_of_a_refusal_and_a_plain_message(tmp_path: Path, workers: str) -> None:
    place = ("--data", str(tmp_path / "data"))
    assert refused("doorward.cli", "init", *place)[0] == 0
    DataDir.open(tmp_path / "data").sealing_key.write_text(SealingKey.new().text)
    for command in (("serve", "--port", "0", "--workers", workers), ("user", "list")):
        status, said = refused("doorward.cli", *command, *place)
        assert status == 2, said
        assert "another sealing key" in said
        assert "Traceback" not in said
