"""doorward config."""

import click

from doorward.cli.common import as_json, open_place, places, say_json
from doorward.config import Shown, configuration_page, shown


@click.group("config")
def command() -> None:
    """Show, check and explain the configuration."""


@command.command("show")
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@as_json
@places
def show(data: str | None, config: str | None, *, origin: bool, json_wanted: bool) -> None:
    """Show every value in force; secrets are left out."""
    found = shown(open_place(data, config).loaded)
    if json_wanted:
        say_json([{"key": one.key, "value": one.value, "origin": one.origin} for one in found])
        return
    width = max(len(one.line) for one in found)
    for one in found:
        click.echo(_with_origin(one, width) if origin else one.line)


@command.command("check")
@places
def check(data: str | None, config: str | None) -> None:
    """Say whether the configuration is right; status 2 and every mistake when it is not."""
    loaded = open_place(data, config).loaded
    click.echo(f"{loaded.file or 'Without a file, the configuration'} is right.")


@command.command("docs")
@places
def docs(data: str | None, config: str | None) -> None:  # noqa: ARG001  every command takes them
    """Print the page about every setting, in Markdown."""
    click.echo(configuration_page(), nl=False)


def _with_origin(one: Shown, width: int) -> str:
    return f"{one.line.ljust(min(width, 60))}  # {one.origin}"
