"""Somebody with a browser that runs no scripts, on the hosted pages of a real server and on the pages of apps."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

PASSWORD = "seven quiet herons at noon"
MAX_STEPS = 20
_FORM = re.compile(r'<form[^>]*action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
_HIDDEN = re.compile(r'<input[^>]*type="hidden"[^>]*>')
_ATTRIBUTE = re.compile(r'\b(name|value)="([^"]*)"')


@dataclass(repr=False)
class Person:
    """A browser with its cookies. Cookies do not tell ports apart, so server and app have to be of different hosts."""

    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20))
    page: httpx.Response = field(init=False)

    def open(self, url: str) -> httpx.Response:
        """Go to an address, as one types it, and to wherever that leads."""
        return self._follow(self.http.get(url, headers={**_ACCEPT, "sec-fetch-site": "none"}))

    def submit(self, fields: Mapping[str, str], action: str | None = None, *, follow: bool = True) -> httpx.Response:
        """Send the form of this page that goes to `action`, else its only one."""
        forms = [(unescape(where), inside) for where, inside in _FORM.findall(self.page.text)]
        found = [(where, inside) for where, inside in forms if where == action or (action is None and len(forms) == 1)]
        assert len(found) == 1, (forms, self.page.text)
        where, inside = found[0]
        hidden = [dict(_ATTRIBUTE.findall(tag)) for tag in _HIDDEN.findall(inside)]
        data = {one["name"]: unescape(one.get("value", "")) for one in hidden} | dict(fields)
        return self.post(urljoin(str(self.page.url), where), data, follow=follow)

    def post(self, url: str, data: Mapping[str, str], *, follow: bool = True) -> httpx.Response:
        """Send a form from a page of the same site."""
        headers = {**_ACCEPT, "origin": _origin(url), "sec-fetch-site": "same-origin"}
        sent = self.http.post(url, data=data, headers=headers)
        return self._follow(sent) if follow else sent

    def program(self, url: str) -> httpx.Response:
        """What a script of the page would be answered, which is never sent elsewhere."""
        return self.http.get(url, headers={"accept": "application/json"})

    def close(self) -> None:
        """Close the browser."""
        self.http.close()

    def sign_in(self, uid: str) -> httpx.Response:
        """Fill in the page that asks who one is."""
        assert urlsplit(str(self.page.url)).path == "/sign-in", self.page.text
        return self.submit({"identifier": uid, "password": PASSWORD}, "/sign-in")

    def confirm(self) -> httpx.Response:
        """Fill in the page that asks once more for the password."""
        assert urlsplit(str(self.page.url)).path == "/confirm", self.page.text
        return self.submit({"password": PASSWORD}, "/confirm")

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


_ACCEPT = {"accept": "text/html,application/xhtml+xml"}


def _next(answer: httpx.Response) -> str | None:
    if answer.is_redirect:
        return urljoin(str(answer.url), answer.headers["location"])
    _, _, address = answer.headers.get("refresh", "").partition(";url=")
    return address or None


def _origin(url: str) -> str:
    parts: Any = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
