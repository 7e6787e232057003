"""What is wrong with a configuration: where, which key, what, and what was probably meant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from doorward.config import schema
from doorward.config.schema import Path
from doorward.kernel.startup import StartRefused


@dataclass(frozen=True, slots=True)
class Wrong:
    """One mistake. `where`: "doorward.toml:12", an environment variable or a flag. Never holds a secret's value."""

    where: str
    path: Path
    what: str

    @property
    def line(self) -> str:
        """What the operator reads."""
        key = dotted(self.path)
        return f"{self.where}: {key}: {self.what}" if key else f"{self.where}: {self.what}"


class WrongSettings(StartRefused):
    """The configuration cannot be used; every mistake is listed."""

    def __init__(self, wrongs: Sequence[Wrong]) -> None:
        self.wrongs = tuple(wrongs)
        super().__init__("\n".join(wrong.line for wrong in self.wrongs))


def dotted(path: Path) -> str:
    """The path as written in TOML."""
    return ".".join(path)


def variable(path: Path) -> str:
    """The environment variable of a key."""
    return "DOORWARD_" + "__".join(name.replace("-", "_").upper() for name in path)


def unknown(path: Path) -> str:
    """Say that there is no such key, and which one was probably meant."""
    near = meant(path[-1], _names_beside(path))
    if near:
        return f'there is no such key; did you mean "{near}"?'
    elsewhere = [dotted(place) for place, _ in schema.values() if place[-1] == path[-1]]
    if elsewhere:
        return f"there is no such key here; did you mean {elsewhere[0]}?"
    far = meant(path[-1], [place[-1] for place, _ in schema.values()])
    places = [dotted(place) for place, _ in schema.values() if place[-1] == far]
    return f"there is no such key; did you mean {places[0]}?" if places else "there is no such key"


def meant(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` looks like a slip of."""
    found = get_close_matches(word.lower(), list(choices), n=1, cutoff=0.6)
    return found[0] if found else None


def _names_beside(path: Path) -> tuple[str, ...]:
    table = schema.find(path[:-1])
    return () if table is None else tuple(name for name, _ in schema.children(table))
