"""Starts what is measured, on cores of its own choosing."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

PROGRAM = str(Path(sys.executable).parent / "doorward")
USERS_AT_ONCE = {"DOORWARD_SIGNUP__IDENTIFIER": "uid", "DOORWARD_LIMITS__SIGN_UP_FREE__PER_ADDRESS": "100/1m"}
EMPTY_APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive(); await send({"type": "lifespan.startup.complete"})
        await receive(); await send({"type": "lifespan.shutdown.complete"}); return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
import socket, uvicorn
sock = socket.create_server(("127.0.0.1", 0))
print(f"http://localhost:{sock.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="error")).run([sock])
"""


@contextmanager
def running(command: Sequence[str], cores: set[int]) -> Iterator[int]:
    """Start a server pinned to `cores`; yields the port it prints, stops it at the end."""
    process = subprocess.Popen(
        command,
        env={**USERS_AT_ONCE, **os.environ},  # unless a section says otherwise
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509  no threads yet
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://localhost:(\d+)", line):
                yield int(found[1])
                break
        else:
            sys.exit("the server did not start")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def empty(cores: set[int]) -> AbstractContextManager[int]:
    """An empty raw-ASGI application on the same server software."""
    return running([sys.executable, "-c", EMPTY_APP], cores)


def doorward(data: Path, cores: set[int], *options: str) -> AbstractContextManager[int]:
    """Doorward on a data directory."""
    return running([PROGRAM, "serve", "--port", "0", "--data", str(data), *options], cores)
