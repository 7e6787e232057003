"""What people typed, fit to stand in a mail that others trust."""

import re
import unicodedata
from typing import Final

LONGEST: Final = 254  # characters of a value; an address can be that long
NAME_LONGEST: Final = 60
DIGITS_MOST: Final = 5  # six make a telephone number that a mail program lets people call

_FIRST_STRONG, _POP = "\u2068", "\u2069"
_BREAKS = re.compile(r"\s+")
_GONE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_JOINERS: Final = frozenset("\u200c\u200d")  # Persian, Hindi and emoji are written with them
# Mail programs turn "evil.example", "a/b" and "x@y" into links, whatever we make of them.
_LINKABLE = re.compile(r"[/\\@:]|[.。]\w")


def one_line(text: str, longest: int = LONGEST) -> str:
    """One line of visible characters: breaks become blanks, controls and direction marks go, what is long is cut."""
    kept = (" " if mark.isspace() else mark for mark in text if _stays(mark))
    line = _BREAKS.sub(" ", "".join(kept)).strip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def greetable(name: str) -> str:
    """The name for a greeting; empty when it could be read, or clicked, as something else than a name.

    Whoever signs up chooses it, and may do so with somebody else's address: the mail must not carry their message.
    """
    line = one_line(name)
    seen = unicodedata.normalize("NFKC", line)
    is_message = len(seen) > NAME_LONGEST or _LINKABLE.search(seen) or sum(map(str.isdigit, seen)) > DIGITS_MOST
    return "" if is_message else line


def isolated(text: str) -> str:
    """Let a text run its own way amid another (UAX #9 §2.4)."""
    return f"{_FIRST_STRONG}{text}{_POP}"


def _stays(mark: str) -> bool:
    return mark.isspace() or mark in _JOINERS or unicodedata.category(mark) not in _GONE
