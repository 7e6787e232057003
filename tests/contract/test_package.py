"""What is installed has what is served."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.serving import ROOT

pytestmark = pytest.mark.slow


def test_the_wheel_has_the_script_that_lies_with_the_clients(tmp_path: Path) -> None:
    """In the sources it is a link, so that there is one copy; a wheel knows none."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        assert opened.read("doorward/web/doorward.js") == (ROOT / "clients/js/doorward.js").read_bytes()
