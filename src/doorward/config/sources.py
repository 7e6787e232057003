"""Reading the file, the environment and the flags into values, each with where it came from."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, Final

import msgspec

from doorward.config import schema
from doorward.config.lines import find_lines
from doorward.config.schema import Key, Path
from doorward.config.wrongs import Wrong, WrongSettings, unknown, variable

PREFIX: Final = "DOORWARD_"
FILE_SUFFIX: Final = "_file"
_LARGEST_FILE: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Given:
    """One value as given, not yet checked. `where` names its source, with the line in a file."""

    path: Path
    value: Any
    where: str
    base: File | None = None  # what relative file names start from


def from_file(file: File) -> Iterator[Given]:
    """Every value in doorward.toml. Raises WrongSettings when the file cannot be read as TOML at all."""
    text = _text(file)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongSettings([_syntax(file, text, error)]) from error
    lines = find_lines(text)
    for path, value in _flatten(tree):
        yield Given(path, value, f"{file}:{lines[path]}" if path in lines else str(file), file.parent)


def from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """Every DOORWARD_SECTION__KEY, and DOORWARD_ROLES. An empty one counts as not set."""
    for name in sorted(environ):
        path = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
        known = schema.find(path)
        # A name without "__" may belong to anybody (Kubernetes sets DOORWARD_PORT for a service called doorward).
        if name.startswith(PREFIX) and environ[name] and (len(path) > 1 or (known and known.is_value)):
            path = _hyphenated(path)
            key = schema.find(path)
            value = environ[name] if key is None or not key.is_value else _from_text(environ[name], key)
            yield Given(path, value, name, File.cwd())


def from_flags(flags: Mapping[str, Any]) -> Iterator[Given]:
    """Flags by dotted path; None counts as not given."""
    for name, value in flags.items():
        if value is not None:
            path = tuple(name.split("."))
            yield Given(path, value, f"--{path[-1].replace('_', '-')}", File.cwd())


def resolved(given: Given) -> Given:
    """The value of a secret that is kept in a file of its own. Raises WrongSettings."""
    secret = _secret_in_file(given.path)
    if secret is None:
        return given
    if not isinstance(given.value, str):
        raise WrongSettings([Wrong(given.where, given.path, "expected the name of a file")])
    file = (given.base or File.cwd()) / given.value
    try:
        value = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise WrongSettings([Wrong(given.where, given.path, f"the file {file} cannot be read: {what}")]) from error
    return Given(secret, value, f"{given.where} ({file})")


def explain_unknown(given: Given) -> Wrong:
    """Name a key that does not exist and the one probably meant, in the words of its source."""
    what = unknown(given.path)
    if given.where.startswith(PREFIX) and '"' in what:
        near = what.split('"')[1]
        what = f"there is no such key; did you mean {variable((*given.path[:-1], near))}?"
        return Wrong(given.where, (), what)
    return Wrong(given.where, given.path, what)


def _text(file: File) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_LARGEST_FILE + 1)
        if len(raw) > _LARGEST_FILE:
            raise WrongSettings([Wrong(str(file), (), "the file is larger than 1 MiB")])
        return raw.decode("utf-8").replace("\r\n", "\n")
    except OSError as error:
        what = f"the configuration cannot be read: {error.strerror}"
        raise WrongSettings([Wrong(str(file), (), what)]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise WrongSettings([Wrong(f"{file}:{line}", (), "this is not UTF-8")]) from error


def _syntax(file: File, text: str, error: tomllib.TOMLDecodeError) -> Wrong:
    what, _, place = str(error).rpartition(" (at ")
    line = place.removeprefix("line ").split(",")[0]
    number = int(line) if line.isdigit() else text.rstrip("\n").count("\n") + 1  # "at end of document"
    return Wrong(f"{file}:{number}", (), f"this is not TOML: {what.lower()}")


def _flatten(tree: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Down to the values; a table where a value is wanted, and what is not known, stays whole."""
    for name, value in tree.items():
        here = (*path, name)
        key = schema.find(here)
        if key is not None and not key.is_value and isinstance(value, Mapping) and value:
            yield from _flatten(value, here)
        else:
            yield here, value


def _hyphenated(path: Path) -> Path:
    # Variables cannot hold a hyphen, the tables of limits.toml do.
    return (path[0], path[1].replace("_", "-"), *path[2:]) if path[0] == "limits" and len(path) > 1 else path


def _from_text(text: str, key: Key) -> Any:  # noqa: ANN401  whatever the key takes
    """The value that `text` stands for: as in TOML, a list by commas, else the text itself."""
    for value in _readings(text):
        with suppress(msgspec.ValidationError):
            msgspec.convert(value, key.annotation)
            return value
    return text


def _readings(text: str) -> Iterator[Any]:
    with suppress(tomllib.TOMLDecodeError):
        yield tomllib.loads(f"value = {text}")["value"]
    yield text
    yield [part.strip() for part in text.split(",") if part.strip()]


def _secret_in_file(path: Path) -> Path | None:
    if schema.find(path) is not None or not path[-1].endswith(FILE_SUFFIX):
        return None
    secret = (*path[:-1], path[-1].removesuffix(FILE_SUFFIX))
    key = schema.find(secret)
    return secret if key is not None and key.secret else None
