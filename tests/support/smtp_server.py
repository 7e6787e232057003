"""A mail server that misbehaves by plan, as a process of its own.

    python -m tests.support.smtp_server FILE [--plan ok,451,...] [--tls starttls|tls] [--cert PEM --key PEM]
                                             [--login USER:PASSWORD] [--plain-ascii]

It says its port on standard output and writes each message it accepted to FILE, one JSON object a line, before it
answers. The plan is gone through again and again, a step for each mail transaction:

ok           accept
slow         accept after a while
451, 452     refuse for now, at the recipient or after the text
421          refuse for now and hang up
drop_before  hang up before the last dot
drop_after   accept, and hang up instead of saying so
hang         never answer after the text

Whoever is called refused-… gets 550 whatever the plan says; who is called local-… in the sender gets it there.
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import SMTPUTF8
from itertools import cycle
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

ROOT = Path(__file__).parents[2]
SLOW_SECONDS = 0.1
STOP_SECONDS = 10


class Planned(SMTP):
    """Hangs up before the last dot where the plan says so."""

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802  aiosmtpd's name
        """Take the text of a message."""
        if getattr(self.session, "step", "ok") == "drop_before":
            await self.push("354 go on")
            await self._reader.readline()
            hang_up(self)
            return
        await super().smtp_DATA(arg)


class Handler:
    """Answers by plan."""

    def __init__(self, plan: Sequence[str], file: Path) -> None:
        self._plan = cycle(plan)
        self._file = file.open("a")

    async def handle_MAIL(  # noqa: N802  aiosmtpd's name
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Begin a transaction: take the next step of the plan."""
        session.step = next(self._plan)  # type: ignore[attr-defined]  # a note of ours
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "550 5.7.1 not you" if address.startswith("local-") else "250 OK"

    async def handle_RCPT(  # noqa: N802  as above
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient."""
        step = session.step  # type: ignore[attr-defined]  # as above
        if address.startswith("refused-"):
            return f"550 5.1.1 <{address}>: nobody of that name here"
        if step == "451":
            return f"451 4.7.1 <{address}>: come back later"
        if step == "421":
            await server.push("421 4.3.2 closing")
            hang_up(server)
            return "421 4.3.2 closing"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  as above
        """Take the text."""
        step = session.step  # type: ignore[attr-defined]  # as above
        if step == "452":
            return "452 4.3.1 the disk is full"
        if step == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        self._write(step, envelope)
        if step == "hang":
            await asyncio.sleep(3600)
        if step == "drop_after":
            hang_up(server)
        return "250 OK"

    def _write(self, step: str, envelope: Envelope) -> None:
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=SMTPUTF8)
        kept = {
            "step": step,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "options": envelope.mail_options,
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "parts": [
                [part.get_content_type(), part.get_content().replace("\r\n", "\n")]
                for part in message.walk()
                if part.get_content_maintype() == "text"
            ],
        }
        self._file.write(json.dumps(kept) + "\n")
        self._file.flush()


def hang_up(server: SMTP) -> None:
    """Break the connection off."""
    assert isinstance(server.transport, asyncio.Transport)
    server.transport.close()


@dataclass
class SmtpServer:
    """A started one."""

    process: subprocess.Popen[str]
    port: int
    file: Path

    def accepted(self) -> list[dict[str, Any]]:
        """What it accepted, in order."""
        lines = self.file.read_text().splitlines(keepends=True) if self.file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]  # one may be written at this moment

    def count(self) -> Counter[str]:
        """How often it accepted mail for each recipient."""
        return Counter(mail["to"][0] for mail in self.accepted())


@contextmanager
def smtp_server(file: Path, *arguments: str, port: int = 0) -> Iterator[SmtpServer]:
    """Run one until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.smtp_server", str(file), "--port", str(port), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield SmtpServer(process, int(process.stdout.readline()), file)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(STOP_SECONDS)
        process.stdout.close()


async def _serve(wanted: argparse.Namespace) -> None:
    context = None
    if wanted.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(wanted.cert, wanted.key)
    handler = Handler(wanted.plan.split(","), wanted.file)
    login = None if wanted.login is None else tuple(wanted.login.encode().split(b":"))

    def right(_server: object, _session: object, _envelope: object, _mechanism: str, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        # Not handled: aiosmtpd says 535 itself.
        return AuthResult(success=(data.login, data.password) == login, handled=False)

    def protocol() -> SMTP:
        return Planned(
            handler,
            enable_SMTPUTF8=not wanted.plain_ascii,
            tls_context=context if wanted.tls == "starttls" else None,
            require_starttls=wanted.tls == "starttls",
            authenticator=None if login is None else right,
            auth_required=login is not None,
            auth_require_tls=wanted.tls == "starttls",
            hostname="mail.test",
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", wanted.port, ssl=context if wanted.tls == "tls" else None)
    os.write(1, f"{server.sockets[0].getsockname()[1]}\n".encode())
    await server.serve_forever()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--plan", default="ok")
    parser.add_argument("--tls", choices=["starttls", "tls"])
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--login")
    parser.add_argument("--plain-ascii", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
