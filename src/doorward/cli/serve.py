"""doorward serve."""

import sys

import click

from doorward import app, log, server
from doorward.cli import STARTED
from doorward.cli.common import open_place, places


@click.command("serve")
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, metavar="N", help="Port to listen on; 0 takes a free one.  [default: 8000]")
@click.option("--workers", type=int, metavar="N", help="Server processes.  [default: 1]")
@click.option("--tls-cert", metavar="FILE", help="Certificate and its chain, PEM.")
@click.option("--tls-key", metavar="FILE", help="Key of the certificate, PEM.")
@places
def command(data: str | None, config: str | None, **flags: str | int | None) -> None:
    """Start the server. Stop it with Ctrl-C or SIGTERM."""
    place = open_place(data, config, {f"server.{name}": value for name, value in flags.items()})
    settings = place.loaded.settings
    log.configure(form=settings.log.format, level=settings.log.level)
    sys.exit(server.serve(settings, place.data, app.build, started=STARTED))
