"""The examples that `doorward add` writes: each is started, signed in to, and passes the tests that come with it."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from doorward.cli import main
from tests.support.hosted import PASSWORD, Person
from tests.support.logs import restored_logging
from tests.support.ports import free_port
from tests.support.serving import ROOT, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
STARTED = {
    "flask": ["app.py"],
    "fastapi": ["app.py"],
    "django": ["manage.py", "runserver", "--noreload", "{port}"],  # a reloader would not stop with its parent
}
FRAMEWORKS = list(STARTED)


def operate(*arguments: str, typed: str | None = None) -> Result:
    with restored_logging():
        return CliRunner().invoke(main, list(arguments), input=typed)


def environ() -> dict[str, str]:
    """No setting of a client may come from the outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOORWARD_", "DJANGO_"))}
    return {**kept, "PYTHONPATH": str(ROOT / "clients/python/src")}


@contextmanager
def started(folder: Path, framework: str, url: str) -> Iterator[None]:
    """The example, started as its README says."""

    def answers() -> bool:
        assert process.poll() is None, "it ended"
        try:
            return httpx.get(f"{url}/").status_code == 200
        except httpx.TransportError:
            return False

    words = [word.format(port=url.rpartition(":")[2]) for word in STARTED[framework]]
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(answers)
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_example_is_signed_in_to(tmp_path: Path, framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, folder, app_url = str(tmp_path / "data"), tmp_path / "my notes", f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("DOORWARD_SIGNUP__IDENTIFIER", "uid")
    monkeypatch.setenv("DOORWARD_SERVER__PORT", str(free_port()))  # of the server, and so of the issuer
    added = operate("add", framework, str(folder), "--url", app_url, "--data", data)
    assert added.exit_code == 0, added.output
    assert f"cd '{folder}'" in added.output
    assert f"open {app_url}/" in added.output
    typed = operate("user", "add", "ada", "--name", "Ada <3", "--password-stdin", "--data", data, typed=PASSWORD)
    assert typed.exit_code == 0, typed.output
    with (
        closing(Person()) as person,
        running("doorward.cli", "serve", "--data", data),
        started(folder, framework, app_url),
    ):
        assert "Everybody may read this" in person.open(f"{app_url}/").text
        person.open(f"{app_url}/me")
        page = person.fill_in("ada")
        assert (page.status_code, str(page.url)) == (200, f"{app_url}/me")
        assert "Hello, Ada &lt;3" in page.text
        assert set(person.program(f"{app_url}/api/me").json()["scope"]) >= {"openid", "profile"}
        assert str(person.submit({}, "/auth/sign-out").url) == f"{app_url}/"
        assert person.program(f"{app_url}/api/me").status_code == 401


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_tests_of_an_example_pass_and_its_code_is_clean(tmp_path: Path, framework: str) -> None:
    folder = tmp_path / "notes"
    (tmp_path / "pyproject.toml").write_text('[tool.pytest]\naddopts = ["--of-another-project"]\n')
    assert operate("add", framework, str(folder), "--data", str(tmp_path / "data")).exit_code == 0
    for tool in (["pytest", "-q", "-p", "no:cacheprovider"], ["ruff", "check", "--isolated", "--no-cache"]):
        done = subprocess.run(
            [sys.executable, "-m", *tool], cwd=folder, env=environ(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_secret_is_for_its_owner_alone_and_no_word_is_left_to_fill_in(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    assert operate("add", "flask", str(folder), "--data", str(tmp_path / "data")).exit_code == 0
    secret = folder / "doorward.json"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert "doorward.json" in (folder / ".gitignore").read_text().splitlines()
    settings = json.loads(secret.read_text())
    assert settings["issuer"] == "http://localhost:8000"
    assert settings["client_id"].startswith("notes-")
    readme = (folder / "README.md").read_text()
    assert "http://127.0.0.1:5001/" in readme
    assert "@" not in readme
    for file in folder.iterdir():
        assert settings["client_secret"] not in file.read_text() or file == secret


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_library_is_installed_from_the_clone_and_never_by_a_name_that_is_anybodys(
    tmp_path: Path, framework: str
) -> None:
    folder = tmp_path / "notes"
    said = operate("add", framework, str(folder), "--data", str(tmp_path / "data")).output
    library = f"{ROOT}/clients/python"
    assert f"pip install '{library}[{framework}]'" in said
    for text in (said, (folder / "README.md").read_text(), (ROOT / "docs/protect-your-app.md").read_text()):
        assert re.search(r"pip install [^\n]*clients/python\[", text)
        assert not re.search(r"pip install [^\n]*doorward-client", text)
    assert f"pytest '{library}[{framework},testing]'" in (folder / "README.md").read_text()


def test_it_says_where_the_app_will_look_for_doorward(tmp_path: Path) -> None:
    data, elsewhere = str(tmp_path / "data"), "http://127.0.0.1:9000"
    usual = operate("add", "flask", str(tmp_path / "one"), "--data", data)
    assert "asks Doorward at http://localhost:8000," in usual.output
    other = operate("add", "flask", str(tmp_path / "two"), "--issuer", elsewhere, "--data", data)
    assert f"asks Doorward at {elsewhere}," in other.output
    assert json.loads((tmp_path / "two/doorward.json").read_text())["issuer"] == elsewhere
    wrong = operate("add", "flask", str(tmp_path / "three"), "--issuer", "http://id.example", "--data", data)
    assert wrong.exit_code == 2
    assert "https://" in wrong.output


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_behind_a_proxy_that_ends_tls_the_app_listens_on_a_port_that_is_free_to_take(
    tmp_path: Path, framework: str
) -> None:
    folder = tmp_path / "notes"
    said = operate("add", framework, str(folder), "--url", "https://app.example", "--data", str(tmp_path / "data"))
    assert said.exit_code == 0, said.output
    assert "passes what comes to app.example on to 127.0.0.1:5001" in said.output
    started = {"django": "manage.py runserver 5001"}.get(framework, "app.py")
    assert started in said.output
    assert started in (folder / "README.md").read_text()
    assert framework == "django" or "port=5001" in (folder / "app.py").read_text()
    assert framework != "django" or '"app.example"' in (folder / "project.py").read_text()


def test_nothing_is_overwritten_and_nothing_registered_then(tmp_path: Path) -> None:
    folder, data = tmp_path / "notes", str(tmp_path / "data")
    folder.mkdir()
    (folder / "app.py").write_text("mine")
    refused = operate("add", "flask", str(folder), "--data", data)
    assert refused.exit_code == 1
    assert "not empty" in refused.output
    assert [file.name for file in folder.iterdir()] == ["app.py"]
    assert (folder / "app.py").read_text() == "mine"
    assert json.loads(operate("client", "list", "--json", "--data", data).stdout) == []


def test_where_there_is_no_doorward_nothing_is_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = operate("add", "flask", "notes")
    assert refused.exit_code == 1
    assert "There is no Doorward at doorward-data. Run this where it was started, or give --data" in refused.output
    assert list(tmp_path.iterdir()) == []


def test_examples_run_side_by_side(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    for framework, port in (("flask", 5001), ("static", 5002), ("django", 5003)):
        said = operate("add", framework, str(tmp_path / framework), "--data", data)
        assert f"open http://127.0.0.1:{port}/" in said.output
        assert str(port) in (tmp_path / framework / "README.md").read_text()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:5001/", "app.example", "ftp://127.0.0.1", "http://app.example", "https://App.example",
        "https://app.example:443", "https://app.example:70000", "https://bücher.example", "https://me@app.example", "",
        "http://[::1", "https://[zz]", "https://a;b", "https://a\\b", "http://a<b",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_an_apps_is_refused(tmp_path: Path, url: str) -> None:
    refused = operate("add", "flask", str(tmp_path / "notes"), "--url", url, "--data", str(tmp_path / "data"))
    assert refused.exit_code == 1
    assert list((tmp_path / "notes").glob("*")) == []
