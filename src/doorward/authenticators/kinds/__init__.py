"""Every kind of authenticator, found by listing this folder (see `authenticators.kind`)."""

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from doorward.authenticators.kind import Kind


@cache
def all_kinds() -> Mapping[str, Kind]:
    """The kinds by name. Raises TypeError for a file whose KIND is none, or is not named for its file."""
    found: dict[str, Kind] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        kind = getattr(import_module(f"{__name__}.{module.name}"), "KIND", None)
        if not isinstance(kind, Kind) or kind.name != module.name:
            raise TypeError(f"{module.name}.py does not end in a KIND of that name")
        found[kind.name] = kind
    return found
