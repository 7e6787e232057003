"""What the documents promise to be tested is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
THREATS = (ROOT / "docs/threat-model.md").read_text("utf-8")


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", THREATS))
    assert len(named) > 15
    assert sorted(name for name in named if not (ROOT / "tests" / name).is_file()) == []


def test_every_threat_names_a_test_or_says_that_nothing_stops_it() -> None:
    rows = [line.split("|")[1:-1] for line in THREATS.splitlines() if line.startswith("|") and line.count("|") == 5]
    threats = [row for row in rows if row[0].strip() not in {"Attack", "---"} and not row[0].startswith("---")]
    assert len(threats) > 15
    for attack, _, defence, test in threats:
        assert ".py`" in test or defence.strip().startswith("nothing"), attack
