"""What is installed is what was reviewed: exact releases with their hashes, each with a reason."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sources import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CLIENT = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())["project"]


def _requirements(lock: Path) -> Iterator[str]:
    """Every requirement of a lock with its options, its continued lines joined."""
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    return (line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip())


def _names(lock: Path) -> set[str]:
    return {re.split(r"[=\s]", requirement)[0] for requirement in _requirements(lock)}


def _asked_for() -> set[str]:
    return _named(PROJECT["project"]["dependencies"], *map(_own, PROJECT["dependency-groups"].values()))


def _own(group: list[str | dict[str, str]]) -> list[str]:
    """What a group names itself, without the groups that it includes."""
    return [requirement for requirement in group if isinstance(requirement, str)]


def _named(*groups: list[str]) -> set[str]:
    return {re.split(r"[\s>=<~!\[;]", requirement)[0] for group in groups for requirement in group}


@pytest.mark.asvs("15.2.4")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_release_is_exact_and_hashed(lock: Path) -> None:
    locked = re.compile(r"[a-z0-9.-]+==\S+( ; .+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*")
    assert not [requirement for requirement in _requirements(lock) if not locked.fullmatch(requirement)]


@pytest.mark.parametrize("lock", [*LOCKS, ROOT / "package-lock.json"], ids=lambda lock: lock.name)
def test_locks_do_not_say_where_to_fetch(lock: Path) -> None:
    text = re.sub(r'^.*"url": "https://.*$', "", lock.read_text(), flags=re.MULTILINE)  # whom to thank with money
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE), "a lock holds releases, and no option of the installer"


@pytest.mark.asvs("15.2.4")
def test_every_locked_javascript_package_is_hashed() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert all(package["integrity"].startswith("sha512-") for name, package in packages.items() if name)


def test_the_locks_hold_what_the_project_asks_for() -> None:
    everything = _names(ROOT / "requirements/dev.lock")
    assert _asked_for() <= everything
    assert _names(ROOT / "requirements/runtime.lock") <= everything


def test_the_client_library_needs_nothing_that_is_not_locked_and_written_down() -> None:
    needed = _named(CLIENT["dependencies"], *CLIENT["optional-dependencies"].values())
    assert needed <= _asked_for()


def test_what_tests_of_apps_need_is_locked_and_written_down_too() -> None:
    assert _named(*PROJECT["project"]["optional-dependencies"].values()) <= _asked_for()


@pytest.mark.asvs("15.1.2")
def test_every_dependency_is_written_down_with_its_purpose() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    tools = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert sorted(rows) == sorted(_asked_for() | tools.keys())


@pytest.mark.asvs("15.2.4")
def test_nobody_is_told_to_install_us_by_a_name_that_is_anybodys_on_an_index() -> None:
    by_name = re.compile(r"pip install\b[^\n]*[ '\"]doorward[-\[' \"]")
    told = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("clients/*/*.md")]
    told += [path for top in ("src", "clients") for path in (ROOT / top).rglob("*") if path.suffix in {".py", ".tmpl"}]
    assert len(told) > 100
    assert [path for path in told if by_name.search(path.read_text())] == []


def test_news_fragments_are_named_for_what_they_are() -> None:
    fragments = [path.name for path in (ROOT / "docs/changelog.d").iterdir() if path.name != "README.md"]
    named = re.compile(r"[a-z0-9-]+\.(added|changed|fixed|removed|security)\.md")
    assert not [name for name in fragments if not named.fullmatch(name)]
