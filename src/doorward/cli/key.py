"""doorward key."""

from typing import Any

import click

from doorward import app
from doorward.cli.common import as_json, open_place, places, say_json, say_table, with_services


@click.group("key")
def command() -> None:
    """List the keys that sign tokens."""


@command.command("list")
@as_json
@places
def list_keys(data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """List the keys in force: their id, algorithm, and which one signs."""

    async def find(services: app.Services) -> list[dict[str, Any]]:
        await services.keys.ready()
        signing = services.keys.signing_kid
        return [{"kid": key.kid, "alg": key.alg, "signs": key.kid == signing} for key in services.keys.loaded]

    found = with_services(open_place(data, config), find)
    (say_json if json_wanted else say_table)(found)
