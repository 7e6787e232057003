"""Windows of Chromium on a server of its own, each of them watched."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page

from tests.support.chromium import complaints_of
from tests.support.serving import running

PLATFORM = {  # an authenticator that is built in, keeps passkeys and asks for a finger
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


@dataclass(slots=True)
class Visitor:
    """Opens windows on one site."""

    browser: Browser
    address: str
    complaints: list[list[str]] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def window(self, *, scripts: bool = True, width: int = 1280, **options: Any) -> Page:
        """A window of a browser that knows nothing yet."""
        context = self.browser.new_context(
            base_url=self.address, java_script_enabled=scripts, viewport={"width": width, "height": 800},
            reduced_motion="reduce", **{"locale": "en", **options},
        )  # fmt: skip
        self.contexts.append(context)
        self.complaints.append(complaints_of(context, self.address))
        return context.new_page()

    def close(self) -> None:
        """Close every window; nothing may have gone wrong in any."""
        for context in self.contexts:
            context.close()
        assert [heard for heard in self.complaints if heard] == []


def serve(
    tmp_path_factory: pytest.TempPathFactory, config: str, environ: Mapping[str, str] | None = None
) -> Iterator[tuple[str, Path]]:
    """Start a server with this configuration: where it answers, and its data."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "doorward.toml").write_text(config)
    options = ("--port", "0", "--data", str(folder / "data"), "--config", str(folder / "doorward.toml"))
    with running("doorward.cli", "serve", *options, environ={**os.environ, **(environ or {})}) as server:
        yield f"http://localhost:{server.port}", folder / "data"


def with_authenticator(page: Page) -> tuple[CDPSession, str]:
    """Put something that keeps passkeys into a window; the line to it, and its id."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable", {"enableUI": False})
    return cdp, cdp.send("WebAuthn.addVirtualAuthenticator", {"options": PLATFORM})["authenticatorId"]
