"""doorward token."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from joserfc.errors import JoseError

from doorward import app
from doorward.cli import FAILED
from doorward.cli.common import as_json, places, say_json, say_table
from doorward.kernel import base64url
from doorward.kernel.instant import SECOND
from doorward.tokens import import_key, verified

_PARTS: Final = 3
_WHY: Final = {
    "alg": "how it is signed; whoever verifies accepts one algorithm for each key, never what the token asks for",
    "typ": "what it is: at+jwt opens an API, JWT is an ID token and opens nothing",
    "kid": "which key of the JWKS signed it",
    "iss": "who issued it; has to be the very address that you trust",
    "sub": "who it speaks of; the only name of a user that never changes",
    "aud": "whom it is for; an API refuses what is for somebody else",
    "client_id": "the app that it was given to",
    "iat": "when it was issued",
    "nbf": "not good before",
    "exp": "not good from then on",
    "jti": "its own number, by which it alone can be revoked",
    "scope": "what the app may do with it",
    "sid": "the session that it came of; it ends with that session",
    "fid": "the family that it came of; it ends when a refresh token of that family is used twice",
    "auth_time": "when the user last proved who they are; for steps that want a fresh proof",
    "amr": "how they proved it (RFC 8176)",
    "acr": "how sure that makes us: aal1 one factor, aal2 two",
    "roles": "what the user may do, as an app may want to know it",
    "cnf": "the key that it is bound to; without a proof of that key it opens nothing (RFC 9449)",
    "nonce": "ties an ID token to the request that asked for it",
    "at_hash": "ties an ID token to the access token that came with it",
    "email": "a proven address; one that is not proven never stands in a token",
}
_INSTANTS: Final = frozenset({"iat", "nbf", "exp", "auth_time", "updated_at"})


@click.group("token")
def command() -> None:
    """Look into tokens."""


@command.command("inspect")
@click.option("--jwks", type=click.Path(exists=True, dir_okay=False), help="Verify with the keys in this file.")
@click.option("--issuer", metavar="URL", help="Refuse a token of any other issuer.")
@as_json
@places
def inspect(data: str | None, config: str | None, jwks: str | None, issuer: str | None, *, json_wanted: bool) -> None:
    """Show what a token says, and why it says it.

    The token comes by standard input, or is asked for; never as an argument, which others could see. Nothing is sent
    anywhere. Status 1 when --jwks or --issuer do not fit.
    """
    del data, config  # every command takes them
    text = click.prompt("Token", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    token = text.strip()
    header, claims = _decoded(token)
    wrong = _wrong(token, header, claims, jwks, issuer)
    if json_wanted:
        checked = None if jwks is None else wrong is None
        say_json({"header": header, "claims": claims, "verified": checked, "problem": wrong})
    else:
        for title, part in (("Header", header), ("Claims", claims)):
            click.echo(f"{title}")
            say_table([_row(name, value) for name, value in part.items()])
            click.echo("")
        said = "NOT verified: give --jwks" if jwks is None else "The signature is right."
        click.echo(said if wrong is None else f"REFUSED: {wrong}")
    sys.exit(0 if wrong is None else FAILED)


def _decoded(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise click.ClickException("That is no signed token: it has three parts with dots between")
    try:
        found = [json.loads(base64url.decode(part)) for part in parts[:2]]
    except ValueError as error:
        raise click.ClickException("That is no signed token: a part of it cannot be read") from error
    if not all(isinstance(part, dict) for part in found):
        raise click.ClickException("That is no signed token: a part of it is no object")
    return found[0], found[1]


def _wrong(
    token: str, header: dict[str, Any], claims: dict[str, Any], jwks: str | None, issuer: str | None
) -> str | None:
    if issuer is not None and claims.get("iss") != issuer:
        return f"its issuer is not {issuer}"
    if jwks is None:
        return None
    try:
        document = json.loads(Path(jwks).read_text(encoding="utf-8"))
        key = next((key for key in document["keys"] if key.get("kid") == header.get("kid")), None)
        if key is None:
            return "no key of that kid in the file"
        alg, public = import_key(key)
        if header.get("alg") != alg:
            return f"its algorithm is not that of the key, {alg}"
        verified(token, public, alg)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        return "the signature is not right, or the file holds no such keys"
    expires = claims.get("exp")
    over = isinstance(expires, int | float) and expires * SECOND <= app.this_clock().now()
    return "it has expired" if over else None


def _row(name: str, value: object) -> dict[str, Any]:
    shown = value
    if name in _INSTANTS and type(value) is int and 0 <= value < 2**40:
        shown = f"{value} ({datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    return {"name": name, "value": shown, "why": _WHY.get(name, "")}
