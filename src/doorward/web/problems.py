"""The one translator from a Problem to an answer: RFC 9457 for programs, a page for people."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from doorward.kernel.errors import OAuthRefused, Problem
from doorward.web.routing import json_response

MEDIA_TYPE = "application/problem+json"


class Internal(Problem):
    """Anything unforeseen. Says nothing but the request's id (C43)."""


def problem_document(problem: Problem, *, public_url: str, instance: str, request_id: str) -> Mapping[str, Any]:
    """RFC 9457 §3, with `message` equal to `detail` for callers that know only that word."""
    return {
        "type": f"{public_url}/problems/{problem.code.replace('_', '-')}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "message": problem.detail,
        "code": problem.code,
        "instance": instance,
        "request_id": request_id,
        **problem.members,
    }


def problem_response(problem: Problem, *, public_url: str, instance: str, request_id: str) -> Response:
    """Answer a program."""
    document = problem_document(problem, public_url=public_url, instance=instance, request_id=request_id)
    return json_response(document, problem.status, media_type=MEDIA_TYPE, headers=problem.headers)


_OAUTH_WORDS = {401: "invalid_token", 429: "temporarily_unavailable", 503: "temporarily_unavailable"}


def oauth_response(problem: Problem) -> Response:
    """Answer an app in the words of OAuth (RFC 6749 §5.2)."""
    named = problem.error if isinstance(problem, OAuthRefused) else None
    error = named or _OAUTH_WORDS.get(problem.status, "invalid_request")
    document = {"error": error, "error_description": problem.detail}
    return json_response(document, problem.status, headers={**problem.headers, "cache-control": "no-store"})
