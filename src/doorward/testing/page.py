"""What of a page a browser acts on: its forms, and the places where passkeys are made and used."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from typing import Any


@dataclass(slots=True)
class Form:
    """A form: where it goes, and what it sends without anybody's doing.

    `aside`: it stands above or below what the page is about, as the choice of a language does.
    """

    action: str
    aside: bool = False
    hidden: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PasskeyPlace:
    """Where the page's script (`passkey.js`) asks for a passkey; `data` are the words of its `data-` attributes."""

    data: Mapping[str, str]
    form: Form | None

    @property
    def creates(self) -> bool:
        """Whether one is made here, else one is used."""
        return "passkey-create" in self.data


_MAIN = re.compile(r"<main.*?</main>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_LONGEST = 600
_ASIDE = {"header", "nav", "footer"}


def words_of(text: str) -> str:
    """What somebody reads on a page, for the message of a test that fails."""
    main = _MAIN.search(text)
    words = " ".join(unescape(_TAG.sub(" ", text if main is None else main[0])).split())
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"


class Page(HTMLParser):
    """A page that was read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.places: list[PasskeyPlace] = []
        self._form: Form | None = None
        self._asides = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of a form, of what is hidden in it, and of a place for passkeys."""
        found: Any = {name: value or "" for name, value in attrs}
        self._asides += tag in _ASIDE
        if tag == "form":
            self._form = Form(found.get("action", ""), aside=self._asides > 0)
            self.forms.append(self._form)
        elif tag == "input" and self._form is not None and found.get("type") == "hidden":
            self._form.hidden[found.get("name", "")] = found.get("value", "")
        data = {name.removeprefix("data-"): value for name, value in found.items() if name.startswith("data-")}
        if data.keys() & {"passkey-sign-in", "passkey-second", "passkey-create"}:
            self.places.append(PasskeyPlace(data, self._form))

    def handle_endtag(self, tag: str) -> None:
        """Leave a form, or what stands above or below."""
        self._asides -= tag in _ASIDE
        if tag == "form":
            self._form = None
