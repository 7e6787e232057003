"""The data directory: the database, the sealing key and what else must stay on this machine, for one user's eyes."""

import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from doorward.kernel.startup import StartRefused

DEFAULT: Final = "doorward-data"  # in the working directory
ENVIRONMENT: Final = "DOORWARD_DATA"


class DataDirRefused(StartRefused):
    """The data directory cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class DataDir:
    """An opened data directory. Every file in it is created with mode 0600."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> "DataDir":
        """Make the directory (0700) when it is missing; check that nobody else writes to it or reads the database.

        Raises DataDirRefused.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
        except OSError as error:
            raise DataDirRefused(f"The data directory {path} cannot be used: {error.strerror}.") from error
        _refuse_exposed(path, status)
        data = cls(path.absolute())
        for suffix in ("", "-wal", "-shm"):
            _refuse_readable(data.database.with_name(data.database.name + suffix))
        return data

    @property
    def database(self) -> Path:
        """The SQLite file, when no other database is configured."""
        return self.path / "doorward.db"

    @property
    def sealing_key(self) -> Path:
        """The key that seals secrets at rest, unless the environment holds it."""
        return self.path / "sealing.key"

    @property
    def setup_link(self) -> Path:
        """Where the first administrator's link is left when there is no terminal to print it on."""
        return self.path / "setup-link"

    def write_setup_link(self, url: str | None) -> None:
        """Leave the link; None takes an old one away."""
        if url is None:
            self.setup_link.unlink(missing_ok=True)
        else:
            _write_private(self.setup_link, url + "\n")

    def settle_identifier(self, identifier: str, *, chosen: bool) -> str:
        """Write down at first start what people sign up with; refuse another choice ever after. What is settled.

        `chosen`: whether the operator named `identifier`; a default gives way to what was settled under an earlier one.
        Raises DataDirRefused: a change of mode would let the accounts of one be taken over through the other.
        """
        path = self.path / "identifier"
        if not path.exists():
            _write_private(path, identifier + "\n")
        settled = path.read_text("ascii").strip()
        if settled != identifier and chosen:
            raise DataDirRefused(
                f'{self.path} was started with [signup] identifier = "{settled}" and cannot be used with '
                f'"{identifier}". Set it back, or take another data directory.'
            )
        return settled


def choose(flag: str | None, environ: Mapping[str, str]) -> Path:
    """The directory to use: --data, else DOORWARD_DATA, else ./doorward-data."""
    return Path(flag or environ.get(ENVIRONMENT) or DEFAULT)


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    # Never mended by a chmod of our own: `--data /tmp` would then take the machine down.
    if status.st_uid not in {os.geteuid(), 0}:
        raise DataDirRefused(f"The data directory {path} belongs to another user (id {status.st_uid}).")
    if status.st_mode & 0o022:
        mode = stat.S_IMODE(status.st_mode)
        raise DataDirRefused(
            f"Others can write to the data directory {path} (mode {mode:04o}). "
            f"Choose one of its own with --data, or run: chmod 700 {path}"
        )


def _refuse_readable(file: Path) -> None:
    # A copy that was put back from a backup takes the mode of whoever put it there.
    with contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            raise DataDirRefused(f"The database {file} can be read by others (mode {mode:04o}). Run: chmod 600 {file}")


def _write_private(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
