"""doorward mail, and starting with or without a mail server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from doorward.cli import main
from doorward.messages import MAILS, TEXTS
from tests.support.logs import restored_logging
from tests.support.serving import running
from tests.support.smtp_server import smtp_server

ADDRESS = "ada@example.com"
PUBLIC = ("--host", "127.0.0.1", "--port", "0")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, and a sender."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOORWARD_MAIL__FROM", "Example <id@example.org>")
    with restored_logging():
        yield tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def to_server(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("DOORWARD_MAIL__URL", f"smtp://127.0.0.1:{port}")


@pytest.mark.parametrize("template", [*MAILS, *TEXTS])
def test_every_message_can_be_looked_at(template: str) -> None:
    text = run("mail", "preview", template)
    assert text.exit_code == 0, text.output
    assert ("Subject: " in text.stdout) is (template in MAILS)
    html = run("mail", "preview", template, "--html")
    assert html.exit_code == 0
    assert ("<html" in html.stdout) is (template in MAILS)


def test_an_unknown_template_lists_those_there_are() -> None:
    result = run("mail", "preview", "nothing")
    assert result.exit_code == 2
    assert "'recovery'" in result.output


def test_a_test_mail_arrives(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with smtp_server(place / "accepted.jsonl") as server:
        to_server(monkeypatch, server.port)
        result = run("mail", "test", ADDRESS)
        assert result.exit_code == 0, result.output
        assert server.count() == {ADDRESS: 1}


def test_a_test_mail_that_is_not_taken_says_why(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with smtp_server(place / "accepted.jsonl", "--plan", "451") as server:
        to_server(monkeypatch, server.port)
        later, never = run("mail", "test", ADDRESS), run("mail", "test", "refused-ada@example.com")
    gone = run("mail", "test", ADDRESS)
    assert (later.exit_code, never.exit_code, gone.exit_code) == (1, 1, 1)
    assert "tried again: the mail server said 451 4.7.1 <[address]>: come back later" in later.stderr
    assert "given up: the mail server said 550 5.1.1" in never.stderr
    assert f"127.0.0.1:{server.port} cannot be reached" in gone.stderr


def test_a_test_mail_needs_a_server_and_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("mail", "test", ADDRESS).exit_code == 2
    to_server(monkeypatch, 9)
    assert run("mail", "test", "ada").exit_code == 2


def test_an_operator_sees_what_failed_and_tries_it_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORWARD_SIGNUP__IDENTIFIER", "email")
    body = {"email": "refused-ada@example.com", "password": "seven quiet herons at noon"}
    with smtp_server(place / "accepted.jsonl") as server:
        to_server(monkeypatch, server.port)
        with running(
            "doorward.cli", "serve", *PUBLIC, "--data", str(place / "doorward-data"), environ=os.environ
        ) as one:
            url, headers = f"http://127.0.0.1:{one.port}/api/users", {"host": "localhost"}
            answer = httpx.post(url, json=body, headers=headers, timeout=30)
            assert answer.status_code == 202, answer.text
            line = json.loads(one.wait_for_log("message_failed"))
        assert line["recipient_domain"] == "example.com"
        assert "ada@" not in "".join(one.log)
    (failed,) = json.loads(run("mail", "list", "--state", "failed", "--json").stdout)
    assert (failed["recipient"], failed["template"]) == ("refused-ada@example.com", "confirm_sign_up")
    assert "550 5.1.1" in failed["error"]
    assert "refused-ada@example.com" in run("mail", "list").stdout
    assert run("mail", "retry").exit_code == 2
    assert run("mail", "retry", "nothing").exit_code == 1
    again = run("mail", "retry", "--all-failed", "--json")
    assert json.loads(again.stdout) == {"queued": [failed["id"]]}
    assert json.loads(run("mail", "list", "--state", "queued", "--json").stdout)[0]["id"] == failed["id"]


def test_sign_up_by_mail_is_not_served_without_a_mail_server(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORWARD_SIGNUP__IDENTIFIER", "email")
    monkeypatch.setenv("DOORWARD_SERVER__PUBLIC_URL", "https://id.example.org")
    with (
        pytest.raises(AssertionError, match=r"\[mail\] url is missing"),
        running("doorward.cli", "serve", *PUBLIC, "--data", str(place / "data"), environ=os.environ),
    ):
        pass


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("URL", "smtp://user:hunter2hunter2@mail.example.org/x", "mail.url"),
        ("URL", "ftp://user:hunter2hunter2@mail.example.org", "mail.url"),
        ("FROM", "a@example.org, b@example.org", "mail.from"),
        ("FROM", "", "is needed with url"),
    ],
)
def test_a_wrong_mail_server_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str, word: str
) -> None:
    to_server(monkeypatch, 25)
    monkeypatch.setenv(f"DOORWARD_MAIL__{key}", value)
    result = run("config", "check")
    assert result.exit_code == 2
    assert word in result.output
    assert "hunter2" not in result.output
