"""Whatever has to listen while a test runs, each in a thread of its own."""

import asyncio
import inspect
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import uvicorn

from doorward.app import App
from doorward.config import Settings
from doorward.kernel.startup import StartFailed
from doorward.server import App as Served
from doorward.server import run

WAIT_SECONDS = 30
POLL_SECONDS = 0.02


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A port on the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def port_of(listener: socket.socket) -> int:
    """Its port."""
    port: int = listener.getsockname()[1]
    return port


@contextmanager
def doorward_in_thread(app: App, settings: Settings, listener: socket.socket) -> Iterator[asyncio.AbstractEventLoop]:
    """Run Doorward as `doorward serve` does, until the block ends; the loop that it runs in.

    Raises StartRefused or StartFailed.
    """
    started: Future[asyncio.AbstractEventLoop] = Future()
    reading, writing = os.pipe()  # whose end stops it

    async def ready(_: Served) -> None:
        started.set_result(asyncio.get_running_loop())

    def serve() -> None:
        try:
            run(app, settings, [listener], ready, stop_on_eof=reading)
        finally:
            if not started.done():
                started.set_exception(app.refused or StartFailed("Doorward did not start; the log says why."))

    thread = threading.Thread(target=serve, name="doorward-server")
    thread.start()
    try:
        yield started.result(WAIT_SECONDS)
    finally:
        os.close(writing)
        thread.join()
        os.close(reading)


@contextmanager
def app_in_thread(app: Any, listener: socket.socket) -> Iterator[None]:  # noqa: ANN401  of any framework
    """Serve an app, WSGI or ASGI, until the block ends."""
    serve = _asgi if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(app.__call__) else _wsgi
    with serve(app, listener):
        yield


@contextmanager
def _asgi(app: Any, listener: socket.socket) -> Iterator[None]:  # noqa: ANN401  as above
    server = _Uvicorn(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1))

    def run_app() -> None:
        with suppress(SystemExit):  # uvicorn's way to say that it did not start
            asyncio.run(server.serve([listener]))

    thread = threading.Thread(target=run_app, name="app")
    thread.start()
    try:
        server.up.wait(WAIT_SECONDS)
        if not server.started:
            raise StartFailed("The app did not start; the log says why.")
        yield
    finally:
        server.should_exit = True
        thread.join()


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell when it has started, or has not."""
        try:
            await super().startup(sockets)
        finally:
            self.up.set()


class _Wsgi(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _wsgi(app: Any, listener: socket.socket) -> Iterator[None]:  # noqa: ANN401  as above
    with _Wsgi(("127.0.0.1", 0), _Quiet, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = listener.dup()
        server.server_name, server.server_port = "127.0.0.1", port_of(listener)
        server.setup_environ()
        server.set_app(app)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_SECONDS}, name="app")
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
