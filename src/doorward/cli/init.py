"""doorward init."""

import click

from doorward import app
from doorward.cli.common import open_place, places, with_services


@click.command("init")
@places
def command(data: str | None, config: str | None) -> None:
    """Create the data directory, the sealing key and the database, and check the configuration."""
    place = open_place(data, config)

    async def prepare(services: app.Services) -> None:
        await services.keys.ready()

    with_services(place, prepare)
    click.echo(f"{place.data.path} is ready. Start the server: doorward serve")
