"""Strings that break programs: our own list, and the Big List of Naughty Strings where it lies beside the project."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def hostile_strings() -> list[str]:
    """Every string once."""
    own = json.loads((ROOT / "tests/data/hostile-strings.json").read_text("utf-8"))
    naughty = ROOT.parent / "shared/data/naughty-strings.json"
    more = json.loads(naughty.read_text("utf-8")) if naughty.exists() else []
    return list(dict.fromkeys([*own, *more]))
