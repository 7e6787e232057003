"""doorward admin."""

import sys

import click

from doorward import app
from doorward.cli.common import open_place, places, with_services


@click.group("admin")
def command() -> None:
    """Make a link for an administrator."""


@command.command("link")
@places
def link(data: str | None, config: str | None) -> None:
    """Make a link that makes whoever opens it an administrator: one use, within an hour.

    It is shown on a terminal only; otherwise it is left in the file setup-link of the data directory.
    """
    place = open_place(data, config)

    async def make(services: app.Services) -> str:
        return await services.setup.new_link()

    url = place.loaded.settings.public_url + with_services(place, make)
    if sys.stdout.isatty():
        click.echo(url)
    else:
        place.data.write_setup_link(url)
        click.echo(f"The link is in the file {place.data.setup_link}")
