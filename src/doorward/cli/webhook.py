"""doorward webhook."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from doorward import app
from doorward.cli import FAILED
from doorward.cli.common import as_json, open_place, places, say_json, say_table, with_services
from doorward.events import TYPES, Added, Webhook
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.instant import to_rfc3339
from doorward.ports.outbound import OutboundFailed


@click.group("webhook")
def command() -> None:
    """Tell apps what happens to users: add, list, test, replay and remove endpoints."""


@command.command("add")
@click.argument("url")
@click.option("--type", "types", multiple=True, type=click.Choice(TYPES), help="Only these events; repeatable.")
@as_json
@places
def add(url: str, data: str | None, config: str | None, *, types: Sequence[str], json_wanted: bool) -> None:
    """Send what happens from now on to URL. The secret that signs it is printed once."""

    async def make(services: app.Services) -> Added:
        return await services.webhooks.add(url, types, LOCAL_OPERATOR)

    added = with_services(open_place(data, config), make)
    if json_wanted:
        say_json({**_shown(added.webhook), "secret": added.secret})
        return
    say_table([_shown(added.webhook)])
    click.echo(f"\n{added.secret}\n\nGive it to the app: it is shown only this once.")


@command.command("list")
@as_json
@places
def list_webhooks(data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """List endpoints: how far each has got, and what went wrong last."""

    async def find(services: app.Services) -> Sequence[Webhook]:
        return await services.webhooks.list_all()

    found = [_shown(one) for one in with_services(open_place(data, config), find)]
    (say_json if json_wanted else say_table)(found)


@command.command("test")
@click.argument("webhook_id", metavar="ID")
@places
def test(webhook_id: str, data: str | None, config: str | None) -> None:
    """Send an event of the type webhook.test now; status 1 when it is not taken."""

    async def send(services: app.Services) -> str | None:
        try:
            status = await services.webhooks.test(webhook_id)
        except OutboundFailed as failure:
            return failure.reason
        return None if 200 <= status < 300 else f"it answered {status}"  # noqa: PLR2004  RFC 9110 §15.3

    failure = with_services(open_place(data, config), send)
    if failure is not None:
        click.echo(f"Not delivered: {failure}", err=True)
        sys.exit(FAILED)
    click.echo("The endpoint took it.")


@command.command("replay")
@click.argument("webhook_id", metavar="ID")
@click.option("--after", type=click.IntRange(0), required=True, help="The cursor after which to begin; 0: the oldest.")
@places
def replay(webhook_id: str, data: str | None, config: str | None, *, after: int) -> None:
    """Send again what came after a cursor; also goes on where an endpoint was given up. A running server sends it."""

    async def begin(services: app.Services) -> None:
        await services.webhooks.replay(webhook_id, after, LOCAL_OPERATOR)

    with_services(open_place(data, config), begin)
    click.echo("The running server sends it.")


@command.command("remove")
@click.argument("webhook_id", metavar="ID")
@places
def remove(webhook_id: str, data: str | None, config: str | None) -> None:
    """Send nothing more to an endpoint."""

    async def end(services: app.Services) -> None:
        await services.webhooks.remove(webhook_id, LOCAL_OPERATOR)

    with_services(open_place(data, config), end)
    click.echo("That endpoint is told nothing more.")


def _shown(one: Webhook) -> dict[str, Any]:
    return {
        "id": one.id,
        "url": one.url,
        "types": list(one.types),
        "cursor": str(one.delivered_seq),
        "attempts": one.attempts,
        "failing_since": None if one.failing_since is None else to_rfc3339(one.failing_since),
        "given_up_at": None if one.disabled_at is None else to_rfc3339(one.disabled_at),
        "error": one.last_error,
    }
