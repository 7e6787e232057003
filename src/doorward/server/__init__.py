"""From settings to a listening server: one process, or several under a supervisor. docs/server.md tells its bounds."""

import sys
import time

from msgspec.structs import replace

from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.server.greeting import greet
from doorward.server.listening import listen, port_of
from doorward.server.process import App, Links, Ready, links_of, run
from doorward.server.workers import Build, Job, certificate_of, supervise

__all__ = ["App", "Build", "Ready", "run", "serve"]


def serve(settings: Settings, data: DataDir, build: Build, *, started: float) -> int:
    """Listen, greet and serve until SIGTERM or SIGINT; the exit status.

    `build` makes the application, for several workers in other processes. `started`: time.monotonic() of our own start.
    Raises StartRefused (the operator has to change something) and StartFailed (a port in use).
    """
    certificate = certificate_of(settings)
    listeners = listen(settings)
    settings = replace(settings, server=replace(settings.server, port=port_of(listeners)))

    def say(links: Links) -> None:
        greet(settings, data, time.monotonic() - started, links, sys.stdout)

    async def ready(app: App) -> None:
        say(await links_of(app))

    if settings.server.workers > 1:
        return supervise(Job(settings, data, build, listeners), say)
    return run(build(settings, data), settings, listeners, ready, certificate=certificate)
