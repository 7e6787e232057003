"""People for the demo, as the write-up's app would have left them behind: a database and a folder of uploads.

So the demo moves house with the same commands as anybody who leaves such an app. The people are made up.
"""

import colorsys
import json
import math
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from werkzeug.security import generate_password_hash

PASSWORD = "seven quiet otters by the pier"  # noqa: S105  of people who are not there, on this machine
WHO = "mira"  # whom the demo suggests to sign in as
PEOPLE = (
    ("mira", "Mira Okafor", 412), ("theo", "Théo Marchand", 655), ("noor", "Noor Haddad", 655),
    ("kofi", "Kofi Mensah", 380), ("ines", "Inês Carvalho", 290), ("juno", "Juno Park", 871),
    ("pavel", "Pavel Dvořák", 145), ("yuki", "Yuki Tanaka", 520), ("rosa", "Rosa Delgado", 60),
    ("omar", "Omar Siddiqui", 233), ("lena", "Lena Vogt", 0), ("samira", "Samira Lindqvist", 487),
)  # fmt: skip
NOTES = (  # text, picture (a hue makes one), user; the last is the newest
    ("Stretch. Every. Day.", None, "theo"),
    ("Forest run, nobody else out.", 0.33, "juno"),
    ("Swim plan for the week:\nMonday 20 lengths\nWednesday 24\nFriday: just float", None, "mira"),
    ("Found a new loop around the lake. The last hill is <b>not</b> for beginners.", 0.55, "mira"),
    ("Up before the sun, twelve kilometres along the canal. Cold hands, warm coffee.", 0.06, "mira"),
)
_WIDTH, _HEIGHT = 960, 640


def write(folder: Path) -> tuple[Path, Path]:
    """Write the database and the uploads; where they are."""
    database, uploads = folder / "flask_portfolio.db", folder / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    database.unlink(missing_ok=True)
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(
            "CREATE TABLE users (id INTEGER NOT NULL PRIMARY KEY, _name VARCHAR(255) NOT NULL, _uid VARCHAR(255) NOT"
            " NULL UNIQUE, _password VARCHAR(255) NOT NULL, _dob DATE, tracking JSON, exercise JSON, coins INTEGER)"
        )
        connection.execute(
            "CREATE TABLE notes (id INTEGER NOT NULL PRIMARY KEY, note TEXT NOT NULL, image VARCHAR, "
            '"userID" INTEGER, FOREIGN KEY("userID") REFERENCES users (id))'
        )
        connection.executemany("INSERT INTO users VALUES (?, ?, ?, ?, NULL, ?, ?, ?)", _people())
        # As old databases are: a file that is gone, and a note of nobody.
        connection.execute("INSERT INTO notes VALUES (1, 'Before and after', 'before.jpg', 1)")
        connection.execute("INSERT INTO notes VALUES (2, 'Whose was this?', NULL, 99)")
        for number, (text, hue, uid) in enumerate(NOTES, 3):
            name = None if hue is None else f"{uid}-{number}.jpg"
            if hue is not None:
                _hills(hue).save(uploads / f"{name}", quality=90)
            owner = [uid for uid, *_ in PEOPLE].index(uid) + 1
            connection.execute("INSERT INTO notes VALUES (?, ?, ?, ?)", (number, text, name, owner))
    connection.close()
    return database, uploads


def _people() -> Sequence[tuple[object, ...]]:
    digest = generate_password_hash(PASSWORD)  # scrypt, as Flask apps have it; Doorward renews it at the first sign-in
    plan = json.dumps(["run", "swim"])
    return [
        (number, name, uid, digest, json.dumps({"steps": 4000 + coins * 9, "sleep_h": 7}), plan, coins)
        for number, (uid, name, coins) in enumerate(PEOPLE, 1)
    ]


def _hills(hue: float) -> Image.Image:
    """A drawing: sky, sun, and hills that grow darker as they come nearer."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT))
    draw = ImageDraw.Draw(image)
    for y in range(_HEIGHT):
        draw.line([(0, y), (_WIDTH, y)], fill=_colour(hue, 0.15 + 0.45 * y / _HEIGHT, 0.98))
    draw.ellipse([620, 120, 740, 240], fill=_colour(hue + 0.08, 0.2, 1.0))
    for row in range(4):
        top = 300 + row * 80
        shape = [(x, top + 60 * math.sin(x / (230 - row * 30) + row * 2.1)) for x in range(0, _WIDTH + 8, 8)]
        draw.polygon([*shape, (_WIDTH, _HEIGHT), (0, _HEIGHT)], fill=_colour(hue + 0.02 * row, 0.5, 0.75 - 0.16 * row))
    return image


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
