"""Cookies: one place decides their names and attributes (C33; ASVS 3.3)."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from starlette.requests import cookie_parser
from starlette.responses import Response

VISIT_SECONDS = 12 * 3600
FORM_SECONDS = 600  # as long as the form is kept
PENDING_SECONDS = 24 * 3600  # as long as the longest confirmation that a browser waits for
NEWCOMER_SECONDS = 900  # as long as what somebody has filled in waits for their passkey
GOING_ON_SECONDS = 900  # as long as an authorization request waits (see `oidc`)
DEVICE_SECONDS = 400 * 86400  # the longest browsers keep a cookie (RFC 6265bis §5.5)
PREFERENCE_SECONDS = 400 * 86400


@dataclass(frozen=True, slots=True)
class Cookies:
    """Cookie names, with the __Host- prefix wherever browsers accept it: everywhere but on plain-http localhost."""

    secure: bool

    @property
    def session(self) -> str:
        """Holds the opaque session token."""
        return self.named("doorward")

    @property
    def device(self) -> str:
        """Holds the known-device token; it opens nothing, it only keeps the owner's lane free."""
        return self.named("doorward-device")

    @property
    def visit(self) -> str:
        """Ties a form to the browser that fetched it, before there is a session."""
        return self.named("doorward-visit")

    @property
    def pending(self) -> str:
        """Ties what was begun by e-mail to the browser that began it (see `confirmations.holder_of_cookie`)."""
        return self.named("doorward-pending")

    @property
    def ticket(self) -> str:
        """Leads a browser that is half signed in to its next step; it opens nothing."""
        return self.named("doorward-ticket")

    @property
    def passkey(self) -> str:
        """Ties the challenge that a passkey answers to the browser that asked for it."""
        return self.named("doorward-passkey")

    @property
    def form(self) -> str:
        """Ties a form that waits until its sender has proven anew who they are to the browser that sent it."""
        return self.named("doorward-form")

    @property
    def going_on(self) -> str:
        """Holds the path of ours from where somebody came to set up a second step, so that they find back."""
        return self.named("doorward-going-on")

    @property
    def newcomer(self) -> str:
        """Ties a sign-up to the browser that makes its passkey."""
        return self.named("doorward-newcomer")

    @property
    def mailbox(self) -> str:
        """Opens the development mailbox."""
        return self.named("doorward-mailbox")

    def read(self, header: str | None) -> dict[str, str]:
        """Parse a Cookie header; a name sent twice is dropped: the first may be a planted twin (RFC 6265bis §8)."""
        if not header:
            return {}
        sent = Counter(part.split("=", 1)[0].strip() for part in header.split(";"))
        return {name: value for name, value in cookie_parser(header).items() if sent[name] == 1}

    def put(
        self,
        response: Response,
        name: str,
        value: str,
        max_age_seconds: int,
        samesite: Literal["lax", "strict"] = "lax",
    ) -> None:
        """Set a cookie that scripts cannot read."""
        response.set_cookie(
            name, value, max_age=max_age_seconds, path="/", secure=self.secure, httponly=True, samesite=samesite
        )

    def drop(self, response: Response, name: str) -> None:
        """Take a cookie back."""
        # Without `Expires`: by the second in it an answer that took longer would differ from one that did not (C16).
        response.set_cookie(name, max_age=0, path="/", secure=self.secure, httponly=True, samesite="lax")

    def named(self, base: str) -> str:
        """The name of any cookie of ours."""
        return f"__Host-{base}" if self.secure else base
