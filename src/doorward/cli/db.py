"""doorward db."""

import click

from doorward import app
from doorward.cli.common import open_place, places, with_services
from doorward.sql import migrate


@click.group("db")
def command() -> None:
    """Bring the database up to date."""


@command.command("upgrade")
@places
def upgrade(data: str | None, config: str | None) -> None:
    """Bring the database to the schema of this version and make the indexes of sortable fields.

    The server does the same when it starts.
    """

    async def version(services: app.Services) -> str | None:
        return await services.db.search(migrate.find_version())

    click.echo(f"The database is at schema {with_services(open_place(data, config), version)}.")
