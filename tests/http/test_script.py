"""/doorward.js: pages of every origin may load it, pin it, and are told when it has changed."""

import base64
import gzip
import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

import doorward
from doorward.cli import main
from doorward.web.script import load_script
from tests.http.conftest import World
from tests.http.test_headers import ALWAYS, DATA_POLICY
from tests.support.logs import restored_logging
from tests.support.serving import ROOT

FOLDER = ROOT / "clients/js"
SOURCE = FOLDER / "doorward.js"
LARGEST = 10_000  # bytes, compressed
PLAIN = {"accept-encoding": "identity"}


@pytest.mark.asvs("3.4.2")
async def test_pages_of_every_origin_may_load_it(world: World) -> None:
    answer = await world.visitor().get("/doorward.js", headers={"origin": "https://app.example"})
    headers = answer.headers
    assert answer.content == SOURCE.read_bytes()
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in headers
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert {name: headers[name] for name in ALWAYS} == ALWAYS
    assert headers["content-security-policy"] == DATA_POLICY
    assert len(headers["x-request-id"]) == 16
    for name in headers:
        assert len(headers.get_list(name)) == 1, name


async def test_it_is_asked_for_again_and_not_sent_again(world: World) -> None:
    visitor = world.visitor()
    for sent in (PLAIN, {"accept-encoding": "gzip"}):
        first = await visitor.get("/doorward.js", headers=sent)
        assert first.headers["cache-control"] == "public, no-cache"
        assert first.headers["vary"] == "Accept-Encoding"
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}'):
            again = await visitor.get("/doorward.js", headers={**sent, "if-none-match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert again.headers["access-control-allow-origin"] == "*"
        changed = await visitor.get("/doorward.js", headers={**sent, "if-none-match": '"other"'})
        assert (changed.status_code, changed.content) == (200, first.content)


async def test_under_its_hash_it_is_kept_for_ever(world: World) -> None:
    version = (await world.visitor().get("/doorward.js", headers=PLAIN)).headers["etag"].strip('"')
    kept = await world.visitor().get(f"/doorward.js?v={version}")
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    for other in ("v=", f"v={version}0", "v=000000000000", f"x={version}"):
        assert (await world.visitor().get(f"/doorward.js?{other}")).headers["cache-control"] == "public, no-cache"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"), ("gzip, deflate, br", "gzip"), ("br;q=1.0, GZIP ; q=0.5", "gzip"), ("identity", None),
        ("gzip;q=0", None), ("gzip;q=0.000, br", None), ("br", None), ("xgzip", None), ("", None),
    ],
)  # fmt: skip
async def test_it_is_compressed_for_those_who_understand_that(world: World, accepted: str, coding: str | None) -> None:
    answer = await world.visitor().get("/doorward.js", headers={"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert answer.content == SOURCE.read_bytes()
    whole = len(SOURCE.read_bytes())
    size = int(answer.headers["content-length"])
    assert size < LARGEST if coding else size == whole


async def test_it_is_read_and_nothing_else(world: World) -> None:
    head = await world.visitor().http.head("/doorward.js", headers=PLAIN)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(SOURCE.read_bytes())
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert (await world.visitor().http.request(method, "/doorward.js")).status_code in {404, 405}


# What is shipped ------------------------------------------------------------------------------------------------------


def test_it_is_one_small_file_without_dependencies() -> None:
    text = SOURCE.read_text("utf-8")
    assert len(gzip.compress(text.encode(), 9)) < LARGEST
    assert re.findall(r"^\s*(?:import|export)\b.*\bfrom\b", text, re.MULTILINE) == []
    assert re.findall(r"\b(?:eval|innerHTML|localStorage|document\.write|new Function)\b", text) == []


@pytest.mark.asvs("3.6.1")
def test_the_hash_that_pins_it_is_printed(tmp_path: Path) -> None:
    expected = f"sha384-{base64.b64encode(hashlib.sha384(SOURCE.read_bytes()).digest()).decode()}"
    with restored_logging():
        told = CliRunner().invoke(main, ["client", "script", "--data", str(tmp_path)])
        found = CliRunner().invoke(main, ["client", "script", "--json", "--data", str(tmp_path)])
    url = "http://localhost:8000/doorward.js"
    assert told.stdout == f'<link rel="modulepreload" href="{url}" integrity="{expected}">\n'
    assert json.loads(found.stdout) == {"url": url, "integrity": expected}
    assert load_script().integrity == expected


def test_its_types_name_what_it_has_and_nothing_else(tmp_path: Path) -> None:
    """By a small program that loads it as a browser would, as far as Node can."""
    types = (FOLDER / "doorward.d.ts").read_text("utf-8")
    program = tmp_path / "names.mjs"
    program.write_text(
        f"""
        Object.assign(globalThis, {{
          isSecureContext: true, location: new URL("https://app.example/"), addEventListener() {{}},
          document: {{ addEventListener() {{}} }}, BroadcastChannel: class {{ postMessage() {{}} }},
        }});
        const module = await import({json.dumps(SOURCE.as_uri())});
        const issuer = "https://id.example", door = module.doorward({{ issuer, clientId: "app" }});
        const cookie = module.doorward({{ issuer: "https://app.example" }});
        console.log(JSON.stringify([Object.keys(module), Object.keys(door), Object.keys(cookie)]));
        """
    )
    done = subprocess.run(["node", str(program)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    exported, door, cookie = json.loads(done.stdout)
    assert set(exported) == set(re.findall(r"^export (?:class|function) (\w+)", types, re.MULTILINE))
    declared = re.search(r"interface Doorward \{(.*?)^\}", types, re.DOTALL | re.MULTILINE)
    assert declared
    methods = set(re.findall(r"^  (\w+)\(", declared[1], re.MULTILINE))
    assert set(door) == set(cookie) == methods
    codes = set(re.findall(r'new DoorwardError\("(\w+)"', SOURCE.read_text("utf-8")))
    assert codes - set(re.findall(r"\w+", types)) == set()


def test_its_package_is_of_this_release() -> None:
    package = json.loads((FOLDER / "package.json").read_text("utf-8"))
    assert package["version"] == doorward.__version__
    assert "dependencies" not in package
    assert all((FOLDER / name).is_file() for name in package["files"])
