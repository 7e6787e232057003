"""Small files of places, as they are sold and given away."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]  # has no types; mmdb_writer wants its networks

# Addresses of the public internet that MaxMind's own test data use; those for documentation are nobody's place.
PARIS: Final = "81.2.69.142"
PARIS_6: Final = "2a02:cf40::1"
FRANCE: Final = "89.160.20.112"  # known only to the country
SINGAPORE: Final = "175.16.199.1"
NOWHERE: Final = "216.160.83.56"  # the file says nothing of it

_FRANCE = {"en": "France", "de": "Frankreich", "pt-BR": "França"}
PLACES: Final[Mapping[str, Mapping[str, Any]]] = {
    f"{PARIS}/32": {"city": {"names": {"en": "Paris", "ru": "Париж"}}, "country": {"names": _FRANCE}},
    f"{PARIS_6}/128": {"city": {"names": {"en": "Paris", "ru": "Париж"}}, "country": {"names": _FRANCE}},
    f"{FRANCE}/32": {"country": {"iso_code": "FR", "names": _FRANCE}},
    f"{SINGAPORE}/32": {"city": {"names": {"en": "Singapore"}}, "country": {"names": {"en": "Singapore"}}},
}


def place(city: Any, country: Any = "France") -> Mapping[str, Any]:
    """A record with these names, whatever they are."""
    return {"city": {"names": {"en": city}}, "country": {"names": {"en": country}}}


def write_places(
    file: Path,
    places: Mapping[str, Any] = PLACES,
    *,
    kind: str = "GeoLite2-City",
    ip_version: int = 6,
) -> Path:
    """Write `places`, records by network, to `file`. In one go: whoever has the old one open keeps that."""
    writer = MMDBWriter(ip_version, kind, languages=["en"], ipv4_compatible=ip_version == 6)
    for network, record in places.items():
        writer.insert_network(IPSet([network]), record)
    fresh = file.with_suffix(".new")
    writer.to_db_file(str(fresh))
    return fresh.replace(file)
