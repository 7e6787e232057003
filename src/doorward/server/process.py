"""One process that serves: uvicorn on uvloop, with our protocol, our TLS and our way to stop."""

# mypy: disable-error-code="explicit-override"
# typing.override is Python 3.12's.

import asyncio
import contextlib
import resource
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from types import FrameType
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import uvicorn
import uvloop

from doorward.config import Settings
from doorward.kernel.startup import StartRefused
from doorward.server.protocol import Bounds, GuardedHttp
from doorward.server.tls import HANDSHAKE_SECONDS, LOOK_SECONDS, Certificate

BACKLOG: Final = 2048
STOP_SECONDS: Final = 10  # for answers under way
KEEP_ALIVE_SECONDS: Final = 10
KEEP_ALIVE_SECONDS_BEHIND_PROXY: Final = 75  # longer than the 60 s of nginx, so that it never writes into a closing one
CONNECTIONS: Final = 10_000
SERVED, FAILED, REFUSED = 0, 1, 2  # exit statuses
_FILES_FOR_OURSELVES: Final = 200  # database, libraries, logs

Message: TypeAlias = MutableMapping[str, Any]  # of the ASGI specification, as are the next two
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class FirstLink(Protocol):
    """What knows whether there is an administrator."""

    async def first_link(self) -> str | None:
        """The path of a one-time link that makes the first administrator, or None when there is one."""
        ...


class Inbox(Protocol):
    """Where messages are shown that nobody sends."""

    @property
    def path(self) -> str:
        """The path that lets a browser in."""
        ...


class Services(Protocol):
    """What the server asks of the application once it runs."""

    @property
    def setup(self) -> FirstLink:
        """The room of the first administrator."""
        ...

    @property
    def mailbox(self) -> Inbox | None:
        """The development mailbox, if there is one."""
        ...


class App(Protocol):
    """An ASGI application with a lifespan. `services` is there once that has started, else perhaps `refused`."""

    @property
    def services(self) -> Services | None:
        """The running services."""
        ...

    @property
    def refused(self) -> StartRefused | None:
        """What the operator has to change before it starts; its lifespan told so, too."""
        ...

    def stopping(self) -> None:
        """Told before the server waits for the answers under way: those without an end have to end."""
        ...

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve."""
        ...


class Links(NamedTuple):
    """Paths that only the operator may see."""

    admin: str | None = None  # makes the first administrator; None when there is one
    inbox: str | None = None  # opens the development mailbox; None when there is none


async def links_of(app: App) -> Links:
    """The links of an application that runs."""
    services = app.services
    if services is None:
        return Links()
    return Links(await services.setup.first_link(), None if services.mailbox is None else services.mailbox.path)


Ready: TypeAlias = Callable[[App], Awaitable[None]]


def run(
    app: App,
    settings: Settings,
    listeners: Sequence[socket.socket],
    ready: Ready,
    *,
    certificate: Certificate | None = None,
    stop_on_eof: int | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; SERVED, or FAILED or REFUSED when it could not start.

    `ready` is awaited once the listeners accept. `stop_on_eof`: a descriptor whose end of file also means stop; in
    another thread than the main one nothing else does, for signals never arrive there.
    """
    bounds = Bounds(min(CONNECTIONS, raise_file_limit() - _FILES_FOR_OURSELVES))
    server = _Server(app, settings, bounds, certificate, ready)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if stop_on_eof is not None:
            runner.get_loop().add_reader(stop_on_eof, server.stop)
        runner.run(server.serve(list(listeners)))
    if server.started:
        return SERVED
    return FAILED if app.refused is None else REFUSED


def raise_file_limit() -> int:
    """Allow as many open files as the system lets us; returns how many. Each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft


class _Server(uvicorn.Server):
    def __init__(
        self, app: App, settings: Settings, bounds: Bounds, certificate: Certificate | None, ready: Ready
    ) -> None:
        super().__init__(_uvicorn_config(app, settings))
        self._app = app
        self._bounds = bounds
        self._certificate = certificate
        self._ready = ready
        self._watch: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Finish what is under way and end."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept: nobody is let in before it is whole."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return
        self.servers = [await self._accept(listener) for listener in sockets or ()]
        self.started = True
        if self._certificate is not None:
            self._watch = asyncio.create_task(_look_again_and_again(self._certificate), name="certificate")
        await self._ready(self._app)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let answers under way finish for STOP_SECONDS, close the application."""
        if self._watch is not None:
            self._watch.cancel()
        self._app.stopping()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a clean stop ends with status 0: the signal is not raised once more."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)

    async def _accept(self, listener: socket.socket) -> asyncio.Server:
        context = None if self._certificate is None else self._certificate.context
        return await asyncio.get_running_loop().create_server(
            lambda: GuardedHttp(self.config, self.server_state, self.lifespan.state, self._bounds),
            sock=listener,
            ssl=context,
            ssl_handshake_timeout=None if context is None else HANDSHAKE_SECONDS,
            backlog=BACKLOG,
        )


def _uvicorn_config(app: App, settings: Settings) -> uvicorn.Config:
    behind_proxy = bool(settings.server.trusted_proxies)
    return uvicorn.Config(
        app,
        http=GuardedHttp,
        ws="none",
        lifespan="on",
        interface="asgi3",
        workers=1,
        log_config=None,  # doorward.log has been configured
        access_log=False,  # it would hold what must not be logged, and cost a third of the speed
        proxy_headers=False,  # uvicorn believes loopback; we believe trusted_proxies (web/origins.py)
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS_BEHIND_PROXY if behind_proxy else KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


async def _look_again_and_again(certificate: Certificate) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        certificate.look()
