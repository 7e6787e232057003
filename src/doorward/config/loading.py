"""From sources to Settings: flag over environment over file over default, and every mistake at once."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any, Final

import msgspec

from doorward.config import schema
from doorward.config.checks import check_together, check_value
from doorward.config.schema import Key, Path
from doorward.config.settings import Settings
from doorward.config.sources import Given, explain_unknown, from_environment, from_file, from_flags, resolved
from doorward.config.wrongs import Wrong, WrongSettings, meant

ENVIRONMENT_FILE: Final = "DOORWARD_CONFIG"
USUAL_FILE: Final = "doorward.toml"
_LONGEST_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, the file they came from if any, and the origin of every value that is not a default."""

    settings: Settings
    file: File | None
    origins: Mapping[Path, str]


@dataclass(slots=True)
class _Found:
    """Values that passed their own check, and what is wrong with the others."""

    values: dict[Path, Given] = field(default_factory=dict)
    tables: dict[Path, Given] = field(default_factory=dict)  # empty ones
    wrongs: list[Wrong] = field(default_factory=list)
    wrong_paths: set[Path] = field(default_factory=set)

    def refuse(self, wrong: Wrong, path: Path) -> None:
        self.wrongs.append(wrong)
        self.wrong_paths.add(path)

    def where(self, path: Path) -> str:
        """Where `path` was set; for a table, where its first value was."""
        given = (*self.values.items(), *self.tables.items())
        below = (one.where for place, one in given if place[: len(path)] == path)
        return next(below, "configuration")


def choose_file(flag: str | None, environ: Mapping[str, str]) -> File | None:
    """The file to read: --config, else DOORWARD_CONFIG, else ./doorward.toml when it is there."""
    named = flag or environ.get(ENVIRONMENT_FILE)
    if named:
        return File(named)
    return File(USUAL_FILE) if File(USUAL_FILE).exists() else None


def load(file: File | None, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Loaded:
    """Read, merge and check. `flags` by dotted path, None for not given. Raises WrongSettings with every mistake."""
    found = _Found()
    for source in (from_file(file) if file else (), from_environment(environ), from_flags(flags)):
        _take(found, source)
    settings = _assemble(found)
    _refuse_together(found, settings)
    if found.wrongs:
        raise WrongSettings(found.wrongs)
    return Loaded(settings, file, {path: given.where for path, given in found.values.items()})


def _take(found: _Found, source: Iterable[Given]) -> None:
    """Check one source; what it gives replaces what earlier ones gave."""
    here: dict[Path, str] = {}
    for given in source:
        try:
            checked = _checked(resolved(given))
        except WrongSettings as error:
            for wrong in error.wrongs:
                found.refuse(wrong, given.path)
            continue
        if checked.path in here:
            found.refuse(Wrong(given.where, checked.path, f"is already given by {here[checked.path]}"), checked.path)
        here[checked.path] = checked.where
        if checked.value == {} and not _key(checked.path).is_value:
            found.tables[checked.path] = checked
        else:
            found.values[checked.path] = checked


def _checked(given: Given) -> Given:
    key = schema.find(given.path)
    if key is None:
        raise WrongSettings([explain_unknown(given)])
    if not key.is_value:
        if given.value == {}:
            return given
        raise WrongSettings([Wrong(given.where, given.path, f"expected a table, not {_shown(given.value)}")])
    try:
        value = msgspec.convert(given.value, key.annotation)
    except msgspec.ValidationError as error:
        raise WrongSettings([Wrong(given.where, given.path, _misfit(given, key))]) from error
    what = check_value(given.path, value)
    if what:
        raise WrongSettings([Wrong(given.where, given.path, what)])
    return _anchored(given, value) if key.is_path else Given(given.path, value, given.where)


def _anchored(given: Given, value: Any) -> Given:  # noqa: ANN401  of the key's type
    return Given(given.path, os.path.abspath((given.base or File.cwd()) / value), given.where)  # noqa: PTH100  keeps links


def _misfit(given: Given, key: Key) -> str:
    if key.secret:
        return f"expected {key.wanted}"
    near = meant(given.value, key.choices) if isinstance(given.value, str) else None
    return f"expected {key.wanted}, not {_shown(given.value)}" + (f'; did you mean "{near}"?' if near else "")


def _shown(value: Any) -> str:  # noqa: ANN401  whatever was given
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _assemble(found: _Found) -> Settings:
    tree: dict[str, Any] = {}
    for path in found.tables:
        _table_at(tree, path)
    for path, given in found.values.items():
        _table_at(tree, path[:-1])[path[-1]] = given.value
    for path in _missing(schema.ROOT, tree):
        if path not in found.wrong_paths:
            found.refuse(Wrong(found.where(path[:-1]), path, "is missing"), path)
        _table_at(tree, path[:-2]).pop(path[-2], None)
    return msgspec.convert(tree, Settings)


def _table_at(tree: dict[str, Any], path: Path) -> dict[str, Any]:
    for name in path:
        tree = tree.setdefault(name, {})
    return tree


def _missing(key: Key, tree: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """Required keys that a table which is there does not have."""
    for name, child in schema.children(key):
        if name not in tree and child.required:
            yield (*path, name)
    for name, value in list(tree.items()):
        child_key = schema.child(key, name)
        if child_key is not None and not child_key.is_value:
            yield from _missing(child_key, value, (*path, name))


def _refuse_together(found: _Found, settings: Settings) -> None:
    for concerned, what in check_together(settings):
        if found.wrong_paths.isdisjoint(concerned):
            found.refuse(Wrong(found.where(concerned[0]), concerned[0], what), concerned[0])


def _key(path: Path) -> Key:
    key = schema.find(path)
    return schema.ROOT if key is None else key
