"""Print which tests answer which requirement of OWASP ASVS 5.0, as a Markdown table (`make evidence`)."""

import io
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout

import pytest


class Collector:
    """Gathers the `asvs` markers of everything pytest finds, and runs none of it."""

    def __init__(self) -> None:
        self.answers: defaultdict[str, set[str]] = defaultdict(set)

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Note every marked test once, whatever its parameters."""
        for item in items:
            for marker in item.iter_markers("asvs"):
                for requirement in marker.args:
                    self.answers[requirement].add(item.nodeid.partition("[")[0])

    def table(self) -> Iterator[str]:
        """Its lines, requirements in the order of the standard."""
        yield f"{len(self.answers)} requirements are answered by tests."
        yield ""
        yield "| ASVS 5.0 | Test |"
        yield "|---|---|"
        for requirement in sorted(self.answers, key=_in_order):
            for test in sorted(self.answers[requirement]):
                yield f"| {requirement} | {_sentence(test)} |"


def _in_order(requirement: str) -> tuple[int, ...]:
    return tuple(int(part) for part in requirement.split("."))


def _sentence(test: str) -> str:
    path, _, name = test.partition("::")
    return f"{name.rpartition('::')[2].removeprefix('test_').replace('_', ' ')} (`{path}`)"


def main() -> int:
    """Collect and print. Fails when pytest cannot collect."""
    collector = Collector()
    said = io.StringIO()
    with redirect_stdout(said):
        status = pytest.main(["--collect-only", "-qq"], plugins=[collector])
    if status != pytest.ExitCode.OK:
        print(said.getvalue(), file=sys.stderr)
    print("\n".join(collector.table()))
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
