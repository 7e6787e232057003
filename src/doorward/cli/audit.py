"""doorward audit."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from doorward import app
from doorward.audit import AuditEvent, AuditReader, Event, Verification
from doorward.cli import FAILED
from doorward.cli.common import as_json, find_user, open_place, places, say_json, say_table, with_services
from doorward.kernel.instant import to_rfc3339

_SHOWN_CHANGED = 20


@click.group("audit")
def command() -> None:
    """Read and verify the audit trail."""


@command.command("tail")
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@click.option("--user", metavar="USER", help="Only what is about this user (id, handle or e-mail address).")
@click.option("--event", type=click.Choice([event.value for event in Event]), metavar="NAME", help="Only this event.")
@as_json
@places
def tail(
    data: str | None, config: str | None, user: str | None, event: str | None, *, lines: int, json_wanted: bool
) -> None:
    """Show the newest events, newest last."""

    async def find(services: app.Services) -> Sequence[AuditEvent]:
        user_id = None if user is None else (await find_user(services, user)).id
        reader = AuditReader(services.db, services.audit)
        return await reader.newest(limit=lines, user_id=user_id, event=None if event is None else Event(event))

    found = [_shown(row) for row in with_services(open_place(data, config), find)]
    (say_json if json_wanted else say_table)(found)


@command.command("verify")
@as_json
@places
def verify(data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """Check that no row was changed since it was recorded; status 1 when one was."""

    async def look(services: app.Services) -> Verification:
        return await AuditReader(services.db, services.audit).verify()

    found = with_services(open_place(data, config), look)
    if json_wanted:
        say_json({"rows": found.rows, "changed": found.changed})
    else:
        click.echo(f"{found.rows} rows, {len(found.changed)} changed since they were recorded")
        for row_id in found.changed[:_SHOWN_CHANGED]:
            click.echo(f"  {row_id}")
    sys.exit(FAILED if found.changed else 0)


def _shown(row: AuditEvent) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": to_rfc3339(row.at),
        "event": row.event,
        "outcome": row.outcome,
        "user_id": row.user_id,
        "actor_id": row.actor_id,
        "address": row.address,
        "payload": None if row.payload is None else json.loads(row.payload),
    }
