"""The feed of revocations on a real server: flushed a line at a time, and no hindrance to its stop."""

import json
import time
from pathlib import Path

import httpx
from click.testing import CliRunner

from doorward.cli import main
from tests.support.logs import restored_logging
from tests.support.serving import running


def registered(data: Path) -> tuple[str, str]:
    """A service, registered beside the running server."""
    with restored_logging():
        added = ["client", "add", "Api", "--type", "service", "--scope", "revocations", "--data", str(data), "--json"]
        made = CliRunner().invoke(main, added)
    assert made.exit_code == 0, made.output
    found = json.loads(made.stdout)
    return found["client_id"], found["client_secret"]


def test_lines_arrive_at_once_and_the_server_stops_with_a_stream_open(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running("doorward.cli", "serve", "--data", str(data), "--port", "0") as server:
        url = f"http://127.0.0.1:{server.port}/oauth/revocations"
        with (
            httpx.Client(auth=registered(data), timeout=10) as client,
            client.stream("GET", url) as stream,
        ):
            assert stream.status_code == 200
            lines, began = stream.iter_lines(), time.monotonic()
            for _ in range(3):
                assert json.loads(next(lines))["heartbeat"] is True
            assert time.monotonic() - began < 3
            stopping = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - stopping < 5
            assert all(json.loads(line)["heartbeat"] for line in lines), "it ended as it should"
