"""Make the pictures of docs/images from a running server: `screenshots.py [FOLDER]`.

It starts a server with the fitness example on a data directory of its own, with members in it, visits the pages in
Debian's Chromium and writes sign-up.png (light beside dark), account.png, members.png and security.png.
"""

import asyncio
import base64
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyotp
from playwright.sync_api import Browser, Page, sync_playwright

from doorward import log
from doorward.app import open_services
from doorward.config import load
from doorward.datadir import DataDir
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.users import NewUser

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "examples/fitness/doorward.toml"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
WIDTH, HEIGHT = 1400, 900  # of a picture, in pixels

PASSWORD = "engines weave algebra"  # noqa: S105  of accounts that live as long as this script
AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip
TRAINING = {"monday": {"run_km": 8}, "thursday": {"swim_m": 1500}}
MEMBERS = (
    ("ada", "Ada Lovelace", 1710),
    ("grace", "Grace Hopper", 1840),
    ("annie", "Annie Easley", 1710),
    ("salma", "سلمى الخطيب", 960),
    ("katherine", "Katherine Johnson", 902),
    ("hedy", "Hedy Lamarr", 640),
    ("mary.jackson", "Mary Jackson", 640),
    ("wolfeschlegelsteinhausenbergerdorff", "Hubert Blaine Wolfeschlegelsteinhausenbergerdorff Sr.", 512),
    ("jean", "Jean Bartik", 310),
    ("sofia", "Софья Ковалевская", 120),
    ("anandi", "आनंदीबाई जोशी", 42),
    ("bo", "Bo", 0),
)


async def fill(data: DataDir) -> None:
    """Put the members in. Not by the pages: coins are for applications to give."""
    log.configure(stream=io.StringIO())  # new users are events that a server would log
    async with open_services(load(CONFIG, {}, {}).settings, data) as services:
        for uid, name, coins in MEMBERS:
            fields = {"coins": coins, "exercise": TRAINING, "tracking": ["steps", "sleep"]}
            new = NewUser(uid, name, f"{uid}@example.org", "1990-12-10", fields)
            await services.sign_up.create(new, PASSWORD, LOCAL_OPERATOR)
        uid, now = MEMBERS[0][0], services.clock.now()
        if (first := await services.users.find_by_identifier(uid)) is not None:  # nothing is left to ask of her
            prove = partial(services.users.prove, first.id, "email", f"{uid}@example.org", LOCAL_OPERATOR, now)
            await services.db.write(prove)


@contextmanager
def serving(data: Path) -> Iterator[str]:
    """A server until the block ends; its address."""
    command = [sys.executable, "-m", "doorward.cli", "serve", "--port", "0", "--data", str(data)]
    command += ["--config", str(CONFIG)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:  # noqa: S603  our own
        try:
            yield next(found[0] for line in server.stdout or () if (found := re.search(r"http://localhost:\d+", line)))
        finally:
            server.terminate()


def picture(page: Page, *parts: bytes) -> bytes:
    """Pictures side by side as one."""
    sources = [f"data:image/png;base64,{base64.b64encode(part).decode()}" for part in parts]
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    images = "".join(f'<img src="{source}">' for source in sources)
    page.set_content(f'<body style="margin:0;display:flex">{images}')
    return page.screenshot()


def tab(browser: Browser, address: str, *, width: int, theme: str = "light") -> Page:
    """A fresh browser window with that theme chosen."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT}, reduced_motion="reduce", base_url=address, locale="en"
    )
    context.add_cookies([{"name": "doorward-theme", "value": theme, "url": address}])
    return context.new_page()


def sign_in(page: Page) -> None:
    """Be the first of the members."""
    page.goto("/sign-in")
    page.fill("[name=identifier]", MEMBERS[0][0])
    page.fill("[name=password]", PASSWORD)
    page.click("main button:not([type=button])")
    page.wait_for_url("**/account")


def set_up_steps(page: Page) -> None:
    """Turn everything on that a second step can be."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable", {"enableUI": False})
    cdp.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    page.goto("/account/security")
    page.get_by_role("button", name="Create a passkey").click()
    page.get_by_text("Rename").click()
    page.get_by_label("Name").fill("Ada’s laptop")
    page.get_by_role("button", name="Save").first.click()
    page.get_by_role("button", name="Set up an app").click()
    page.fill("[name=code]", pyotp.TOTP(page.inner_text("#app-key").replace(" ", "")).now())
    page.get_by_role("button", name="Turn it on").click()
    page.get_by_role("button", name="Make recovery codes").click()
    page.check("[name=kept]")
    page.get_by_role("button", name="Done").click()
    page.goto("/account/security")


def take(browser: Browser, address: str) -> dict[str, bytes]:
    """Every picture by its name."""
    halves = []
    for theme in ("light", "dark"):
        page = tab(browser, address, width=WIDTH // 2, theme=theme)
        page.goto("/sign-up")
        page.locator("h1").click()  # away from the first field, whose caret blinks
        halves.append(page.screenshot())
    found = {"sign-up.png": picture(browser.new_page(), *halves)}
    page = tab(browser, address, width=WIDTH)
    sign_in(page)
    found["account.png"] = page.screenshot()
    page.goto("/members")
    found["members.png"] = page.screenshot()
    set_up_steps(page)
    found["security.png"] = page.screenshot()
    return found


def main(arguments: Sequence[str]) -> int:
    """Write the pictures into the folder named, by default docs/images."""
    folder = Path(arguments[0]) if arguments else ROOT / "docs/images"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(fill(DataDir.open(Path(name) / "data")))
        with serving(Path(name) / "data") as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for file, image in take(browser, address).items():
                (folder / file).write_bytes(image)
                print(f"{folder / file}  {len(image) // 1000} kB")
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
