"""Handles that nobody may choose."""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from doorward.kernel.text import uid_key


def reserved_keys(more: Iterable[str] = ()) -> frozenset[str]:
    """What `uid_key` gives for the names of reserved_names.txt and for `more`."""
    return _shipped() | frozenset(map(uid_key, more))


@cache
def _shipped() -> frozenset[str]:
    lines = files(__package__).joinpath("reserved_names.txt").read_text("utf-8").splitlines()
    return frozenset(uid_key(line) for line in lines if line and not line.startswith("#"))
