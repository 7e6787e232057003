"""The Postman collection of examples/postman runs green against a server started as its README says, twice."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import ROOT, running

NEWMAN = ROOT / "node_modules/.bin/newman"
COLLECTION = ROOT / "examples/postman/doorward.json"
CONFIG = ROOT / "examples/fitness/doorward.toml"
RUN_SECONDS = 120


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a server with the fitness example's fields answers."""
    arguments = ("serve", "--port", "0", "--data", str(tmp_path / "data"), "--config", str(CONFIG))
    with running("doorward.cli", *arguments) as server:
        yield f"http://localhost:{server.port}"


@pytest.mark.slow
@pytest.mark.skipif(not NEWMAN.exists(), reason="newman is not installed: scripts/test-tools")
def test_the_collection_runs_green_again_and_again(address: str) -> None:
    for _ in range(2):
        run = subprocess.run(
            [NEWMAN, "run", COLLECTION, "--env-var", f"base_url={address}", "--color", "off"],
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
