"""What tests measure is told at the end of a run, also of those that pass: `record_property(MEASURED, sentence)`."""

from collections.abc import Iterator

import pytest

MEASURED = "measured"


def measurements(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, str]]:
    """Every test that measured something, and what."""
    for outcome in ("passed", "failed"):
        for report in reporter.getreports(outcome):
            if isinstance(report, pytest.TestReport) and report.when == "call":
                yield from ((report.nodeid, str(value)) for name, value in report.user_properties if name == MEASURED)
