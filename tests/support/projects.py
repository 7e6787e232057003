"""Somebody's project with tests of its own, in a folder of its own, where Doorward and its client are installed."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = {"doorward": ROOT / "src", "doorward_client": ROOT / "clients/python/src"}
_CONFTEST = 'pytest_plugins = ["doorward_client.testing.plugin"]\n'


def run_tests(folder: Path, files: Mapping[str, str], *, with_server: bool = True) -> subprocess.CompletedProcess[str]:
    """Write the project's files and run its tests, with warnings as errors.

    A checkout is no installation, so what an installer would write down of Doorward's entry points is written here.
    """
    project, installed = folder / "project", folder / "installed"
    project.mkdir()
    for name, text in {"conftest.py": _CONFTEST, **files}.items():
        (project / name).write_text(text)
    write_entry_points(installed, with_server=with_server)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOORWARD_", "DJANGO_"))}
    places = [installed, *SOURCES.values()]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--tb=short"],
        cwd=project,
        env={**kept, "PYTHONPATH": os.pathsep.join(map(str, places)), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_entry_points(folder: Path, *, with_server: bool) -> None:
    """What is known of the package `doorward` to whoever looks into `folder` first."""
    info = folder / "doorward-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: doorward\nVersion: 0\n")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"] if with_server else {}
    lines = [
        line for name, points in groups.items() for line in (f"[{name}]", *(f"{a} = {b}" for a, b in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
