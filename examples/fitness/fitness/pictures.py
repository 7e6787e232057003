"""Pictures that people uploaded, in one folder, under names that were made here."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from threading import BoundedSemaphore

from doorward_client.uploads import Limits, Picture, accept_image

LIMITS = Limits(max_side=1600)  # and 5 MiB and 25 million pixels, as usual
FRESH_SECONDS = 3600
_DECODING = BoundedSemaphore(2)  # a decoded picture takes up to 100 MB


class Pictures:
    """The folder. A name comes from `keep` or from the database, never from a request."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def check(self, content: bytes) -> Picture:
        """Check what was sent, and write it anew in memory. Raises UploadRefused."""
        with _DECODING:
            return accept_image(content, limits=LIMITS)

    def keep(self, content: bytes) -> Picture:
        """The same, and keep it. Raises UploadRefused."""
        picture = self.check(content)
        path = self._folder / picture.name
        with path.open("xb") as file:
            file.write(picture.content)
            file.flush()
            os.fsync(file.fileno())  # the note that names it is written after it is here
        return picture

    def read(self, name: str) -> bytes | None:
        """The content of a picture; None when it was replaced or deleted a moment ago."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def discard(self, names: Iterable[str | None]) -> None:
        """Delete files that no note needs any more."""
        for name in names:
            if name is not None:
                (self._folder / name).unlink(missing_ok=True)

    def sweep(self, needed: set[str]) -> None:
        """Delete what no note needs: what was left when a process ended between file and note, or note and file."""
        before = time.time() - FRESH_SECONDS
        for path in self._folder.iterdir():
            if path.name not in needed and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
