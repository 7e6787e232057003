"""What becomes of sealing keys. Keys are known by their ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Standing: TypeAlias = Literal["seals", "opens", "prepared", "missing"]
"""Of a key: the one that seals; an older one that still opens; a newer one that is to seal next; not in the ring."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key, and how many values of the database are sealed under it."""

    id: str
    standing: Standing
    values: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A key is kept and opens; it seals after the next step. `made`: whether it was made just now."""

    key_id: str
    made: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """A key seals now, in the place of `former`. `resumed`: it did so before; a rotation was interrupted."""

    key_id: str
    former: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class Rotated:
    """Everything is sealed under a key, in the place of `former`.

    `values`: how many were sealed anew in this run, by table. `unopened`: rows whose values open under no key here and
    were left as they are, as "table key".
    """

    key_id: str
    former: str
    values: Mapping[str, int]
    unopened: Sequence[str]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """These keys are in the ring no more; empty when there was no old one."""

    key_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class StillNeeded:
    """An old key cannot go: so many values are under one; or, with none, a rotation is not finished."""

    values: int


def standing_of(key_id: str, ring: Sequence[str], seals: str) -> Standing:
    """How a key stands in a ring, the oldest key first."""
    if key_id == seals:
        return "seals"
    if key_id not in ring:
        return "missing"
    return "opens" if ring.index(key_id) < ring.index(seals) else "prepared"
