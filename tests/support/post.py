"""The mailboxes of everybody, for tests whose server sends over a real mail server."""

import re
import time
from dataclasses import dataclass
from typing import Any

from tests.support.smtp_server import SmtpServer

WAIT_SECONDS = 15


@dataclass(slots=True)
class Post:
    """What has come to whom."""

    server: SmtpServer

    def last(self, address: str, number: int = 1) -> dict[str, Any]:
        """The mail number `number` to an address, as soon as it is there."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            found = [mail for mail in self.server.accepted() if mail["to"] == [address]]
            if len(found) >= number:
                return found[number - 1]
            time.sleep(0.05)
        raise AssertionError(f"mail {number} to {address} has not arrived")

    def link(self, address: str, number: int = 1) -> str:
        """The link in it, the same in text and HTML."""
        texts = dict(self.last(address, number)["parts"])
        link = re.search(r"http://localhost:\d+/(verify|recovery|sign-in|not-me)/[\w-]+(/[\w-]+)?", texts["text/plain"])
        assert link is not None, texts["text/plain"]
        assert link[0] in texts["text/html"]
        return link[0]

    def code(self, address: str, number: int = 1) -> str:
        """The code in its subject."""
        code = re.search(r"\b\d{6}\b", self.last(address, number)["headers"]["subject"])
        assert code is not None
        return code[0]
