"""/doorward.js: the client for browsers, which pages of every origin may load."""

import gzip
from importlib.resources import files

from starlette.types import Scope, Send

from doorward.web.assets import Asset, as_asset
from doorward.web.front import Lane
from doorward.web.headers import ALWAYS, ON_DATA, RawHeader

SCRIPT = "/doorward.js"
# Under its plain address it changes with our releases, so browsers ask each time whether it has; an answer to that is
# 304. Under ?v={its hash} it is what it is.
_ASK_AGAIN, _FOR_EVER = b"public, no-cache", b"public, max-age=31536000, immutable"
_SHARED = {
    b"cross-origin-resource-policy": b"cross-origin",
    b"access-control-allow-origin": b"*",  # a module is fetched by CORS, and so is what integrity is asked of
}


def load_script() -> Asset:
    """The script that is shipped: the one copy is `clients/js/doorward.js`."""
    body = files("doorward.web").joinpath("doorward.js").read_bytes()
    return as_asset("doorward.js", body)


def script_lane(script: Asset) -> Lane:
    """Answers GET and HEAD, compressed where that is understood."""
    packed = gzip.compress(script.body, 9, mtime=0)
    version = script.url.split(".")[1].encode()
    kept = [(name, value) for name, value in (*ALWAYS, *ON_DATA) if name not in _SHARED] + list(_SHARED.items())

    async def lane(scope: Scope, send: Send, request_id: str) -> bool:
        if scope["method"] not in {"GET", "HEAD"}:
            return False
        asked = dict(scope["headers"])
        small = _takes_gzip(asked.get(b"accept-encoding", b""))
        tag = b'"%s%s"' % (version, b"-gzip" if small else b"")
        headers: list[RawHeader] = [
            *kept,
            (b"cache-control", _FOR_EVER if scope["query_string"] == b"v=" + version else _ASK_AGAIN),
            (b"content-type", script.media_type.encode()),
            (b"etag", tag),
            (b"vary", b"Accept-Encoding"),
            (b"x-request-id", request_id.encode()),
        ]
        known = [one.strip().removeprefix(b"W/") for one in asked.get(b"if-none-match", b"").split(b",")]
        if tag in known:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return True
        body = packed if small else script.body
        headers.append((b"content-length", str(len(body)).encode()))
        if small:
            headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})
        return True

    return lane


def _takes_gzip(accepted: bytes) -> bool:
    """RFC 9110 §12.5.3, without the star: who wants gzip says so."""
    for one in accepted.lower().split(b","):
        coding, _, weight = one.replace(b" ", b"").partition(b";q=")
        if coding == b"gzip":
            return not weight or weight.strip(b"0.") != b""
    return False
