"""What the app is told: one JSON file, readable by its owner alone, and the environment on top of it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

FILE = "FITNESS_SETTINGS"


@dataclass(frozen=True, slots=True)
class Settings:
    """Each may be given as FITNESS_API_URL and so on. Secrets are not shown when this is printed by mistake."""

    issuer: str  # where Doorward is
    api_url: str  # where this API is; tokens are made out to it, so one for another API opens nothing here
    web_url: str  # where the front end is: the one origin whose scripts may call us
    web_client_id: str  # as whom the front end signs people in
    client_id: str  # as whom the API follows what Doorward has ended
    client_secret: str = field(repr=False)
    api_key: str = field(repr=False)  # with which the API writes coins and reads users
    webhook_secret: str = field(repr=False)  # with which Doorward signs what it tells us
    database: str  # sqlite:///fitness.db, or postgresql+pg8000://user:password@host/name: nothing else changes
    pictures: Path  # the folder for uploaded pictures
    script: str  # Doorward's client for browsers, and the hash that pins it: `doorward client script`
    integrity: str

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the file that FITNESS_SETTINGS names. Raises SystemExit, naming what is missing."""
        path = environ.get(FILE)
        found: dict[str, str] = {} if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
        names = [one.name for one in fields(cls)]
        found |= {name: environ[f"FITNESS_{name.upper()}"] for name in names if f"FITNESS_{name.upper()}" in environ}
        missing = [name for name in names if not found.get(name)]
        if missing:
            raise SystemExit(f"Not set: {', '.join(missing)}. Name the file with {FILE}; `make demo` writes one.")
        return cls(**{name: found[name] for name in names if name != "pictures"}, pictures=Path(found["pictures"]))
