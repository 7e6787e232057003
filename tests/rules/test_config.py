"""One configuration from file, environment and flags; every mistake at once, each with its place (DX-04)."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from doorward.config import Settings, WrongSettings, choose_file, load
from doorward.config.lines import find_lines
from doorward.config.reference import configuration_page
from doorward.config.schema import values
from doorward.config.show import shown
from doorward.config.wrongs import variable

ROOT = Path(__file__).parents[2]
NOBODY: Mapping[str, str] = {}


def toml(folder: Path, text: str) -> Path:
    file = folder / "doorward.toml"
    file.write_text(text, "utf-8")
    return file


def mistakes(
    file: Path | None, environ: Mapping[str, str] = NOBODY, flags: Mapping[str, Any] | None = None
) -> list[str]:
    with pytest.raises(WrongSettings) as refused:
        load(file, environ, flags or {})
    lines = [wrong.line for wrong in refused.value.wrongs]
    return [line.removeprefix(f"{file.parent}/") for line in lines] if file else lines


def test_without_any_configuration_the_defaults_hold() -> None:
    assert load(None, {}, {}).settings == Settings()


def test_the_shipped_example_is_right() -> None:
    settings = load(ROOT / "examples/fitness/doorward.toml", {}, {}).settings
    assert settings.signup.identifier == "uid"
    assert {name: (field.type, field.write) for name, field in settings.fields.items()} == {
        "tracking": ("json", "user"),
        "exercise": ("json", "user"),
        "coins": ("integer", "app"),
    }
    coins = settings.fields["coins"]
    assert (coins.read, coins.sortable, coins.default, coins.minimum) == ("public", True, 0, 0)


TWILIO = f"provider = 'twilio'\ntwilio_account_sid = 'AC{'0f' * 16}'"
TOKEN, SENDER = "twilio_auth_token = 'canary'", "twilio_from = '+15005550006'"
GATEWAY = "provider = 'http'\nurl = 'https://sms.example/send'"
WRONG_FILES = {
    "a slip in a key": (
        "[server]\nprot = 80",
        'doorward.toml:2: server.prot: there is no such key; did you mean "port"?',
    ),
    "a slip in a table": (
        "\n[sesions]\nprofile = 'aal1'",
        'doorward.toml:2: sesions: there is no such key; did you mean "sessions"?',
    ),
    "a key in the wrong table": (
        "[server]\nminimum_length = 15",
        "doorward.toml:2: server.minimum_length: there is no such key here; did you mean password.minimum_length?",
    ),
    "a slip in a key in the wrong table": (
        "[server]\nminimun_length = 15",
        "doorward.toml:2: server.minimun_length: there is no such key; did you mean password.minimum_length?",
    ),
    "a key like nothing else": ("zzzz = 1", "doorward.toml:1: zzzz: there is no such key"),
    "a key inside a value": (
        "[server.port]\nx = 1",
        'server.port: expected a whole number from 0 to 65535, not {"x": 1}',
    ),
    "a value for a table": ("server = 5", "doorward.toml:1: server: expected a table, not 5"),
    "a text for a number": (
        '[server]\nport = "80a"',
        'doorward.toml:2: server.port: expected a whole number from 0 to 65535, not "80a"',
    ),
    "a yes for a number": (
        "[server]\nworkers = true",
        "server.workers: expected a whole number from 1 to 64, not true",
    ),
    "a number out of range": (
        "[server]\nport = 70000",
        "server.port: expected a whole number from 0 to 65535, not 70000",
    ),
    "a short password": (
        "[password]\nminimum_length = 14",
        "password.minimum_length: expected a whole number from 15 to 64, not 14",
    ),
    "a cheap hash": (
        "[password]\nmemory_kib = 64",
        "password.memory_kib: expected a whole number from 19456 to 4194304",
    ),
    "a slip in a choice": (
        '[users]\ndirectory = "member"',
        'users.directory: expected "members", "public" or "off", not "member"; did you mean "members"?',
    ),
    "a mode that does not exist yet": (
        '[signup]\nidentifier = "phone"',
        'signup.identifier: expected "email" or "uid", not "phone"',
    ),
    "a core field's reader": ('[users.read]\ndob = "all"', 'users.read.dob: expected "private", "members" or "public"'),
    "a list with a number": ("roles = ['a', 1]", 'roles: expected a list, each text, not ["a", 1]'),
    "a role of our own": ("roles = ['admin']", 'roles: "admin" is a role of Doorward itself'),
    "a role that is no name": ("roles = ['Big Boss']", 'roles: "Big Boss" is not a name'),
    "a role twice": ("roles = ['a', 'a']", "roles: a role is named twice"),
    "a date for a text": (
        "[site]\nname = 2026-01-01",
        'site.name: expected text from 1 to 80 characters, not "2026-01-01"',
    ),
    "a name in two lines": ('[site]\nname = "a\\nb"', "site.name: expected one line of visible text"),
    "a script for support": (
        "[site]\nsupport = 'javascript:x'",
        "site.support: expected an e-mail address or an https URL",
    ),
    "a host with a port": ("[server]\nhost = 'localhost:80'", "server.host: expected an address or a name alone"),
    "a network with host bits": ("[server]\ntrusted_proxies = ['10.0.0.1/8']", '"10.0.0.1/8" is not a network'),
    "a network of everybody": ("[server]\ntrusted_proxies = ['0.0.0.0/0']", '"0.0.0.0/0" is everybody'),
    "a public address with a path": (
        "[server]\npublic_url = 'https://a.org/x'",
        "server.public_url: expected an address",
    ),
    "a public address with a user": (
        "[server]\npublic_url = 'https://u@a.org'",
        "server.public_url: expected an address",
    ),
    "a public address that is none": ("[server]\npublic_url = 'a.org'", "server.public_url: expected an address"),
    "a public address with a bad port": (
        "[server]\npublic_url = 'https://a:x'",
        "server.public_url: expected an address",
    ),
    "a public address in plain http": ("[server]\npublic_url = 'http://a.org'", "must begin with https://"),
    "another database": (
        "[database]\nurl = 'mysql://h/d'",
        "database.url: expected postgresql://user:password@host:port",
    ),
    "SQLite elsewhere": ("[database]\nurl = 'sqlite:///x.db'", "SQLite always lives in the data directory"),
    "Twilio without its account": (
        f"[sms]\nprovider = 'twilio'\n{TOKEN}\n{SENDER}",
        "sms.twilio_account_sid: is needed",
    ),
    "Twilio without its token": (f"[sms]\n{TWILIO}\n{SENDER}", "sms.twilio_auth_token: is needed for the provider"),
    "Twilio without a sender": (f"[sms]\n{TWILIO}\n{TOKEN}", "sms.twilio_from: expected a number"),
    "a gateway without an address": ("[sms]\nprovider = 'http'", "sms.url: is needed for the provider"),
    "a gateway in plain http": ("[sms]\nurl = 'http://sms.example/send'", "sms.url: must begin with https://"),
    "a gateway of this machine at a port of its system": ("[sms]\nurl = 'http://127.0.0.1:80/'", "a port from 1024 on"),
    "a gateway of this machine by accident": (
        "[sms]\nprovider = 'http'\nurl = 'http://127.0.0.1:8080/send'",
        "sms.url: a gateway on this machine needs allow_private_networks = true",
    ),
    "a gateway with a password": ("[sms]\nurl = 'https://u:canary@sms.example/'", "sms.url: expected an https URL"),
    "a gateway that is no address": ("[sms]\nurl = 'sms.example'", "sms.url: expected an https URL"),
    "a header in two lines": ('[sms]\nheaders = ["A: canary\\r\\nB: c"]', "sms.headers: each must be one line"),
    "a header without a value": ("[sms]\nheaders = ['canary']", "sms.headers: each must be one line"),
    "a header of ours": ("[sms]\nheaders = ['Host: canary']", "sms.headers: one of them is written by Doorward itself"),
    "a header twice": ("[sms]\nheaders = ['A: canary', 'a: 2']", "sms.headers: one of them is named twice"),
    "a message without a text": (
        f"[sms]\n{GATEWAY}\nbody = '{{to}}'",
        "sms.body: must have the places {to} and {text}",
    ),
    "a message with quotes of its own": (
        f'[sms]\n{GATEWAY}\nbody = \'{{"to": "{{to}}", "text": {{text}}}}\'',
        "sms.body: is not JSON once {to} and {text} are put in",
    ),
    "a form that is JSON": (
        f"[sms]\n{GATEWAY}\ncontent_type = 'application/x-www-form-urlencoded'",
        "sms.body: is not a form",
    ),
    "a country by its name": ("[sms]\ncountries = ['Germany']", 'sms.countries: "Germany" is not a country'),
    "a country in small letters": ("[sms]\ncountries = ['de']", 'sms.countries: "de" is not a country'),
    "a range service in plain http": (
        "[password]\nrange_url = 'http://r.example/'",
        "password.range_url: expected an https",
    ),
    "a range service with a question": (
        "[password]\nrange_url = 'https://r.example/?a=canary'",
        "password.range_url: expected",
    ),
    "a field without a type": ("[fields.coins]\nread = 'public'", "doorward.toml:2: fields.coins.type: is missing"),
    "a field without anything": ("[fields.coins]", "doorward.toml:1: fields.coins.type: is missing"),
    "a slip in a field's type": (
        "[fields.coins]\ntype = 'integre'",
        '"boolean", "date" or "json", not "integre"; did you mean "integer"?',
    ),
    "a slip in a field's key": (
        "[fields.coins]\ntype = 'integer'\nsorted = true",
        'doorward.toml:3: fields.coins.sorted: there is no such key; did you mean "sortable"?',
    ),
    "a field of json that is sortable": (
        "[fields.plan]\ntype = 'json'\nsortable = true",
        "doorward.toml:3: fields.plan.sortable: a json gives no order",
    ),
    "a field with a taken name": ("[fields.email]\ntype = 'string'", "fields.email: this name is already taken"),
    "a limit that cannot be read": (
        "[limits.sign-in]\nper_address = 'lots'",
        'doorward.toml:2: limits.sign-in.per_address: must be a count and a period, such as "30/15m"',
    ),
    "a limit that does not exist": ("[limits.sign-in]\nper_user = '5/1m'", "limits.sign-in.per_user: there is no such"),
    "a table of limits that does not exist": (
        "[limits.signin]\na = '5/1m'",
        "limits.signin.a: there is no table signin",
    ),
    "a certificate alone": ("[server]\ntls_cert = 'a.pem'", "server.tls_cert: tls_key is missing"),
    "a key alone": ("[server]\ntls_key = 'a.pem'", "server.tls_key: tls_cert is missing"),
    "http in spite of TLS": (
        "[server]\ntls_cert = 'a'\ntls_key = 'b'\npublic_url = 'http://localhost'",
        "doorward.toml:4: server.public_url: must begin with https://",
    ),
    "plain http for everybody": ("[server]\nhost = '0.0.0.0'", "doorward.toml:2: server.host: passwords would cross"),
    "plain http for IPv6": ("[server]\nhost = '::'", "doorward.toml:2: server.host: passwords would cross"),
    "plain http for a name": ("[server]\nhost = 'myhost'", "doorward.toml:2: server.host: passwords would cross"),
    "no TOML": ("[server]\nport = \n", "doorward.toml:2: this is not TOML: invalid value"),
    "TOML that stops short": ("[server\n", "doorward.toml:1: this is not TOML"),
    "a key twice": ("[server]\nport = 1\nport = 2", "doorward.toml:3: this is not TOML: cannot overwrite a value"),
}


@pytest.mark.parametrize(("text", "said"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_mistake_in_the_file_is_told_with_its_line_and_what_was_meant(tmp_path: Path, text: str, said: str) -> None:
    found = mistakes(toml(tmp_path, text))
    assert len(found) == 1
    assert said in found[0]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    file = toml(tmp_path, "\n".join(text for text, _ in WRONG_FILES.values() if text.startswith("[fields.plan]")))
    file.write_text(file.read_text() + "\n[server]\nprot = 1\nhost = '0.0.0.0'\n[signup]\nidentifier = 'id'\n")
    environ = {"DOORWARD_LOG__LEVEL": "loud", "DOORWARD_SERVER__PROT": "1"}
    found = mistakes(file, environ, {"server.workers": 0})
    assert [line.split(": ")[0] for line in found] == [
        "doorward.toml:5",
        "doorward.toml:8",
        "DOORWARD_LOG__LEVEL",
        "DOORWARD_SERVER__PROT",
        "--workers",
        "doorward.toml:6",
        "doorward.toml:3",
    ]


def test_a_mistake_does_not_bring_forth_others(tmp_path: Path) -> None:
    """With tls_cert mistyped, it would be wrong to say that there is no TLS."""
    file = toml(tmp_path, "[server]\nhost = '0.0.0.0'\ntls_cert = 5\ntls_key = 'k'\n[fields.a]\ntype = 'x'")
    assert [line.split(": ")[1] for line in mistakes(file)] == ["server.tls_cert", "fields.a.type"]


def test_lines_are_found_in_every_notation() -> None:
    text = """\
