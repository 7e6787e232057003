"""The command line: thin, quick to answer, exit statuses 0, 1 and 2, and no secret among its arguments."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from doorward import cli
from doorward.cli import COMMANDS, main
from doorward.cli.common import say_json, say_table
from doorward.cli.serve import command as serve_command
from doorward.config import Settings
from doorward.datadir import DataDir
from tests.support.logs import restored_logging

HEAVY = {
    "alembic", "argon2", "asyncpg", "cryptography", "jinja2", "joserfc", "msgspec", "sqlalchemy", "starlette",
    "structlog", "uvicorn", "uvloop",
}  # fmt: skip
PASSWORD = "seven green teapots sail"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; logging is restored afterwards."""
    monkeypatch.chdir(tmp_path)
    with restored_logging():
        yield tmp_path


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=typed)


def right(*arguments: str, typed: str | None = None) -> Result:
    result = run(*arguments, typed=typed)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def answer(*arguments: str, typed: str | None = None) -> Any:
    return json.loads(right(*arguments, "--json", typed=typed).stdout)


def add(uid: str, *more: str) -> Any:
    return answer("user", "add", uid, "--name", uid.title(), "--password-stdin", *more, typed=PASSWORD + "\n")


# Shape ---------------------------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    code = "import sys\nfrom doorward.cli import main\nmain(['--help'], standalone_mode=False)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: " in done.stdout
    assert {name.split(".")[0] for name in done.stdout.split()}.isdisjoint(HEAVY)
    assert "doorward.app" not in done.stdout.split()


def commands(command: click.Command, path: Sequence[str] = ()) -> Iterator[tuple[Sequence[str], click.Command]]:
    context = click.Context(command)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*path, name))
    else:
        yield path, command


def test_every_command_takes_data_and_config() -> None:
    for path, command in commands(main):
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--data", "--config"} <= options, path


def test_the_list_of_commands_is_that_of_the_modules() -> None:
    files = {file.stem for file in Path(cli.__file__).parent.glob("*.py")}
    assert files == {*COMMANDS, "__init__", "__main__", "common"}
    assert right("--help").stdout.count("\n  ") >= len(COMMANDS)


@pytest.mark.asvs("14.2.1")
def test_no_command_takes_a_secret_as_an_argument() -> None:
    for path, command in commands(main):
        for parameter in command.params:
            takes_text = not (isinstance(parameter, click.Option) and parameter.is_flag)
            secret = any(word in name for name in parameter.opts for word in ("password", "secret", "token"))
            assert not (takes_text and secret), path


@pytest.mark.parametrize("arguments", [[], ["--port", "1"], ["--data", "x"], ["serve", "--port", "1"]])
def test_without_a_command_serve_is_meant(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[Settings, DataDir]] = []

    def serve(settings: Settings, data: DataDir, *_: object, **__: object) -> int:
        served.append((settings, data))
        return 0

    monkeypatch.setattr("doorward.server.serve", serve)
    right(*arguments)
    assert len(served) == 1
    assert served[0][0].server.port == (1 if "1" in arguments else 8000)
    assert served[0][1].path.name == ("x" if "x" in arguments else "doorward-data")


def test_serve_takes_the_flags_of_the_readme() -> None:
    options = {option for parameter in serve_command.params for option in parameter.opts}
    assert options == {"--host", "--port", "--data", "--config", "--workers", "--tls-cert", "--tls-key"}


def test_the_version_is_told() -> None:
    assert right("--version").stdout == "Doorward 0.1.0\n"


# Exit statuses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["serve", "--nonsense"],
        ["serve", "--port", "x"],
        ["serve", "--port", "70000"],
        ["serve", "--host", "192.0.2.1"],
        ["user", "add", "ada"],
        ["user", "set-role", "ada", "nonsense"],
        ["audit", "tail", "--event", "nonsense"],
        ["config", "check", "--config", "absent.toml"],
    ],
)
def test_wrong_use_ends_with_status_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr
    assert not result.stdout


