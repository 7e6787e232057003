"""Static files: named by their content, so that browsers may keep them for ever, and pinned by integrity (SRI)."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml; charset=utf-8",
}
_HASH_LETTERS = 12


@dataclass(frozen=True, slots=True)
class Asset:
    """One static file."""

    url: str  # /static/doorward.<hash>.css
    media_type: str
    body: bytes
    integrity: str  # W3C Subresource Integrity


def load_assets() -> Mapping[str, Asset]:
    """Read every file of web/static, by its plain name."""
    folder = files("doorward.web").joinpath("static")
    return {entry.name: as_asset(entry.name, entry.read_bytes()) for entry in folder.iterdir() if entry.is_file()}


def as_asset(name: str, body: bytes) -> Asset:
    """A file of this name with this content."""
    stem, _, suffix = name.rpartition(".")
    fingerprint = hashlib.sha256(body).hexdigest()[:_HASH_LETTERS]
    integrity = base64.b64encode(hashlib.sha384(body).digest()).decode()
    return Asset(f"/static/{stem}.{fingerprint}.{suffix}", _MEDIA_TYPES[suffix], body, f"sha384-{integrity}")
