"""What the commands share: where data and configuration are, and how they answer."""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click
import msgspec

from doorward import app, log
from doorward.config import Loaded, choose_file, load
from doorward.datadir import DataDir, choose
from doorward.users import User

T = TypeVar("T")
Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory and the settings that go with it."""

    loaded: Loaded
    data: DataDir


def places(command: Command) -> Command:
    """Add --data and --config."""
    data = click.option("--data", metavar="DIR", help="Data directory.  [default: doorward-data]")
    config = click.option("--config", metavar="FILE", help="Configuration.  [default: doorward.toml, if there]")
    return data(config(command))


def as_json(command: Command) -> Command:
    """Add --json."""
    return click.option("--json", "json_wanted", is_flag=True, help="Answer in JSON.")(command)


def read_settings(config: str | None, flags: Mapping[str, Any] | None = None) -> Loaded:
    """The settings in force. Raises WrongSettings."""
    return load(choose_file(config, os.environ), os.environ, flags or {})


def open_place(data: str | None, config: str | None, flags: Mapping[str, Any] | None = None) -> Place:
    """Read the settings and open the data directory. Raises StartRefused."""
    loaded = read_settings(config, flags)
    directory = DataDir.open(choose(data, os.environ))
    signup = loaded.settings.signup
    settled = directory.settle_identifier(signup.identifier, chosen=("signup", "identifier") in loaded.origins)
    settings = msgspec.structs.replace(loaded.settings, signup=msgspec.structs.replace(signup, identifier=settled))
    return Place(replace(loaded, settings=settings), directory)


def with_services(place: Place, job: Callable[[app.Services], Awaitable[T]]) -> T:
    """Open the database, do one job and close it."""
    log.configure(form=place.loaded.settings.log.format, level="warning")
    # The row in the database is what counts; on a terminal its log line would only stand in the way of the answer.
    logging.getLogger("doorward.audit").setLevel(logging.CRITICAL + 1)

    async def run() -> T:
        async with app.open_services(place.loaded.settings, place.data) as services:
            return await job(services)

    return asyncio.run(run())


async def find_user(services: app.Services, wanted: str) -> User:
    """By id, handle or verified e-mail address. Ends the command when there is none."""
    user = await services.users.find(wanted) or await services.users.find_by_identifier(wanted)
    if user is None:
        raise click.ClickException(f"There is no user {wanted}")
    return user


def say_json(content: object) -> None:
    """Answer a program, in ASCII: on a terminal, what others wrote must not steer it."""
    click.echo(json.dumps(content, indent=2))


def say_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Answer a person: a column for each key of the first row; what does not print is escaped."""
    if not rows:
        return
    head = list(rows[0])
    table = [[name.upper() for name in head], *([_cell(row.get(name)) for name in head] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
