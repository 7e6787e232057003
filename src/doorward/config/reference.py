"""docs/configuration.md, printed from the tree of settings by `doorward config docs`."""

from collections.abc import Iterable

from doorward.config import schema
from doorward.config.schema import ANY_NAME, Key, Path
from doorward.config.show import to_toml
from doorward.config.wrongs import dotted

_HEAD = """\
# Configuration

<!-- Printed by `doorward config docs > docs/configuration.md`; a test keeps it up to date. -->

Doorward runs without any configuration. What you want otherwise goes into `doorward.toml` in the working directory, or
into the file named by `--config` or `DOORWARD_CONFIG`.

- A flag wins over the environment, the environment over the file, the file over the default. `doorward config show
  --origin` tells for each value where it came from.
- Every key has an environment variable: `DOORWARD_` and the path in capitals, joined by two underscores
  (`DOORWARD_SERVER__PORT=9000`). Lists are separated by commas. An empty variable counts as not set.
- A secret can be read from a file: `DOORWARD_DATABASE__URL_FILE=/run/secrets/database`, or `url_file` in the file.
- File names in `doorward.toml` are relative to its directory.
- An unknown key or a wrong value stops Doorward with status 2. All mistakes are listed at once, each with its file and
  line and what was probably meant. `doorward config check` does only that.

Outside the file, because they are needed before it or must not stand in it:

| Variable | Flag | Meaning |
|---|---|---|
| `DOORWARD_CONFIG` | `--config` | The file to read. Default: `doorward.toml`, when it is there. |
| `DOORWARD_DATA` | `--data` | The data directory: database and secrets. Default: `doorward-data`. |
| `DOORWARD_SEALING_KEY` | | Seals secrets at rest; 32 bytes in base64. Default: `DATA/sealing.key`. |
| `DOORWARD_SEALING_KEY_FILE` | | A file that holds that key, mode 0600. |

While the sealing key is being [rotated](running.md#rotate-the-sealing-key) both hold several, the oldest
first, with white space between.
"""

_DECLARATION = {
    "type": "What it holds. Required.",
    "label": "Beside its place in forms. Default: its name.",
    "hint": "Below the label.",
    "read": "Who sees it: the user and administrators, all members, everybody.",
    "write": "Who sets it: the user, an application, or an administrator. Each may also set what those before it may.",
    "sortable": "Whether the list of users can be sorted by it. It gets an index.",
    "required": "Whether sign-up asks for it.",
    "default": "What newcomers start with. Users from before have no value until one is set.",
    "minimum": 'Smallest integer, number or date (as text, such as "1990-01-31").',
    "maximum": "Largest integer, number or date.",
    "min_length": "Fewest characters (code points) of a string.",
    "max_length": "Most characters of a string.",
    "max_bytes": "Most bytes of a json value.",
}  # fmt: skip

_CORE = {"uid": "handle", "name": "name", "dob": "date of birth", "email": "verified e-mail address"}


def configuration_page() -> str:
    """The page in Markdown."""
    sections = [_section(name, key) for name, key in schema.children(schema.ROOT) if not key.is_value]
    top = [((name,), key) for name, key in schema.children(schema.ROOT) if key.is_value]
    return "\n".join((_HEAD, *sections, _titled("Outside any table", "They stand above the first table.", top)))


def _section(name: str, key: Key) -> str:
    if key.table is not None:
        return _titled(f"`[{name}]`", (key.table.__doc__ or "").strip(), schema.values(key, (name,)))
    # The figures of limits.toml are explained beside them.
    rows = () if name == "limits" else schema.values(key, (name,))
    return _titled(f"`[{name}.{ANY_NAME}]`", key.description, rows)


def _titled(heading: str, text: str, rows: Iterable[tuple[Path, Key]]) -> str:
    lines = [_row(path, key) for path, key in rows]
    table = ["", "| Key | Takes | Default | Meaning |", "|---|---|---|---|", *lines] if lines else []
    return "\n".join((f"## {heading}", text, *table, ""))


def _row(path: Path, key: Key) -> str:
    return f"| `{dotted(path)}` | {key.wanted} | {_default(key)} | {_meaning(path, key)} |"


def _default(key: Key) -> str:
    return "" if key.required or key.default is None else f"`{to_toml(key.default)}`"


def _meaning(path: Path, key: Key) -> str:
    match path:
        case ("fields", _, name):
            return _DECLARATION[name]
        case ("users", "read", name):
            return f"Who sees the {_CORE[name]} of a user."
        case _:
            return key.description
