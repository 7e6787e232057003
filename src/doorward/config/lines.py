"""On which line of a TOML file each key stands. tomllib tells lines only of what it cannot read."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from doorward.config.schema import Path


def find_lines(text: str) -> Mapping[Path, int]:
    """Line numbers (from 1) by path, of a document that tomllib has read."""
    found: dict[Path, int] = {}
    table: Path = ()
    for number, statement in _statements(text):
        below = tuple(_paths(tomllib.loads(statement)))
        if statement.lstrip().startswith("["):
            table = max(below, key=len)
            below = tuple(table[:depth] for depth in range(1, len(table) + 1))
            found.update({path: number for path in below if path not in found})
        else:
            found.update({(*table, *path): number for path in below if (*table, *path) not in found})
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Headers and assignments with the line each begins on; arrays and texts may span lines."""
    # Only tomllib knows where a statement ends: it is read as soon as, and not before, it is whole.
    pending: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        pending.append(line)
        statement = "\n".join(pending)
        if _is_whole(statement):
            yield number + 1 - len(pending), statement
            pending.clear()


def _is_whole(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _paths(tree: Any, path: Path = ()) -> Iterator[Path]:  # noqa: ANN401  whatever TOML can say
    if path:
        yield path
    below = tree[0] if isinstance(tree, list) and tree and isinstance(tree[0], Mapping) else tree
    if isinstance(below, Mapping):
        for name, value in below.items():
            yield from _paths(value, (*path, name))
