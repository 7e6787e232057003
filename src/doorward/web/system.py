"""What a server answers about itself: health, keys, API description, problem pages, static files, CSP reports."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import isabstract
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Scope, Send

from doorward.kernel.errors import NotFound, Problem, Unavailable
from doorward.web.front import Lane
from doorward.web.gate import Gate
from doorward.web.headers import RawHeader, prepared
from doorward.web.routing import Access, Answer, Call, Operation, json_response, no_content
from doorward.web.schemas import STRING, problems, record
from doorward.web.seldom import Seldom

IMMUTABLE = b"public, max-age=31536000, immutable"
JWKS_CACHE = b"public, max-age=300"


@dataclass(frozen=True, slots=True)
class SystemRoutes:
    """Operations that belong to no room. `checks` answers for readiness: name -> raises when not ready."""

    gate: Gate
    checks: Mapping[str, Callable[[], Awaitable[None]]]
    jwks: Callable[[], bytes]
    api_document: Callable[[], Mapping[str, Any]]
    csp_violations: Seldom

    def operations(self) -> Sequence[Operation]:
        """Health, keys, description."""
        health = record({"status": STRING})
        return (
            Operation(
                "GET",
                "/livez",
                self.get_livez,
                Access.ANYONE,
                "The process answers",
                "System",
                answers={200: Answer("It does", health)},
            ),
            Operation(
                "GET",
                "/readyz",
                self.get_readyz,
                Access.ANYONE,
                "Everything needed is there",
                "System",
                answers={200: Answer("It is", health), **problems(503)},
            ),
            Operation(
                "GET",
                "/.well-known/jwks.json",
                self.get_jwks,
                Access.ANYONE,
                "Public signing keys (RFC 7517)",
                "System",
                answers={200: Answer("A JWK Set", {"type": "object"}, "application/jwk-set+json")},
                cross_origin=True,
            ),
            Operation(
                "GET",
                "/api/openapi.json",
                self.get_openapi,
                Access.ANYONE,
                "This description",
                "System",
                answers={200: Answer("OpenAPI 3.1", {"type": "object"})},
            ),
            Operation("GET", "/api/docs", self.get_docs, Access.OPTIONAL, "API reference"),
            Operation("GET", "/problems/{code}", self.get_problem, Access.OPTIONAL, "What an error means"),
            Operation("POST", "/csp-reports", self.post_csp_report, Access.ANYONE, "Content Security Policy reports"),
        )

    async def get_livez(self, _: Call) -> Response:
        """Alive, as far as a process can tell of itself."""
        return json_response({"status": "ok"})

    async def get_readyz(self, _: Call) -> Response:
        """Ready to serve; 503 naming what is not."""
        failing = [name for name, check in self.checks.items() if not await _passes(check)]
        if failing:
            raise Unavailable(f"Not ready: {', '.join(failing)}", retry_after_seconds=2)
        return json_response({"status": "ok", "checks": list(self.checks)})

    async def get_jwks(self, _: Call) -> Response:
        """RFC 7517 §5."""
        return Response(
            self.jwks(),
            media_type="application/jwk-set+json",
            headers={"cache-control": JWKS_CACHE.decode(), "cross-origin-resource-policy": "cross-origin"},
        )

    async def get_openapi(self, _: Call) -> Response:
        """The description as JSON."""
        return json_response(self.api_document())

    async def get_docs(self, call: Call) -> Response:
        """The description for reading."""
        return self.gate.render(call, "api_docs.html", api=self.api_document())

    async def get_problem(self, call: Call) -> Response:
        """The page that a problem's `type` points at."""
        code = call.path("code").replace("-", "_")
        kind = next((kind for kind in problem_kinds() if kind.code == code), None)
        if kind is None:
            raise NotFound
        return self.gate.render(
            call,
            "problem.html",
            kind={"code": kind.code, "status": kind.status, "title": kind.title, "text": (kind.__doc__ or "").strip()},
        )

    async def post_csp_report(self, call: Call) -> Response:
        """A browser refused something on a page of ours: worth knowing, never worth much space."""
        self.csp_violations.warn(address=call.caller.address)
        return no_content()


def problem_kinds() -> Sequence[type[Problem]]:
    """Every kind of refusal, found by walking the tree."""
    found: list[type[Problem]] = []
    pending = [Problem]
    while pending:
        kind = pending.pop()
        pending.extend(kind.__subclasses__())
        if not isabstract(kind) and not kind.__name__.startswith("_"):
            found.append(kind)
    return found


def static_lanes(files: Mapping[str, tuple[str, bytes]]) -> Mapping[str, Lane]:
    """Static files by path; their names carry a hash of their content, so browsers keep them for ever."""
    return {path: fixed_lane(media_type, body, IMMUTABLE) for path, (media_type, body) in files.items()}


def fixed_lane(media_type: str, body: bytes, cache_control: bytes = b"no-store") -> Lane:
    """Answers GET and HEAD with bytes that never change."""
    headers: Sequence[RawHeader] = prepared(media_type.encode(), body, cache_control)

    async def lane(scope: Scope, send: Send, request_id: str) -> bool:
        if scope["method"] not in {"GET", "HEAD"}:
            return False
        own = [*headers, (b"x-request-id", request_id.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})
        return True

    return lane


LIVE = msgspec.json.encode({"status": "ok"})


async def _passes(check: Callable[[], Awaitable[None]]) -> bool:
    try:
        await check()
    except Problem:
        return False
    return True
