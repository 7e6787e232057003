"""Serves the front end: files, and the headers that go with them. Any web server does; copy the headers."""

import json
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from fitness.settings import Settings

FOLDER = Path(__file__).parents[1] / "web"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def headers(settings: Settings) -> Mapping[str, str]:
    """What every answer carries. Scripts come from us and from Doorward, and may speak to Doorward and the API alone.

    Should a script get in all the same, it finds no sink that takes HTML (Trusted Types) and nowhere to send things.
    """
    policy = {
        "default-src": "'none'",
        "script-src": f"'self' {settings.issuer}",
        "style-src": "'self'",
        "img-src": "'self' blob:",  # pictures of notes need a token, so scripts fetch them
        "connect-src": f"{settings.issuer} {settings.api_url}",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


def files(settings: Settings) -> Mapping[str, tuple[str, bytes]]:
    """Type and content of everything there is, by path. What is not in here is not served: no path is ever opened."""
    found = {f"/{one.name}": (_TYPES[one.suffix], one.read_bytes()) for one in FOLDER.iterdir() if one.suffix in _TYPES}
    told = {"issuer": settings.issuer, "clientId": settings.web_client_id, "api": settings.api_url}
    lines = f'export {{ doorward }} from "{settings.script}";\nexport const settings = {json.dumps(told)};\n'
    found["/settings.js"] = (_TYPES[".js"], lines.encode())
    kind, page = found.pop("/index.html")
    filled = page.replace(b"@script@", settings.script.encode()).replace(b"@integrity@", settings.integrity.encode())
    return {"/": (kind, filled), **found}


def serve(settings: Settings) -> None:
    """Serve until the process ends."""
    always, served = headers(settings), files(settings)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "fitness", ""

        def do_GET(self) -> None:
            kind, content = served.get(urlsplit(self.path).path, (_TYPES[".html"], b""))
            self.send_response(HTTPStatus.OK if content else HTTPStatus.NOT_FOUND)
            for name, value in {**always, "Content-Type": kind, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as http.server names it
            """Say nothing."""

    place = urlsplit(settings.web_url)
    ThreadingHTTPServer((place.hostname or "", place.port or 80), Handler).serve_forever()


if __name__ == "__main__":
    try:
        serve(Settings.read())
    except KeyboardInterrupt:
        sys.exit(0)
