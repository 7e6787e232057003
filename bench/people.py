"""Users of a server that is measured."""

import http.client
import json
from http import HTTPStatus

PASSWORD = "a phrase that is long enough"  # noqa: S105  opens a throw-away server


def sign_up(port: int, uid: str) -> str:
    """Make a user; the cookie of their session."""
    connection = http.client.HTTPConnection("localhost", port, timeout=30)
    body = json.dumps({"uid": uid, "name": uid, "password": PASSWORD})
    connection.request("POST", "/api/users", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != HTTPStatus.CREATED:
        raise SystemExit(text)
    cookies = [value.split(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie"]
    return next(cookie for cookie in cookies if cookie.startswith("doorward="))
