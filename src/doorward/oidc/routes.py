"""HTTP of OAuth 2.0 and OpenID Connect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from doorward.kernel.errors import OAuthRefused, TokenRefused
from doorward.oidc.authorize import AUTHORIZE, Authorize, Stay
from doorward.oidc.following import Following
from doorward.oidc.grants import TOKEN, Grants
from doorward.oidc.live import USERINFO, Live
from doorward.oidc.model import ACRS, AUTH_METHODS, REVOCATIONS, STANDARD_SCOPES, Client, text_of
from doorward.sessions import Session
from doorward.tokens import ALGORITHMS
from doorward.web.csrf import from_our_page
from doorward.web.gate import Gate
from doorward.web.routing import FORM, Access, Answer, Call, Handler, Operation, json_response, redirect
from doorward.web.schemas import STRING, oauth_problems, record

INTROSPECT: Final = "/oauth/introspect"
REVOKE: Final = "/oauth/revoke"
FOLLOW: Final = "/oauth/revocations"
METADATA: Final = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
_TAG: Final = "OAuth"
_SEQ_DIGITS: Final = 18
_ANY: Final = {"type": "object"}
_TOKENS: Final = record(
    {
        "access_token": STRING,
        "token_type": {"enum": ["Bearer", "DPoP"]},
        "expires_in": {"type": "integer", "description": "Seconds."},
        "scope": STRING,
        "id_token": STRING,
        "refresh_token": STRING,
    },
    optional=("id_token", "refresh_token"),
)
_PARAMETERS: Final = (
    "code", "redirect_uri", "code_verifier", "client_id", "refresh_token", "scope", "resource", "client_assertion",
    "client_assertion_type",
)  # fmt: skip
_ASKED: Final = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"enum": ["authorization_code", "refresh_token", "client_credentials"]},
        **dict.fromkeys(_PARAMETERS, STRING),
    },
}
_FOLLOWING: Final = record(
    dict.fromkeys(("after", "client_assertion", "client_assertion_type"), STRING),
    optional=("after", "client_assertion", "client_assertion_type"),
)
_ONE_TOKEN: Final = record({"token": STRING, "token_type_hint": STRING}, optional=("token_type_hint",))


@dataclass(frozen=True, slots=True)
class OidcRoutes:
    """Everything that apps speak to, and the one page through which their users come."""

    gate: Gate
    authorize: Authorize
    grants: Grants
    live: Live
    following: Following

    def operations(self) -> Sequence[Operation]:
        """Every operation of the room."""

        def spoken(  # noqa: PLR0913  what differs between them
            method: str,
            path: str,
            handler: Handler,
            summary: str,
            answers: Mapping[int, Answer],
            *,
            reads: str | None = None,
            schema: Mapping[str, Any] | None = None,
            description: str = "",
            parameters: Sequence[Mapping[str, Any]] = (),
            cross_origin: bool = False,
        ) -> Operation:
            return Operation(
                method, path, handler, Access.ANYONE, summary, _TAG, reads=reads, body_schema=schema, answers=answers,
                description=description, parameters=parameters, oauth=True, cross_origin=cross_origin,
            )  # fmt: skip

        about_user = {200: Answer("Claims", _ANY), **oauth_problems(401, 403)}
        stream = Answer("Newline-delimited JSON without an end", _ANY, "application/x-ndjson")
        followed = {200: stream, **oauth_problems(400, 401, 403)}
        return (
            Operation("GET", AUTHORIZE, self.get_authorize, Access.OPTIONAL, "Sign in to an app"),
            Operation(
                "POST", AUTHORIZE, self.post_authorize, Access.ANYONE, "Sign in to an app", reads=FORM, oauth=True
            ),
            spoken("POST", TOKEN, self.post_token, "Get tokens",
                   {200: Answer("Tokens", _TOKENS), **oauth_problems(401)},
                   reads=FORM, schema=_ASKED, cross_origin=True,
                   description="RFC 6749 §4.1.3, §6 and §4.4.2; with a `DPoP` header RFC 9449. A client authenticates "
                   "as it is registered: `client_secret_basic`, `private_key_jwt` or, public, by `client_id`."),
            *(
                spoken(method, USERINFO, self.userinfo, "Who the user is", about_user, cross_origin=True,
                       description="OpenID Connect Core §5.3.")
                for method in ("GET", "POST")
            ),
            spoken("POST", INTROSPECT, self.post_introspect, "Whether a token counts now",
                   {200: Answer("RFC 7662 §2.2", _ANY), **oauth_problems(401)}, reads=FORM, schema=_ONE_TOKEN),
            spoken("POST", REVOKE, self.post_revoke, "Give a token back",
                   {200: Answer("Whatever it was, it is over"), **oauth_problems(401)}, reads=FORM, schema=_ONE_TOKEN,
                   cross_origin=True, description="RFC 7009. All that came of the same sign-in at this app ends."),
            spoken("GET", FOLLOW, self.get_revocations, "Follow what ends", followed,
                   description="Lines `{seq, kind, id, at}` for what has ended, and at least every half second "
                   "`{seq, heartbeat}`. See docs/oidc.md.",
                   parameters=({"name": "after", "in": "query", "schema": {"type": "integer"},
                                "description": "The last number that was read."},)),
            spoken("POST", FOLLOW, self.post_revocations, "Follow what ends", followed,
                   reads=FORM, schema=_FOLLOWING,
                   description="The same stream. A form has room for `private_key_jwt`, too."),
            *(
                spoken("GET", path, self.get_metadata, "Where everything is (OpenID Connect Discovery, RFC 8414)",
                       {200: Answer("Metadata", _ANY)}, cross_origin=True)
                for path in METADATA
            ),
        )  # fmt: skip

    # Pages --------------------------------------------------------------------------------------------------------

    async def get_authorize(self, call: Call) -> Response:
        """Send the browser on: to prove who its user is, or back to the app."""
        # A program's token is no browser's session, and lends no app anything.
        session = call.session if isinstance(call.session, Session) and call.session.transport == "cookie" else None
        step = await self.authorize.step(call.query, session, call.caller)
        if isinstance(step, Stay):
            return redirect(step.path)
        if from_our_page(call):
            # Browsers hold the answer to a form to our form-action policy, however many redirects later. Coming from
            # a form of ours (sign-in, confirmation), they leave through a page, which is not part of its answer.
            response = self.gate.render(call, "going_on.html", address=step.address)
            response.headers["refresh"] = f"0;url={step.address}"
        else:
            response = Response(status_code=303, headers={"location": step.address})
        response.headers["referrer-policy"] = "no-referrer"
        return response

    async def post_authorize(self, call: Call) -> Response:
        """The same from a form (OpenID Connect Core §3.1.2.1): on to GET, which is sent our cookie."""
        return redirect(self.authorize.path_of({name: call.form_text(name) for name in call.body}))

    # Apps ---------------------------------------------------------------------------------------------------------

    async def post_token(self, call: Call) -> Response:
        """Give tokens."""
        authorization, proof = _headers(call)
        return json_response(await self.grants.answer(authorization, proof, call.body, call.caller))

    async def userinfo(self, call: Call) -> Response:
        """Claims about the user behind a token."""
        authorization, proof = _headers(call)
        return json_response(await self.live.userinfo(authorization, proof, call.request.method))

    async def post_introspect(self, call: Call) -> Response:
        """RFC 7662."""
        authorization, _ = _headers(call)
        return json_response(await self.live.introspect(authorization, call.body, call.caller))

    async def post_revoke(self, call: Call) -> Response:
        """RFC 7009."""
        authorization, _ = _headers(call)
        await self.live.revoke(authorization, call.body, call.caller)
        return Response(status_code=200)

    async def get_revocations(self, call: Call) -> Response:
        """A stream without an end, for an app with a secret or a token."""
        authorization, proof = _headers(call)
        client = await self.live.follower(authorization, proof, FOLLOW, call.caller)
        return self._stream(client, call.query.get("after"))

    async def post_revocations(self, call: Call) -> Response:
        """The same for an app that says in a form who it is."""
        authorization, _ = _headers(call)
        client = await self.live.following_client(authorization, call.body, call.caller)
        return self._stream(client, text_of(call.body, "after") or None)

    def _stream(self, client: Client, after: str | None) -> Response:
        if after is not None and not (after.isascii() and after.isdigit() and len(after) <= _SEQ_DIGITS):
            raise OAuthRefused("invalid_request", "after is a number")
        lines = self.following.begin(client.id, None if after is None else int(after))
        # Proxies must not collect lines before they pass them on.
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)

    async def get_metadata(self, _: Call) -> Response:
        """OpenID Connect Discovery §3, RFC 8414 §2."""
        return json_response(metadata(self.gate.site.public_url))


def metadata(issuer: str) -> dict[str, Any]:
    """What apps have to know of us."""
    methods, algs = list(AUTH_METHODS), list(ALGORITHMS)
    confidential = [method for method in methods if method != "none"]
    signing = {
        f"{place}_endpoint_auth_{what}": value
        for place, can in (("token", methods), ("introspection", confidential), ("revocation", methods))
        for what, value in (("methods_supported", can), ("signing_alg_values_supported", algs))
    }
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}{AUTHORIZE}",
        "token_endpoint": f"{issuer}{TOKEN}",
        "userinfo_endpoint": f"{issuer}{USERINFO}",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "introspection_endpoint": f"{issuer}{INTROSPECT}",
        "revocation_endpoint": f"{issuer}{REVOKE}",
        "doorward_revocations_endpoint": f"{issuer}{FOLLOW}",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algs,
        "code_challenge_methods_supported": ["S256"],
        **signing,
        "dpop_signing_alg_values_supported": algs,
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "claims_parameter_supported": False,
        "scopes_supported": [*STANDARD_SCOPES, REVOCATIONS],
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "name",
            "preferred_username", "locale", "updated_at", "email", "email_verified", "phone_number",
            "phone_number_verified",
        ],
        "acr_values_supported": list(ACRS),
        "prompt_values_supported": ["none", "login", "create"],
    }  # fmt: skip


def _headers(call: Call) -> tuple[str | None, str | None]:
    """Authorization and DPoP. Raises OAuthRefused when one is there twice (RFC 9449 §4.3)."""
    headers = call.request.headers
    for name in ("authorization", "dpop"):
        if len(headers.getlist(name)) > 1:
            raise OAuthRefused("invalid_request", f"one {name} header")
    if "access_token" in call.request.query_params:
        raise TokenRefused("no token in the address", error="invalid_request")  # it would be logged (ASVS 14.2.1)
    return headers.get("authorization"), headers.get("dpop")