# [server] port = 1
roles = [
  "a", # port = 2
]
site.name = '''
[server]
port = 3
'''
[server]  # a comment
port = 4
"host" = "x"

[fields.coins]
type = "integer"
default = {a = 1,
b = 2}
[fields . "odd name"]
type = "json"
[[list]]
x = 1
"""
    text = text.replace("default = {a = 1,\nb = 2}", "default = [{a = 1},\n{b = 2}]")
    lines = find_lines(text)
    assert lines[("roles",)] == 2
    assert lines[("site", "name")] == 5
    assert lines[("server",)] == 9
    assert lines[("server", "port")] == 10
    assert lines[("server", "host")] == 11
    assert lines[("fields", "coins")] == 13
    assert lines[("fields", "coins", "type")] == 14
    assert lines[("fields", "coins", "default", "a")] == 15
    assert lines[("fields", "odd name", "type")] == 18
    assert lines[("list", "x")] == 20


def test_every_way_of_sending_text_messages_can_be_configured(tmp_path: Path) -> None:
    for text in (
        f"{TWILIO}\n{TOKEN}\n{SENDER}",
        f"{TWILIO}\n{TOKEN}\ntwilio_from = 'Doorward'",
        f"{TWILIO}\n{TOKEN}\ntwilio_from = 'MG{'0f' * 16}'",
        GATEWAY,
        f"{GATEWAY}\ncontent_type = 'application/x-www-form-urlencoded'\nbody = 'to={{to}}&text={{text}}'",
        "provider = 'http'\nurl = 'http://127.0.0.1:8080/send'\nallow_private_networks = true",
    ):
        assert load(toml(tmp_path, f"[sms]\n{text}\ncountries = ['DE']"), {}, {}).settings.can_text
    headers = load(toml(tmp_path, "[sms]\nheaders = ['X-Key:  a:b', 'Accept: */*']"), {}, {}).settings.sms.header_fields
    assert headers == {"X-Key": "a:b", "Accept": "*/*"}


def test_no_mistake_about_text_messages_quotes_a_secret(tmp_path: Path) -> None:
    told = [line for text, _ in WRONG_FILES.values() if "canary" in text for line in mistakes(toml(tmp_path, text))]
    assert len(told) > 5
    assert not [line for line in told if "canary" in line]


def test_a_file_with_windows_line_ends_or_a_wrong_byte_is_told_by_line(tmp_path: Path) -> None:
    file = tmp_path / "doorward.toml"
    file.write_bytes(b"[server]\r\nprot = 1\r\n")
    assert mistakes(file)[0].startswith("doorward.toml:2: server.prot")
    file.write_bytes(b"[site]\n\nname = '\xff'\n")
    assert mistakes(file) == ["doorward.toml:3: this is not UTF-8"]


def test_a_missing_file_or_a_huge_one_is_told(tmp_path: Path) -> None:
    assert "No such file" in mistakes(tmp_path / "absent.toml")[0]
    assert "larger than 1 MiB" in mistakes(toml(tmp_path, "#" * 1_048_577))[0]


# Order and origins ---------------------------------------------------------------------------------------------------


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, "[server]\nport = 1\nworkers = 2\n[site]\nname = 'File'")
    environ = {"DOORWARD_SERVER__PORT": "3", "DOORWARD_SERVER__WORKERS": "4"}
    loaded = load(file, environ, {"server.port": 5, "server.host": None})
    server = loaded.settings.server
    assert (server.port, server.workers, server.host, loaded.settings.site.name) == (5, 4, "127.0.0.1", "File")
    origins = {one.key: one.origin for one in shown(loaded)}
    assert origins["server.port"] == "--port"
    assert origins["server.workers"] == "DOORWARD_SERVER__WORKERS"
    assert origins["site.name"] == f"{file}:5"
    assert origins["server.host"] == "default"


def test_every_kind_of_value_can_come_from_the_environment() -> None:
    environ = {
        "DOORWARD_SERVER__TRUSTED_PROXIES": "10.0.0.0/8, 192.168.0.0/16",
        "DOORWARD_SITE__NAME": "123",
        "DOORWARD_ROLES": "teacher,pupil",
        "DOORWARD_FIELDS__COINS__TYPE": "integer",
        "DOORWARD_FIELDS__COINS__MINIMUM": "0",
        "DOORWARD_FIELDS__COINS__SORTABLE": "true",
        "DOORWARD_FIELDS__BORN__TYPE": "date",
        "DOORWARD_FIELDS__BORN__MINIMUM": "1990-01-31",
        "DOORWARD_LIMITS__SIGN_IN__PER_ADDRESS": "5/1m",
        "DOORWARD_USERS__READ__DOB": "members",
    }
    settings = load(None, environ, {}).settings
    assert settings.server.trusted_proxies == ("10.0.0.0/8", "192.168.0.0/16")
    assert settings.site.name == "123"
    assert settings.roles == ("teacher", "pupil")
    assert (settings.fields["coins"].minimum, settings.fields["coins"].sortable) == (0, True)
    assert settings.fields["born"].minimum == "1990-01-31"
    assert settings.limits == {"sign-in": {"per_address": "5/1m"}}
    assert settings.users.read.dob == "members"


def test_variables_that_are_empty_or_belong_to_others_are_left_alone() -> None:
    environ = {
        "DOORWARD_SERVER__PORT": "",
        "DOORWARD_PORT": "tcp://10.0.0.1:80",  # Kubernetes, for a service called doorward
        "DOORWARD_SERVER": "x",
        "DOORWARD_DATA": "/d",
        "DOORWARD_CONFIG": "/c",
        "DOORWARD_SEALING_KEY": "k",
        "DOORWARD_SEALING_KEY_FILE": "/k",
        "PATH": "/bin",
    }
    assert load(None, environ, {}).settings == Settings()


def test_a_slip_in_a_variable_is_told_with_the_variable_meant() -> None:
    assert mistakes(None, {"DOORWARD_SERVER__PROT": "1"}) == [
        "DOORWARD_SERVER__PROT: there is no such key; did you mean DOORWARD_SERVER__PORT?"
    ]


def test_files_named_in_the_configuration_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = toml(tmp_path / "etc", "[server]\ntls_cert = 'tls/cert.pem'\ntls_key = '/abs/key.pem'")
    server = load(file, {}, {}).settings.server
    assert server.tls_cert == f"{tmp_path}/etc/tls/cert.pem"
    assert server.tls_key == "/abs/key.pem"
    flagged = load(file, {}, {"server.tls_cert": "here.pem"}).settings.server
    assert flagged.tls_cert == str(Path.cwd() / "here.pem")


def test_the_file_is_chosen_by_flag_then_environment_then_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_file(None, {}) is None
    toml(tmp_path, "")
    assert choose_file(None, {}) == Path("doorward.toml")
    assert choose_file(None, {"DOORWARD_CONFIG": "b.toml"}) == Path("b.toml")
    assert choose_file("a.toml", {"DOORWARD_CONFIG": "b.toml"}) == Path("a.toml")


# Secrets -------------------------------------------------------------------------------------------------------------

URL = "postgresql://door:S3CRET@db.example.org:5433/doorward?password=S3CRET"


def test_a_secret_may_be_kept_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(URL + "\n", "utf-8")
    by_file = load(toml(tmp_path, "[database]\nurl_file = 'url'"), {}, {})
    by_variable = load(None, {"DOORWARD_DATABASE__URL_FILE": str(tmp_path / "url")}, {})
    assert by_file.settings.database.url == by_variable.settings.database.url == URL
    assert by_variable.origins[("database", "url")] == f"DOORWARD_DATABASE__URL_FILE ({tmp_path}/url)"


def test_a_missing_secret_file_and_a_secret_given_twice_are_told(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in mistakes(None, {"DOORWARD_DATABASE__URL_FILE": "/absent"})[0]
    (tmp_path / "url").write_text(URL, "utf-8")
    twice = {"DOORWARD_DATABASE__URL": URL, "DOORWARD_DATABASE__URL_FILE": str(tmp_path / "url")}
    assert mistakes(None, twice) == [
        "DOORWARD_DATABASE__URL_FILE: database.url: is already given by DOORWARD_DATABASE__URL"
    ]


def test_only_secrets_can_be_kept_in_files(tmp_path: Path) -> None:
    assert "server.port_file: there is no such key" in mistakes(toml(tmp_path, "[server]\nport_file = 'x'"))[0]


@pytest.mark.asvs("13.3.1")
def test_secrets_are_shown_neither_by_config_show_nor_in_mistakes(tmp_path: Path) -> None:
    loaded = load(None, {"DOORWARD_DATABASE__URL": URL}, {})
    (url,) = [one for one in shown(loaded) if one.key == "database.url"]
    assert url.line == 'database.url = "postgresql://***@db.example.org:5433/doorward"'
    for text in (f"[database]\nurl = ['{URL}']", f"[database]\nulr = '{URL}'", "[database]\nurl = 'mysql:S3CRET'"):
        assert "S3CRET" not in " ".join(mistakes(toml(tmp_path, text)))


@pytest.mark.asvs("13.3.1")
def test_other_secrets_show_at_most_where_they_lead() -> None:
    environ = {
        "DOORWARD_SMS__PROVIDER": "http",
        "DOORWARD_SMS__URL": "https://sms.example.org/send/CANARY?key=CANARY",
        "DOORWARD_SMS__HEADERS": "Authorization: Bearer CANARY",
        "DOORWARD_SMS__TWILIO_AUTH_TOKEN": "CANARY",
        "DOORWARD_MAIL__URL": "smtps://id:CANARY@mail.example.org",
        "DOORWARD_MAIL__FROM": "id@example.org",
    }
    lines = [one.line for one in shown(load(None, environ, {}))]
    assert not [line for line in lines if "CANARY" in line]
    assert 'mail.url = "smtps://***@mail.example.org"' in lines


# The tree itself -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({}, "http://localhost:8000"),
        ({"port": 80}, "http://localhost"),
        ({"host": "::1"}, "http://localhost:8000"),
        ({"public_url": "https://id.example.org/"}, "https://id.example.org"),
        ({"host": "192.0.2.1", "port": 443, "tls_cert": "c", "tls_key": "k"}, "https://192.0.2.1"),
        ({"host": "2001:db8::1", "tls_cert": "c", "tls_key": "k"}, "https://[2001:db8::1]:8000"),
        ({"host": "::", "tls_cert": "c", "tls_key": "k"}, "https://localhost:8000"),
        ({"tls_cert": "c", "tls_key": "k"}, "https://localhost:8000"),
        ({"host": "10.0.0.2", "trusted_proxies": ["10.0.0.1/32"]}, "https://10.0.0.2:8000"),
    ],
)
def test_the_public_address_comes_from_the_bind_unless_given(server: Mapping[str, Any], expected: str) -> None:
    flags = {f"server.{name}": value for name, value in server.items()}
    assert load(None, {}, flags).settings.public_url == expected


def test_settings_travel_to_worker_processes() -> None:
    settings = load(ROOT / "examples/fitness/doorward.toml", {}, {}).settings
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301  our own bytes


def test_every_setting_says_what_it_means_and_has_a_variable_of_its_own() -> None:
    page = configuration_page()
    rows = [line for line in page.splitlines() if line.startswith("| `") and not line.startswith("| `DOORWARD")]
    assert all(row.rsplit("|", 2)[1].strip() for row in rows)
    paths = [path for path, _ in values()]
    assert len({variable(path) for path in paths}) == len(paths)


def test_the_page_about_configuration_is_up_to_date() -> None:
    assert (ROOT / "docs/configuration.md").read_text("utf-8") == configuration_page()
