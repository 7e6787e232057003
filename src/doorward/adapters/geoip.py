"""Places from a MaxMind DB file (maxmind.github.io/MaxMind-DB): GeoLite2, GeoIP2 and DB-IP, of cities or countries."""

import asyncio
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import Final, TypeAlias

import structlog

from doorward.kernel.addresses import public_address
from doorward.kernel.startup import StartRefused
from doorward.kernel.text import flaw, is_visible

_NAME_LONGEST: Final = 80  # characters of a city or a country
_ENGLISH: Final = "en"
_KINDS: Final = ("city", "country", "enterprise", "location")  # one of them is in the type of a file that has places
_IPV6: Final = 6

_Signature: TypeAlias = tuple[int, int, int] | None
_log = structlog.get_logger("doorward")


class NoPlaces:
    """Fulfils `ports.places.Places` where no file is configured."""

    def find(self, address: str, locale: str = _ENGLISH) -> str | None:  # noqa: ARG002  the port's signature
        """Nothing is known."""
        return None

    def open(self) -> None:
        """There is nothing to read."""

    async def renew(self) -> None:
        """There is nothing to read."""


@dataclass(slots=True)
class _Opened:
    """A file as it was read. `get` raises what it likes for a damaged one."""

    get: Callable[[IPv4Address | IPv6Address], object]
    knows_ipv6: bool
    is_damaged: bool = False  # it has been told


@dataclass(slots=True)
class GeoipPlaces:
    """Fulfils `ports.places.Places`. `private`: a folder with room for a copy of `file` in each process."""

    file: Path
    private: Path
    _opened: _Opened | None = field(default=None, init=False)
    _tried: _Signature = field(default=None, init=False)
    _last: _Signature = field(default=None, init=False)

    def find(self, address: str, locale: str = _ENGLISH) -> str | None:
        """The place of an address; see `ports.places.Places`."""
        opened, asked = self._opened, public_address(address)
        if opened is None or asked is None or (asked.version == _IPV6 and not opened.knows_ipv6):
            return None
        try:
            record = opened.get(asked)
        except Exception as error:  # noqa: BLE001  whatever a damaged file makes of it, no page fails for want of a place
            if not opened.is_damaged:
                opened.is_damaged = True
                _log.warning("places_damaged", file=str(self.file), reason=type(error).__name__)
            return None
        return _in_words(record, locale)

    def open(self) -> None:
        """Read the file. Raises StartRefused when it is none, or not one of places."""
        self._tried = self._last = self._signature()
        self._opened = self._read()

    async def renew(self) -> None:
        """Take a changed file over once it has settled for one look; a broken one is told and left alone."""
        now = self._signature()
        settled = now == self._last
        self._last = now
        if not settled or now == self._tried:
            return
        self._tried = now
        try:
            opened = await asyncio.to_thread(self._read)
        except StartRefused as refused:
            _log.warning("places_not_replaced", reason=str(refused))
            return
        if self._signature() == now:  # else it changed while it was copied, and is looked at again
            self._opened = opened
            _log.info("places_replaced", file=str(self.file))

    def _read(self) -> _Opened:
        import maxminddb  # noqa: PLC0415  only those who configure a file need it

        # It is mapped into memory, and writing over a mapped file (`cp`, `gunzip >`) kills whoever reads it next with
        # SIGBUS. So what is mapped is a copy without a name, which is gone with the process.
        try:
            if not stat.S_ISREG(self.file.stat().st_mode):
                raise StartRefused(f"[server] geoip_file: {self.file} is no file")
            with self.file.open("rb") as source, TemporaryFile(dir=self.private) as copy:
                copyfileobj(source, copy, 1 << 20)
                copy.flush()
                reader = maxminddb.open_database(f"/dev/fd/{copy.fileno()}")
                about = reader.metadata()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise StartRefused(f"[server] geoip_file: {self.file} cannot be read or copied ({reason})") from error
        except (maxminddb.InvalidDatabaseError, ValueError, TypeError) as error:
            raise StartRefused(f"[server] geoip_file: {self.file} is no whole MaxMind DB file (.mmdb)") from error
        if not any(kind in about.database_type.lower() for kind in _KINDS):
            what = f'"{about.database_type}", which has no places; choose one of cities or countries'
            raise StartRefused(f"[server] geoip_file: {self.file} is of the type {what}")
        return _Opened(reader.get, about.ip_version == _IPV6)

    def _signature(self) -> _Signature:
        try:
            status = self.file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size


def _in_words(record: object, locale: str) -> str | None:
    """City and country, or what there is of them. Singapore is named once."""
    if not isinstance(record, Mapping):
        return None
    names = (_name_of(record.get(key), locale) for key in ("city", "country"))
    return ", ".join(dict.fromkeys(name for name in names if name is not None)) or None


def _name_of(entry: object, locale: str) -> str | None:
    names = entry.get("names") if isinstance(entry, Mapping) else None
    if not isinstance(names, Mapping):
        return None
    spoken = (names.get(language) for language in (locale, locale.partition("-")[0], _ENGLISH))
    return next((name[:_NAME_LONGEST] for name in spoken if isinstance(name, str) and _can_be_shown(name)), None)


def _can_be_shown(name: str) -> bool:
    return flaw(name) is None and is_visible(name)
