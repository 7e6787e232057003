"""The Alembic revisions, as statements for our own drivers.

Alembic runs in its offline mode: it writes SQL and never sees the database. So a revision may not look at rows (let SQL
do it: `op.execute("UPDATE ...")`), and a batch operation on SQLite names its table by `copy_from`.
"""

from pathlib import Path
from typing import TextIO, cast

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from doorward.sql.statement import Dialect

_PLACE = Path(__file__).parent


class _Statements(list[str]):
    """Takes what Alembic writes, one statement at a time."""

    def write(self, sql: str) -> None:
        if not sql.startswith("--"):
            self.append(sql.strip().removesuffix(";"))

    def flush(self) -> None:
        """Nothing is held back."""


def is_known(version: str) -> bool:
    """Whether `version` is one of our revisions."""
    try:
        return ScriptDirectory(str(_PLACE)).get_revision(version) is not None
    except CommandError:
        return False


def newest() -> str | None:
    """The revision that nothing follows."""
    return ScriptDirectory(str(_PLACE)).get_current_head()


def statements(dialect: Dialect, version: str | None) -> list[str]:
    """What brings a database from `version` (None: empty) to the newest revision, the record of it included."""
    written = _Statements()
    config = Config(output_buffer=cast("TextIO", written))
    config.set_main_option("script_location", str(_PLACE).replace("%", "%%"))
    config.attributes["dialect"] = "postgresql+asyncpg" if dialect == "postgresql" else dialect
    command.upgrade(config, f"{version}:head" if version else "head", sql=True)
    return written
