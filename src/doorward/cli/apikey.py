"""doorward apikey."""

from collections.abc import Sequence
from typing import Any

import click

from doorward import app
from doorward.apikeys import DEFAULT_DAYS, LONGEST_DAYS, ApiKey, Made, decode
from doorward.cli.common import as_json, find_user, open_place, places, say_json, say_table, with_services
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.instant import to_rfc3339


@click.group("apikey")
def command() -> None:
    """Make, list and end API keys, with which programs act for a user."""


@command.command("create")
@click.argument("user")
@click.option("--name", required=True, help="What it is for; its owner sees it.")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="What it may do, such as users:write; repeatable."
)
@click.option("--days", type=click.IntRange(1, LONGEST_DAYS), default=DEFAULT_DAYS, show_default=True, help="Its life.")
@click.option("--network", "networks", multiple=True, help="Only from this address or network; repeatable.")
@click.option("--per-minute", type=click.IntRange(1), help="Requests a minute, if fewer than limits.toml allows.")
@as_json
@places
def create(user: str, data: str | None, config: str | None, *, json_wanted: bool, **asked: Any) -> None:  # noqa: ANN401  click's options
    """Make a key that acts for USER. Its secret is printed once; the user is told by mail."""
    body = {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}

    async def make(services: app.Services) -> Made:
        owner = await find_user(services, user)
        keys = services.api_keys
        wanted = decode(body, keys.scopes_for(owner.roles), keys.most_per_minute)
        return await keys.create_for(owner.id, wanted, LOCAL_OPERATOR)

    made = with_services(open_place(data, config), make)
    if json_wanted:
        say_json({**_shown(made.key), "secret": made.secret})
        return
    say_table([_shown(made.key)])
    click.echo(f"\n{made.secret}\n\nKeep it now: it is shown only this once.")


@command.command("list")
@click.option("--user", help="Only the keys of this user.")
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@as_json
@places
def list_keys(data: str | None, config: str | None, *, user: str | None, lines: int, json_wanted: bool) -> None:
    """List keys, the newest first: whose, what for, until when, last used. Never a secret."""

    async def find(services: app.Services) -> Sequence[ApiKey]:
        if user is None:
            return await services.api_keys.list_all(lines)
        return (await services.api_keys.list_of((await find_user(services, user)).id))[:lines]

    found = [_shown(key) for key in with_services(open_place(data, config), find)]
    (say_json if json_wanted else say_table)(found)


@command.command("revoke")
@click.argument("key_id", metavar="ID")
@places
def revoke(key_id: str, data: str | None, config: str | None) -> None:
    """End the key ID, on every running server."""

    async def end(services: app.Services) -> None:
        await services.api_keys.revoke(key_id, LOCAL_OPERATOR)

    with_services(open_place(data, config), end)
    click.echo("That key has ended.")


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "user_id": key.user_id,
        "name": key.name,
        "hint": key.hint,
        "scopes": list(key.scopes),
        "networks": list(key.networks),
        "per_minute": key.per_minute,
        "expires_at": to_rfc3339(key.expires_at),
        "last_used_at": None if key.last_used_at is None else to_rfc3339(key.last_used_at),
        "last_address": key.last_address,
    }
