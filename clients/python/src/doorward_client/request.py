"""A request and an answer, as far as we look at them, in the words of no framework."""

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

WEBSOCKET = "WEBSOCKET"  # in place of a method, for a handshake: it opens a way to change something


def _no_form() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Request:
    """`header` takes a name in lower case. `form` gives the field `csrf_token` of a posted form, and is called last.

    `kept` lives as long as the request of the framework and is the same however often this is made of it: there it is
    kept who sent the request.
    """

    method: str
    path: str
    header: Callable[[str], str | None]
    query: str = ""
    form: Callable[[], str | None] = _no_form
    kept: MutableMapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def cookie(self, name: str) -> str | None:
        """The first cookie of this name: browsers send the one with the longest path first."""
        return next((value for found, value in self.cookies() if found == name), None)

    def cookies(self) -> Sequence[tuple[str, str]]:
        """Every cookie, in the order sent."""
        pairs = (part.strip().partition("=") for part in (self.header("cookie") or "").split(";"))
        return [(name, value) for name, _, value in pairs if name]

    @property
    def changes(self) -> bool:
        """Whether the method may change something. One that we do not know may."""
        return self.method not in {"GET", "HEAD", "OPTIONS", "TRACE"}

    @property
    def is_of_a_person(self) -> bool:
        """Whether a browser will show the answer to somebody."""
        by_program = self.header("authorization") is not None or self.header("x-api-key") is not None
        return "text/html" in (self.header("accept") or "") and not by_program

    @property
    def wants_page(self) -> bool:
        """Whether a person waits for a page, who can be sent to sign in."""
        return self.method == "GET" and self.is_of_a_person


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of ours."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
