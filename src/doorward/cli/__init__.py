"""The command line. Commands are thin: they call the same services as the routes.

`doorward --help` must answer at once, so this file imports only click, and each command's module when it is run.
"""

# mypy: disable-error-code="explicit-override"
# typing.override is Python 3.12's.

import importlib
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import click

import doorward
from doorward.kernel.errors import Invalid, Problem
from doorward.kernel.startup import StartFailed, StartRefused

STARTED: Final = time.monotonic()
DEFAULT: Final = "serve"
FAILED, WRONG_USE = 1, 2  # exit statuses

COMMANDS: Final[Mapping[str, str]] = {
    "serve": "Start the server (also without a command).",
    "init": "Create the data directory and the database.",
    "config": "Show, check and explain the configuration.",
    "user": "List, show, add and change users.",
    "admin": "Make a link for an administrator.",
    "add": "Write an example app that signs people in.",
    "client": "Register apps that sign people in through Doorward.",
    "token": "Look into tokens.",
    "db": "Bring the database up to date.",
    "key": "List keys, and replace the one that seals secrets.",
    "apikey": "Make, list and end API keys.",
    "webhook": "Tell apps what happens to users.",
    "mail": "Preview, test, list and retry messages.",
    "audit": "Read and verify the audit trail.",
}


class Commands(click.Group):
    """Finds a command in the module of its name; without one, `serve` is meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """The names, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"doorward.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in `serve` where no command is named."""
        if not args or (args[0].startswith("-") and args[0] not in {"--help", "--version"}):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  click's signature
        """Say what stopped a command, and with which status."""
        try:
            return super().invoke(ctx)
        except StartRefused as refused:
            _stop(str(refused), WRONG_USE)
        except StartFailed as failed:
            _stop(str(failed), FAILED)
        except Invalid as invalid:
            _stop("\n".join(f"{error.field}: {error.text}" for error in invalid.errors), FAILED)
        except Problem as problem:
            _stop(_told(problem), FAILED)


@click.group(cls=Commands, context_settings={"max_content_width": 100})
@click.version_option(doorward.__version__, message="Doorward %(version)s")
def main() -> None:
    """Sign-up and sign-in for Python teams.

    Every command takes --data DIR and --config FILE and creates what is missing.
    """


def _told(problem: Problem) -> str:
    # The reason is private to the server; whoever types commands there may know it.
    return problem.detail if problem.reason == problem.code else f"{problem.detail} ({problem.reason})"


def _stop(words: str, status: int) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(status)
