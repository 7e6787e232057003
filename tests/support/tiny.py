"""A small application behind the real server: `python -m tests.support.tiny --data DIR --port 0`."""

import asyncio
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from starlette.types import Receive, Scope, Send

from doorward import log
from doorward.config import Settings, load
from doorward.datadir import DataDir
from doorward.kernel.startup import StartFailed, StartRefused
from doorward.server import serve
from doorward.server.process import Services


class Tiny:
    """Answers with what it was asked; /slow says so in a file and waits, /pid names the process, /die ends it."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self.services: Services | None = None
        self.refused: StartRefused | None = None

    def stopping(self) -> None:
        """Nothing here is without an end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        answer = await self._answer(scope, body)
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        if (self._data.path / "broken").exists():
            await send({"type": "lifespan.startup.failed", "message": "The database does not answer"})
            return
        inbox = SimpleNamespace(path="/dev/mail?key=k") if (self._data.path / "has-mailbox").exists() else None
        self.services = SimpleNamespace(setup=self, mailbox=inbox)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        (self._data.path / f"stopped-{os.getpid()}").touch()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, body: bytes) -> bytes:
        match scope["path"]:
            case "/slow":
                (self._data.path / "slow").touch()
                await asyncio.sleep(1)
                return b"slow"
            case "/pid":
                return str(os.getpid()).encode()
            case "/die":
                os._exit(9)
            case "/scheme":
                return f"{scope['scheme']} {scope['client'][0]}".encode()
            case _:
                return b"%d" % len(body)

    async def first_link(self) -> str | None:
        return None if (self._data.path / "has-admin").exists() else "/setup/token"


def build(_settings: Settings, data: DataDir) -> Tiny:
    """The application of one process."""
    return Tiny(data)


def main(arguments: list[str]) -> int:
    """Serve; `--port 0` means [server] port = 0, and so on."""
    flags = dict(zip(arguments[::2], arguments[1::2], strict=True))
    data = DataDir.open(Path(flags.pop("--data")))
    settings = {f"server.{name[2:].replace('-', '_')}": value for name, value in flags.items()}
    environ = {f"DOORWARD_{name.replace('.', '__').upper()}": value for name, value in settings.items()}
    try:
        log.configure(form="json")
        return serve(load(None, environ, {}).settings, data, build, started=time.monotonic())
    except (StartRefused, StartFailed) as refused:
        sys.stderr.write(f"{refused}\n")
        return 2 if isinstance(refused, StartRefused) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
