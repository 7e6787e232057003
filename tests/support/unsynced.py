"""Doorward as it must never run: on an SQLite file that is not synced. Shows that tests would notice.

    python -m tests.support.unsynced DATA CONFIG

The whole application and the real server; only the database is opened otherwise.
"""

import sys
import time
from pathlib import Path

from doorward import log
from doorward.adapters.sqlite import SqliteDatabase
from doorward.app import App
from doorward.config import Settings, choose_file, load
from doorward.datadir import DataDir
from doorward.server import serve


async def open_unsynced(_settings: Settings, data: DataDir) -> SqliteDatabase:
    return await SqliteDatabase.open(data.database, synchronous="OFF")


def build(settings: Settings, data: DataDir) -> App:
    return App(settings, data, open_database=open_unsynced)


def main(data: str, config: str) -> int:
    log.configure(form="json")
    settings = load(choose_file(config, {}), {}, {"server.port": 0}).settings
    return serve(settings, DataDir.open(Path(data)), build, started=time.monotonic())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
