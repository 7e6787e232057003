"""The settings in force as text, without secrets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from doorward.config import schema
from doorward.config.loading import Loaded
from doorward.config.schema import Key, Path
from doorward.config.wrongs import dotted

DEFAULT_ORIGIN = "default"


@dataclass(frozen=True, slots=True)
class Shown:
    """One value in force and where it came from."""

    key: str
    value: Any
    origin: str

    @property
    def line(self) -> str:
        """As it would stand in a file, or a comment where nothing is set."""
        return f"# {self.key} is not set" if self.value is None else f"{self.key} = {to_toml(self.value)}"


def shown(loaded: Loaded) -> list[Shown]:
    """Every value in the order of the documentation; a secret is named, not shown."""
    tree = msgspec.to_builtins(loaded.settings)
    return [
        Shown(dotted(path), _redacted(key, value), loaded.origins.get(path, DEFAULT_ORIGIN))
        for path, key, value in _walk(schema.ROOT, tree)
    ]


def to_toml(value: Any) -> str:  # noqa: ANN401  whatever a setting holds
    """A value in TOML's notation, on one line."""
    match value:
        case dict():
            return "{" + ", ".join(f"{name} = {to_toml(item)}" for name, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(to_toml(item) for item in value) + "]"
        case _:
            return msgspec.json.encode(value).decode()


def _walk(key: Key, value: Any, path: Path = ()) -> Iterator[tuple[Path, Key, Any]]:  # noqa: ANN401  as the tree
    if key.is_value:
        yield path, key, value
        return
    for name, item in value.items():
        child = schema.child(key, name)
        if child is not None:
            yield from _walk(child, item, (*path, name))


def _redacted(key: Key, value: Any) -> Any:  # noqa: ANN401  as the tree
    if not key.secret or value is None:
        return value
    # User, password and parameters go; which server and which database an operator wants to see. The path of a gateway
    # may be its password.
    if not isinstance(value, str) or "://" not in value:
        return "***" if value else value
    parts = urlsplit(value)
    place = parts.netloc.rpartition("@")[2]
    path = parts.path if parts.scheme.startswith("postgres") else ""
    return f"{parts.scheme}://***@{place}{path}"
