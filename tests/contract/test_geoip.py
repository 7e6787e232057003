"""Places from files of the MaxMind DB format, read by the library that will read the operator's."""

import asyncio
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from doorward import log
from doorward.adapters.geoip import GeoipPlaces, NoPlaces
from doorward.kernel.startup import StartRefused
from tests.support.geoip import FRANCE, NOWHERE, PARIS, PARIS_6, PLACES, SINGAPORE, place, write_places
from tests.support.hostile import hostile_strings
from tests.support.logs import restored_logging

LONGEST = 162  # as `ports.places` promises
ROME = {f"{PARIS}/32": place("Rome", "Italy")}


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[io.StringIO]:
    """What the operator is told."""
    with restored_logging():
        log.configure(form="json", stream=(stream := io.StringIO()))
        yield stream


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of cities, as it is replaced from time to time."""
    return write_places(tmp_path / "places.mmdb")


@pytest.fixture
def places(file: Path, tmp_path: Path) -> GeoipPlaces:
    """What has read it."""
    return opened(file, tmp_path)


def opened(file: Path, private: Path) -> GeoipPlaces:
    places = GeoipPlaces(file, private)
    places.open()
    return places


def overwrite(file: Path, content: bytes) -> None:
    """As `cp` and `gunzip >` do: the file stays the same, what is in it does not."""
    with file.open("r+b") as written:
        written.truncate(0)
        written.write(content)


async def look(places: GeoipPlaces, times: int = 2) -> None:
    """What happens within `times` minutes."""
    for _ in range(times):
        await places.renew()


# what is found


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (PARIS, "Paris, France"),
        (PARIS_6, "Paris, France"),
        (f"::ffff:{PARIS}", "Paris, France"),  # as a socket for both families says it
        (FRANCE, "France"),
        (SINGAPORE, "Singapore"),
        (NOWHERE, None),
        ("2a02:cf40::2", None),
    ],
)
def test_a_place_is_city_and_country_as_far_as_they_are_known(
    places: GeoipPlaces, address: str, found: str | None
) -> None:
    assert places.find(address) == found


@pytest.mark.parametrize(
    ("locale", "found"),
    [
        ("en", "Paris, France"),
        ("de", "Paris, Frankreich"),  # DB-IP translates countries only
        ("ru", "Париж, France"),
        ("de-AT", "Paris, Frankreich"),
        ("pt-BR", "Paris, França"),
        ("ar", "Paris, France"),
        ("", "Paris, France"),
    ],
)
def test_names_are_in_the_readers_language_where_the_file_speaks_it(
    places: GeoipPlaces, locale: str, found: str
) -> None:
    assert places.find(PARIS, locale) == found


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.0.1", "192.0.2.1", "0.1.2.3"),
        *("::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fd12::1", "fe80::1", "fe80::1%eth0", "2001:db8::1"),
    ],
)
def test_an_address_that_is_not_of_the_internet_has_no_place(tmp_path: Path, address: str) -> None:
    """Also when the file says otherwise: networks within a company are none of its business."""
    everywhere = write_places(
        tmp_path / "all.mmdb", dict.fromkeys(("0.0.0.0/1", "128.0.0.0/1", "8000::/1"), place("X"))
    )
    assert opened(everywhere, tmp_path).find(address) is None


@pytest.mark.parametrize(
    "address", ["", "local", "81.2.69", "81.2.69.142 ", "081.2.69.142", "x" * 10_000, "\0", "\ud800"]
)
def test_what_is_no_address_has_no_place(places: GeoipPlaces, address: str) -> None:
    assert places.find(address) is None


def test_a_file_of_countries_gives_countries(tmp_path: Path) -> None:
    records = {f"{PARIS}/32": {"country": PLACES[f"{FRANCE}/32"]["country"]}}
    file = write_places(tmp_path / "countries.mmdb", records, kind="DBIP-Country-Lite")
    assert opened(file, tmp_path).find(PARIS, "de") == "Frankreich"


def test_a_file_of_ipv4_alone_says_nothing_of_ipv6(tmp_path: Path, log_lines: io.StringIO) -> None:
    places = opened(write_places(tmp_path / "four.mmdb", ROME, ip_version=4), tmp_path)
    assert [places.find(address) for address in (PARIS, f"::ffff:{PARIS}", PARIS_6)] == [*["Rome, Italy"] * 2, None]
    assert log_lines.getvalue() == ""


@pytest.mark.parametrize(
    "record",
    ["Paris", 7, [], {}, {"city": "Paris"}, {"city": {"names": ["Paris"]}}, {"country": {"names": {"de": "Paris"}}}]
    + [place(name, name) for name in ("", " ", 7, "a\nb", "a\0b", "a\u202eb", "\u200b", {"en": "Paris"})],
)
def test_a_record_of_another_form_is_no_place(tmp_path: Path, record: Any) -> None:
    places = opened(write_places(tmp_path / "odd.mmdb", {f"{PARIS}/32": record}), tmp_path)
    assert places.find(PARIS) is None


def test_names_are_short_lines(tmp_path: Path) -> None:
    texts = [text for text in hostile_strings() if text.encode(errors="replace") == text.encode(errors="ignore")]
    networks = {
        f"81.{number >> 8}.{number & 255}.1/32": place(text, f".{text}")
        for number, text in enumerate([*texts, "a" * 1_000])
    }
    places = opened(write_places(tmp_path / "hostile.mmdb", networks), tmp_path)
    found = [places.find(network.removesuffix("/32")) for network in networks]
    assert any(found)
    for name in found:
        assert name is None or (len(name) <= LONGEST and len(name.splitlines()) == 1), name


def test_without_a_file_nothing_is_known() -> None:
    places = NoPlaces()
    places.open()
    assert places.find(PARIS) is None


def test_before_it_is_opened_nothing_is_known(file: Path, tmp_path: Path) -> None:
    assert GeoipPlaces(file, tmp_path).find(PARIS) is None


# what cannot be used


def missing(file: Path) -> None:
    file.unlink()


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def empty(file: Path) -> None:
    overwrite(file, b"")


def something_else(file: Path) -> None:
    overwrite(file, b"network,country\n" * 10_000)


def half(file: Path) -> None:
    overwrite(file, file.read_bytes()[: file.stat().st_size // 2])


def without_its_tree(file: Path) -> None:
    content = file.read_bytes()
    overwrite(file, content[content.index(b"\xab\xcd\xefMaxMind.com") :])


def of_networks(file: Path) -> None:
    write_places(file, {f"{PARIS}/32": {"autonomous_system_number": 64496}}, kind="GeoLite2-ASN")


UNUSABLE = [
    (missing, "cannot be read or copied (No such file or directory)"),
    (a_folder, "is no file"),
    (a_pipe, "is no file"),
    (empty, "is no whole MaxMind DB file (.mmdb)"),
    (something_else, "is no whole MaxMind DB file (.mmdb)"),
    (half, "is no whole MaxMind DB file (.mmdb)"),
    (without_its_tree, "is no whole MaxMind DB file (.mmdb)"),
    (of_networks, 'is of the type "GeoLite2-ASN", which has no places; choose one of cities or countries'),
]


@pytest.mark.parametrize(("spoil", "why"), UNUSABLE)
def test_a_file_that_cannot_be_used_is_refused_at_start(
    file: Path, tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    spoil(file)
    with pytest.raises(StartRefused) as refused:
        opened(file, tmp_path)
    assert str(refused.value) == f"[server] geoip_file: {file} {why}"


@pytest.mark.parametrize(("spoil", "why"), UNUSABLE)
async def test_a_file_that_cannot_be_used_any_more_is_told_once_and_the_old_one_stays(
    file: Path, places: GeoipPlaces, log_lines: io.StringIO, spoil: Callable[[Path], None], why: str
) -> None:
    spoil(file)
    assert places.find(PARIS) == "Paris, France"
    await look(places, 5)
    assert places.find(PARIS) == "Paris, France"
    assert log_lines.getvalue().count('"places_not_replaced"') == 1
    assert why.partition('"')[0] in log_lines.getvalue()


def test_a_folder_without_room_for_the_copy_is_told(file: Path, tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match=r"cannot be read or copied \(No such file or directory\)"):
        opened(file, tmp_path / "nowhere")


def test_no_copy_is_left_behind(places: GeoipPlaces, file: Path, tmp_path: Path) -> None:
    assert places.find(PARIS) == "Paris, France"
    assert list(tmp_path.iterdir()) == [file]


def test_a_damaged_record_is_no_place_and_told_once(file: Path, tmp_path: Path, log_lines: io.StringIO) -> None:
    content = file.read_bytes()
    overwrite(file, content.replace(b"Paris", b"\xff" * 5))
    places = opened(file, tmp_path)
    assert [places.find(PARIS), places.find(PARIS), places.find(FRANCE)] == [None, None, "France"]
    assert log_lines.getvalue().count('"places_damaged"') == 1
    assert PARIS not in log_lines.getvalue()


# a newer file


async def test_a_replaced_file_is_taken_over_once_it_has_settled(file: Path, places: GeoipPlaces) -> None:
    write_places(file, ROME)
    await look(places, 1)
    assert places.find(PARIS) == "Paris, France"
    await look(places, 1)
    assert places.find(PARIS) == "Rome, Italy"


async def test_a_file_that_is_written_over_in_its_place_harms_nobody(
    file: Path, places: GeoipPlaces, tmp_path: Path, log_lines: io.StringIO
) -> None:
    """A file mapped into memory and cut short would end the process with SIGBUS."""
    new = write_places(tmp_path / "newer.mmdb", ROME).read_bytes()
    for size in (0, 1, len(new) // 2, len(new)):
        overwrite(file, new[:size])
        await look(places, 1)  # each time it is another one, so none has settled
        assert places.find(PARIS) == "Paris, France"
    await look(places, 1)
    assert places.find(PARIS) == "Rome, Italy"
    assert "places_not_replaced" not in log_lines.getvalue()


async def test_a_file_that_changes_while_it_is_copied_is_looked_at_again(file: Path, places: GeoipPlaces) -> None:
    write_places(file)
    await look(places, 1)
    with ThreadPoolExecutor(1) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        busy = Event()
        pool.submit(busy.wait)
        renewal = asyncio.create_task(places.renew())
        await asyncio.sleep(0)  # it has looked and waits for the thread
        write_places(file, ROME)
        busy.set()
        await renewal
        assert places.find(PARIS) == "Paris, France"
        await look(places)
    assert places.find(PARIS) == "Rome, Italy"


async def test_a_file_that_comes_back_is_taken_over(file: Path, places: GeoipPlaces, log_lines: io.StringIO) -> None:
    missing(file)
    await look(places)
    write_places(file, ROME)
    await look(places)
    assert places.find(PARIS) == "Rome, Italy"
    assert log_lines.getvalue().count('"places_not_replaced"') == 1
    assert log_lines.getvalue().count('"places_replaced"') == 1


async def test_a_file_that_stays_is_not_read_again(places: GeoipPlaces, log_lines: io.StringIO) -> None:
    await look(places, 5)
    assert log_lines.getvalue() == ""
