"""`make demo` starts what it says, or says why it does not."""

import json
import socket
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from fitness import sample
from fitness.demo import Place, main
from tests.support.fitness import Member
from tests.support.serving import ROOT

pytestmark = pytest.mark.slow


def test_the_demo_says_where_everything_is(place: Place) -> None:
    said = (place.folder / "said").read_text()
    for url in (place.issuer, place.api, place.web):
        assert f"{url}/" in said
    assert sample.PASSWORD in said
    assert "Mail & SMS" in said
    assert "note 1: picture is missing: before.jpg" in said
    assert "note 2: orphan" in said
    assert "/setup/" not in said, "an administrator's link is shown on a terminal only"


def test_secrets_are_for_their_owner_alone(place: Place) -> None:
    assert stat.S_IMODE(place.settings.stat().st_mode) == 0o600
    told = json.loads(place.settings.read_text())
    for log in place.folder.glob("*.log"):
        text = log.read_text()
        assert not [name for name in ("client_secret", "api_key", "webhook_secret") if told[name] in text]


def test_the_app_may_do_what_it_needs_and_no_more(place: Place) -> None:
    [key] = place.doorward_json("apikey", "list")
    assert set(key["scopes"]) == {"users:read", "users:write", "events:read"}
    [web] = [one for one in place.doorward_json("client", "list") if one["type"] == "spa"]
    assert (web["dpop"], web["resources"], web["redirect_uris"]) == (True, [place.api], [f"{place.web}/"])


def test_the_front_end_is_the_files_of_its_folder_and_nothing_else(place: Place) -> None:
    page = httpx.get(f"{place.web}/")
    assert 'integrity="sha384-' in page.text
    assert "@" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for path in ("/fitness.json", "/../fitness/web.py", "/%2e%2e/doorward.toml", "/web", "/index.html", "/.git/config"):
        missing = httpx.get(f"{place.web}{path}")
        assert (missing.status_code, missing.content) == (404, b""), path
    assert httpx.post(f"{place.web}/").status_code == 501


def test_somebody_of_the_old_app_signs_in_with_their_old_password(place: Place) -> None:
    with closing(Member(place, sample.WHO, sample.PASSWORD)) as mira:
        assert [note["picture"] for note in mira.call("GET", "/notes").json()["data"]] == [True, True, False, False]


def test_a_port_that_is_taken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--data", str(tmp_path), "--port", str(port)]) == 1
    assert f"Port {port} is in use" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_other_ports_want_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = {"issuer": "http://localhost:1", "api_url": "http://localhost:2", "web_url": "http://localhost:3"}
    (tmp_path / "fitness.json").write_text(json.dumps(told))
    assert main(["--data", str(tmp_path), "--port", "31990"]) == 1
    assert "name another folder with --data" in capsys.readouterr().out


def test_an_api_that_was_told_nothing_says_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fitness"],
        cwd=ROOT / "examples/fitness", env={"PYTHONPATH": str(ROOT / "clients/python/src")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Not set: issuer, api_url" in done.stderr