def test_every_mistake_in_the_configuration_is_told_by_every_command(place: Path) -> None:
    (place / "doorward.toml").write_text("[server]\nprot = 1\nhost = 5\n", "utf-8")
    for arguments in (["serve"], ["init"], ["config", "check"], ["user", "list"], ["db", "upgrade"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stderr.splitlines() == [
            'doorward.toml:2: server.prot: there is no such key; did you mean "port"?',
            "doorward.toml:3: server.host: expected text from 1 to 255 characters, not 5",
        ]


def test_another_way_of_signing_up_is_refused_for_a_data_directory_in_use(place: Path) -> None:
    right("init")
    (place / "doorward.toml").write_text('[signup]\nidentifier = "uid"\n')
    result = run("user", "list")
    assert result.exit_code == 2
    assert 'was started with [signup] identifier = "email"' in result.stderr


def test_a_data_directory_from_before_the_default_changed_goes_on_as_it_was(place: Path) -> None:
    right("init")
    (place / "doorward-data/identifier").write_text("uid\n", "ascii")
    right("user", "list")
    assert (place / "doorward-data/identifier").read_text("ascii") == "uid\n"


def test_a_lost_key_is_told(place: Path) -> None:
    right("init")
    (place / "doorward-data/sealing.key").unlink()
    result = run("user", "list")
    assert result.exit_code == 2
    assert "Put the key back from your backup" in result.stderr


def test_a_database_that_does_not_answer_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORWARD_DATABASE__URL", "postgresql://door:S3CRET@127.0.0.1:1/doorward")
    result = run("user", "list")
    assert result.exit_code == 1
    assert "postgresql" in result.stderr
    assert "S3CRET" not in result.output


# Configuration -------------------------------------------------------------------------------------------------------


def test_config_show_tells_origins_and_hides_secrets(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "doorward.toml").write_text('[site]\nname = "Fitness"\n', "utf-8")
    monkeypatch.setenv("DOORWARD_DATABASE__URL", "postgresql://door:S3CRET@db/doorward")
    lines = right("config", "show", "--origin").stdout.splitlines()
    assert 'site.name = "Fitness"' in [line.split("  #")[0].rstrip() for line in lines]
    assert any(line.endswith("# doorward.toml:2") for line in lines)
    assert any(line.endswith("# DOORWARD_DATABASE__URL") for line in lines)
    shown = {one["key"]: one for one in answer("config", "show")}
    assert shown["site.name"] == {"key": "site.name", "value": "Fitness", "origin": "doorward.toml:2"}
    assert shown["server.port"] == {"key": "server.port", "value": 8000, "origin": "default"}
    assert "S3CRET" not in right("config", "show", "--origin").output


def test_config_check_says_that_all_is_right(place: Path) -> None:
    assert right("config", "check").stdout == "Without a file, the configuration is right.\n"
    (place / "doorward.toml").touch()
    assert right("config", "check").stdout == "doorward.toml is right.\n"


def test_config_docs_prints_the_page() -> None:
    assert right("config", "docs").stdout.startswith("# Configuration\n")


# Users, keys, audit --------------------------------------------------------------------------------------------------


def test_a_user_is_added_shown_listed_and_changed() -> None:
    made = add("ada", "--dob", "1990-01-31", "--role", "support")
    assert (made["uid"], made["roles"], made["status"]) == ("ada", ["support"], "active")
    assert answer("user", "show", "ADA") == made
    assert answer("user", "show", made["id"]) == made
    assert [user["uid"] for user in answer("user", "list")["data"]] == ["ada"]
    assert answer("user", "set-role", "ada", "auditor", "admin")["roles"] == ["admin", "auditor"]
    add("bob", "--role", "admin")
    assert answer("user", "disable", "ada")["status"] == "disabled"
    assert answer("user", "enable", "ada")["status"] == "active"
    assert answer("user", "set-role", "ada")["roles"] == []
    assert "ada" in right("user", "list").stdout


def leave(place: Path, uid: str, due_at: int) -> None:
    """Let a user leave who will be erased at `due_at` (µs), as their own page would."""
    with closing(sqlite3.connect(place / "doorward-data/doorward.db")) as database:
        database.execute("UPDATE users SET status = 'leaving' WHERE uid = ?", (uid,))
        database.execute("INSERT INTO deletion SELECT id, 0, ? FROM users WHERE uid = ?", (due_at, uid))
        database.commit()


def test_who_is_leaving_is_listed_shown_and_brought_back(place: Path) -> None:
    made = add("ada")
    add("bob")
    leave(place, "ada", 2_000_000_000_000_000)
    erased_at = "2033-05-18T03:33:20.000Z"
    assert answer("user", "list", "--leaving")["data"] == [
        {"id": made["id"], "uid": "ada", "asked_at": "1970-01-01T00:00:00.000Z", "erased_at": erased_at}
    ]
    assert erased_at in right("user", "list", "--leaving").stdout
    assert [user["uid"] for user in answer("user", "list")["data"]] == ["bob"]
    assert answer("user", "show", "ada") == made | {"status": "leaving", "erased_at": erased_at}
    for wrong in ("disable", "enable"):
        refused = run("user", wrong, "ada")
        assert (refused.exit_code, "is being deleted" in refused.stderr) == (1, True)
    assert answer("user", "restore", "ada") == made
    assert answer("user", "list", "--leaving")["data"] == []
    again = run("user", "restore", "ada")
    assert (again.exit_code, "is not being deleted" in again.stderr) == (1, True)
    leave(place, "bob", 1)
    assert run("user", "restore", "bob").exit_code == 1, "too late"
    assert run("user", "list", "--leaving", "--sort", "name").exit_code == 2


def test_an_invitation_is_sent_and_called_off(place: Path) -> None:
    (place / "doorward.toml").write_text(
        "[mail]\nurl = 'smtps://mail.example.org'\nfrom = 'id@example.org'\n", encoding="utf-8"
    )
    assert "is queued" in right("user", "invite", "ada@example.org").stdout
    told = right("user", "uninvite", "Ada@Example.org").stdout
    assert told == "Ada@Example.org is invited no more.\n"
    nobody = run("user", "uninvite", "ada@example.org")
    assert (nobody.exit_code, nobody.stderr) == (1, "Error: There is no invitation to ada@example.org\n")


def test_custom_fields_are_given_as_json_or_text(place: Path) -> None:
    (place / "doorward.toml").write_text("[fields.plan]\ntype = 'json'\n[fields.motto]\ntype = 'string'\n", "utf-8")
    made = add("ada", "--field", 'plan={"a": [1]}', "--field", "motto=so be it")
    assert (made["plan"], made["motto"]) == ({"a": [1]}, "so be it")
    assert run("user", "add", "bob", "--name", "Bob", "--field", "plan", typed="x").exit_code == 2


def test_every_wrong_field_is_told_with_status_1() -> None:
    result = run("user", "add", "a", "--name", "", "--password-stdin", typed="short\n")
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["uid", "name", "password"]
    add("ada")
    taken = run("user", "add", "ADA", "--name", "Ada", "--password-stdin", typed=PASSWORD)
    assert (taken.exit_code, taken.stderr.split(":")[0]) == (1, "uid")


def test_an_unknown_user_and_the_last_administrator_are_told_with_status_1() -> None:
    assert run("user", "show", "nobody").stderr == "Error: There is no user nobody\n"
    add("ada", "--role", "admin")
    for arguments in (["disable", "ada"], ["set-role", "ada"]):
        result = run("user", *arguments)
        assert (result.exit_code, "last administrator" in result.stderr) == (1, True)


def test_a_password_without_a_terminal_must_come_from_standard_input() -> None:
    result = run("user", "add", "ada", "--name", "Ada", typed=PASSWORD)
    assert result.exit_code == 2
    assert "--password-stdin" in result.stderr


def test_declared_roles_may_be_given(place: Path) -> None:
    (place / "doorward.toml").write_text('roles = ["teacher"]\n', "utf-8")
    assert add("ada", "--role", "teacher")["roles"] == ["teacher"]


@pytest.mark.parametrize("trick", ["\x1b[2J", "\u202e", "\x9b2J", "\n"])
def test_what_others_wrote_does_not_steer_the_terminal(trick: str, capsys: pytest.CaptureFixture[str]) -> None:
    say_table([{"name": f"Bob{trick}"}])
    say_json({"name": f"Bob{trick}"})
    table, _, document = capsys.readouterr().out.partition("{")
    assert trick not in table.replace("NAME\n", "").rstrip("\n")
    assert trick not in document.replace("\n  ", "").rstrip("}\n")


def test_the_administrators_link_goes_into_a_private_file_where_there_is_no_terminal(place: Path) -> None:
    shown = right("admin", "link").stdout
    link = place / "doorward-data/setup-link"
    assert shown == f"The link is in the file {link}\n"
    assert link.read_text("ascii").startswith("http://localhost:8000/setup/")
    assert link.stat().st_mode & 0o777 == 0o600


def test_the_audit_trail_is_shown_and_verified(place: Path) -> None:
    add("ada")
    add("bob")
    right("user", "set-role", "ada", "admin")
    events = answer("audit", "tail")
    assert [row["event"] for row in events] == ["user_created", "user_created", "authz_change"]
    assert answer("audit", "tail", "--user", "bob", "-n", "1")[0]["event"] == "user_created"
    assert [row["event"] for row in answer("audit", "tail", "--event", "authz_change")] == ["authz_change"]
    assert right("audit", "verify").stdout == "3 rows, 0 changed since they were recorded\n"
    with closing(sqlite3.connect(place / "doorward-data/doorward.db")) as database:
        database.execute("UPDATE audit_event SET outcome = 'failure' WHERE event = 'authz_change'")
        database.commit()
    result = run("audit", "verify", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"rows": 3, "changed": [events[2]["id"]]}


def test_the_signing_key_is_listed_without_its_private_half() -> None:
    (key,) = answer("key", "list")["signing"]
    assert (key["alg"], key["signs"], set(key)) == ("ES256", True, {"kid", "alg", "signs", "from", "until"})


def test_a_key_for_programs_is_made_listed_and_ended(place: Path) -> None:
    add("ada")
    right("user", "set-role", "ada", "admin")
    made = answer("apikey", "create", "ada", "--name", "Report", "--scope", "users:write", "--network", "192.0.2.0/24")
    assert made["secret"].startswith("dw_")
    assert (made["scopes"], made["networks"], made["per_minute"]) == (["users:write"], ["192.0.2.0/24"], None)
    shown = right("apikey", "create", "ada", "--name", "Other", "--scope", "profile:read", "--days", "7").stdout
    assert "shown only this once" in shown
    listed = answer("apikey", "list", "--user", "ada")
    assert [row["name"] for row in listed] == ["Other", "Report"]
    assert made["secret"] not in json.dumps(answer("apikey", "list"))
    right("apikey", "revoke", made["id"])
    assert [row["name"] for row in answer("apikey", "list")] == ["Other"]
    assert run("apikey", "revoke", made["id"]).exit_code == 1
    assert run("apikey", "create", "ada", "--name", "x", "--scope", "nothing").exit_code == 1
    assert made["secret"].encode() not in (place / "doorward-data/doorward.db").read_bytes()


def test_an_app_is_told_of_users_by_a_webhook(place: Path) -> None:
    added = answer("webhook", "add", "https://app.example.org/hooks", "--type", "user.deleted")
    assert added["secret"].startswith("whsec_")
    assert (added["types"], added["cursor"], added["given_up_at"]) == (["user.deleted"], "0", None)
    assert "shown only this once" in right("webhook", "add", "https://app.example.org/all").stdout
    assert added["secret"] not in json.dumps(answer("webhook", "list"))
    assert len(answer("webhook", "list")) == 2
    right("webhook", "replay", added["id"], "--after", "0")
    right("webhook", "remove", added["id"])
    assert len(answer("webhook", "list")) == 1
    for arguments in (["remove", added["id"]], ["test", added["id"]], ["replay", added["id"], "--after", "0"]):
        assert run("webhook", *arguments).exit_code == 1
    assert run("webhook", "add", "ftp://app.example.org").exit_code == 1
    (inside,) = [answer("webhook", "add", "https://127.0.0.1/hooks")]
    refused = run("webhook", "test", inside["id"])
    assert refused.exit_code == 1
    assert "must not ask" in refused.stderr
    assert added["secret"].encode() not in (place / "doorward-data/doorward.db").read_bytes()


def test_the_database_is_brought_up_to_date() -> None:
    assert right("db", "upgrade").stdout.startswith("The database is at schema 0")
    assert right("db", "upgrade").stdout.startswith("The database is at schema 0")


def test_nothing_is_coloured() -> None:
    """NO_COLOR is honoured by never using any."""
    for arguments in (["--help"], ["config", "show"], ["nonsense"]):
        assert "\x1b" not in CliRunner().invoke(main, arguments, color=True).output
