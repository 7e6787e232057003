"""Somebody with a password that every test knows, on the hosted pages of a real server and on the pages of apps."""

import httpx

from doorward.testing import Browser

PASSWORD = "seven quiet herons at noon"


class Person(Browser):
    """A browser, and who sits before it."""

    def fill_in(self, uid: str) -> httpx.Response:
        """Fill in the page that asks who one is."""
        assert self.path == "/sign-in", self.page.text
        return self.submit({"identifier": uid, "password": PASSWORD}, "/sign-in")

    def fill_in_again(self) -> httpx.Response:
        """Fill in the page that asks once more for the password."""
        assert self.path == "/confirm", self.page.text
        return self.submit({"password": PASSWORD}, "/confirm")
