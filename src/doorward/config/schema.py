"""The tree of settings as a map: which keys there are, what they want, and how to say it in plain words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin

import msgspec
from msgspec import NODEFAULT
from msgspec import inspect as types

from doorward.config.settings import Settings

Path: TypeAlias = tuple[str, ...]
ANY_NAME = "<name>"  # stands in a path for a name that the operator chooses


@dataclass(frozen=True, slots=True)
class Key:
    """One place in the tree: a value, a table of known keys, or a table of freely named ones."""

    annotation: Any
    default: Any = NODEFAULT

    @property
    def table(self) -> type[msgspec.Struct] | None:
        """The struct, when it is a table of known keys."""
        plain = _plain(self.annotation)
        return plain if isinstance(plain, type) and issubclass(plain, msgspec.Struct) else None

    @property
    def members(self) -> Any:  # noqa: ANN401  an annotation
        """The annotation of every member, when names are free; else None."""
        plain = _plain(self.annotation)
        return get_args(plain)[1] if get_origin(plain) is dict else None

    @property
    def is_value(self) -> bool:
        """Whether a value stands here, not a table."""
        return self.table is None and self.members is None

    @property
    def description(self) -> str:
        """What it means, for the documentation."""
        return next((meta.description for meta in self._metas if meta.description), "")

    @property
    def secret(self) -> bool:
        """Whether its value is never shown."""
        return self._marked("secret")

    @property
    def is_path(self) -> bool:
        """Whether it names a file, relative to the file it stands in."""
        return self._marked("path")

    @property
    def wanted(self) -> str:
        """What value it takes, in words."""
        return _any_of([f'"{word}"' for word in self.choices]) or _words(types.type_info(self.annotation))

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is NODEFAULT

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it takes, when these are all, in the order of their declaration."""
        plain = _plain(self.annotation)
        return get_args(plain) if get_origin(plain) is Literal else ()

    def _marked(self, mark: str) -> bool:
        return any(meta.extra.get(mark, False) for meta in self._metas if meta.extra)

    @property
    def _metas(self) -> tuple[msgspec.Meta, ...]:
        given = get_args(self.annotation)[1:] if get_origin(self.annotation) is Annotated else ()
        return tuple(meta for meta in given if isinstance(meta, msgspec.Meta))


ROOT = Key(Settings)


def find(path: Path) -> Key | None:
    """The key at `path`, or None when there is none."""
    key: Key | None = ROOT
    for name in path:
        key = None if key is None else child(key, name)
    return key


def child(key: Key, name: str) -> Key | None:
    """The key called `name` in a table."""
    if key.members is not None:
        return Key(key.members)
    return dict(children(key)).get(name)


def children(key: Key) -> Iterator[tuple[str, Key]]:
    """The known keys of a table."""
    if key.table is not None:
        for info in msgspec.structs.fields(key.table):
            default = info.default_factory() if info.default_factory is not NODEFAULT else info.default
            yield info.encode_name, Key(info.type, default)


def values(key: Key = ROOT, path: Path = ()) -> Iterator[tuple[Path, Key]]:
    """Every value in the tree, in order; freely named tables appear once, as `<name>`."""
    if key.is_value:
        yield path, key
    elif key.members is not None:
        yield from values(Key(key.members), (*path, ANY_NAME))
    for name, below in children(key):
        yield from values(below, (*path, name))


def _plain(annotation: Any) -> Any:  # noqa: ANN401  annotations have no common type
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _words(kind: types.Type) -> str:
    match kind:
        case types.Metadata(type=inner):
            words = _words(inner)
        case types.UnionType(types=members):
            words = _any_of([_words(member) for member in members if not isinstance(member, types.NoneType)])
        case types.VarTupleType(item_type=item):
            words = f"a list, each {_words(item)}"
        case types.BoolType():
            words = "true or false"
        case types.IntType(ge=low, le=high):
            words = "a whole number" + _between(low, high)
        case types.FloatType():
            words = "a number"
        case types.StrType(min_length=low, max_length=high):
            words = "text" + (_between(low, high) + " characters" if low or high else "")
        case _:
            words = "a value"
    return words


def _any_of(words: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _between(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return "" if high is None else f" of at most {high}"
