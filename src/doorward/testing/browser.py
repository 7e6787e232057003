"""A browser with its cookies and no screen: it follows, fills in and sends, and uses a passkey where a page asks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.testing.page import Page, PasskeyPlace, words_of
from doorward.testing.people import User

MAX_STEPS = 20
TIMEOUT_SECONDS = 20
_ACCEPT = {"accept": "text/html,application/xhtml+xml"}
_SIGN_IN, _STEP, _CONFIRM = "/sign-in", "/sign-in/step", "/confirm"


@dataclass(repr=False)
class Browser:
    """What somebody has before them. Cookies do not tell ports apart, so server and app have to be of different hosts.

    It runs no scripts; `use_passkey` does what that of our pages would. `page` is the answer that was last shown.
    """

    issuer: str = ""
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=TIMEOUT_SECONDS))
    page: httpx.Response = field(init=False)

    @property
    def path(self) -> str:
        """Where it is."""
        return urlsplit(str(self.page.url)).path

    def open(self, url: str) -> httpx.Response:
        """Go to an address, as one types it, and to wherever that leads. A path is one of the page's own site."""
        sent = self.http.get(self._absolute(url), headers={**_ACCEPT, "sec-fetch-site": "none"})
        return self._follow(sent)

    def submit(self, fields: Mapping[str, str], action: str | None = None, *, follow: bool = True) -> httpx.Response:
        """Send the form of this page that goes to `action`, else the only one that the page is about."""
        forms = Page(self.page.text).forms
        found = [one for one in forms if (not one.aside if action is None else one.action == action)]
        assert len(found) == 1, f"{len(found)} such forms among {[one.action for one in forms]} {self._where}"
        return self.post(self._absolute(found[0].action), found[0].hidden | dict(fields), follow=follow)

    def post(self, url: str, data: Mapping[str, str], *, follow: bool = True) -> httpx.Response:
        """Send a form from a page of the same site."""
        sent = self.http.post(url, data=data, headers={**_ACCEPT, **_from_itself(url)})
        return self._follow(sent) if follow else sent

    def program(self, url: str) -> httpx.Response:
        """What a script of the page would be answered, which is never sent elsewhere."""
        return self.http.get(self._absolute(url), headers={"accept": "application/json"})

    def use_passkey(self, device: SoftwareAuthenticator) -> httpx.Response:
        """Press the button of this page that makes or uses a passkey, and go to wherever that leads."""
        places = Page(self.page.text).places
        assert len(places) == 1, f"{len(places)} places for passkeys {self._where}"
        place = places[0]
        told = self._ask(place, place.data["options"], json.loads(place.data.get("options-body", "{}")))
        options, origin = told.get("options", told), _origin(str(self.page.url))
        made = device.create(options, origin) if place.creates else device.get(options, origin)
        if place.form is not None and "credential" in place.form.hidden:
            sent = {**place.form.hidden, "credential": json.dumps(made)}
            return self.post(self._absolute(place.form.action), sent)
        more = json.loads(place.data.get("answer-body", "{}"))
        answer = self._ask(place, place.data["answer"], {**more, "credential": made})
        return self._go(answer.get("path") or place.data.get("path") or str(self.page.url))

    def sign_in(self, user: User) -> httpx.Response:
        """Show everything that is asked for, on the page that asks or (from elsewhere) on the server's own.

        With a password if there is one, else with the passkey; then the second step, if there is one. Where something
        is refused the page that says so is what comes back.
        """
        place = f"{self.issuer}{_SIGN_IN}"
        if not hasattr(self, "page") or str(self.page.url).partition("?")[0] != place:
            self.open(place)
        return self._prove(user, {"identifier": user.uid}, _SIGN_IN)

    def confirm(self, user: User) -> httpx.Response:
        """Show anew who one is, on the page that asks for it where a sign-in is not fresh any more."""
        assert self.path == _CONFIRM, f"nothing is to be confirmed {self._where}"
        return self._prove(user, {}, _CONFIRM)

    def second_step(self, user: User) -> httpx.Response:
        """Answer the page of the second step, with the app or else with the passkey."""
        if user.app is not None:
            self._go(f"{_STEP}?with=totp")
            return self.submit({"code": user.app.code()}, _STEP)
        assert user.passkey is not None, f"{user.name} has no second factor that we know of"
        self._go(f"{_STEP}?with=passkey")
        return self.use_passkey(user.passkey)

    def _prove(self, user: User, fields: Mapping[str, str], action: str) -> httpx.Response:
        if user.password is None:
            assert user.passkey is not None, f"{user.name} has neither password nor passkey"
            return self.use_passkey(user.passkey)
        self.submit({**fields, "password": user.password}, action)
        return self.second_step(user) if self.path == _STEP else self.page

    def close(self) -> None:
        """Close the browser."""
        self.http.close()

    @property
    def _where(self) -> str:
        return f"on {self.path}, which says: {words_of(self.page.text)}"

    def _go(self, url: str) -> httpx.Response:
        """Follow a link of this page."""
        return self._follow(self.http.get(self._absolute(url), headers={**_ACCEPT, "sec-fetch-site": "same-origin"}))

    def _absolute(self, url: str) -> str:
        return urljoin(str(self.page.url), url) if hasattr(self, "page") else url

    def _ask(self, place: PasskeyPlace, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        target = self._absolute(url)
        csrf = {"x-csrf-token": place.data["csrf"]} if "csrf" in place.data else {}
        answer = self.http.post(target, json=body, headers={**_from_itself(target), **csrf})
        assert answer.is_success, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def _follow(self, answer: httpx.Response) -> httpx.Response:
        for _ in range(MAX_STEPS):
            to = _next(answer)
            if to is None:
                self.page = answer
                return answer
            site = answer.request.headers["sec-fetch-site"]
            if _origin(to) != _origin(str(answer.url)):
                site = site if site == "none" else "cross-site"
            answer = self.http.get(to, headers={**_ACCEPT, "sec-fetch-site": site})
        raise AssertionError(f"there is no end to it: {answer.url}")


def _from_itself(url: str) -> dict[str, str]:
    return {"origin": _origin(url), "sec-fetch-site": "same-origin"}


def _next(answer: httpx.Response) -> str | None:
    if answer.is_redirect:
        return urljoin(str(answer.url), answer.headers["location"])
    _, _, address = answer.headers.get("refresh", "").partition(";url=")
    return address or None


def _origin(url: str) -> str:
    parts: Any = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
