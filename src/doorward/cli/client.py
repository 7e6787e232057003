"""doorward client."""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import click

from doorward import app
from doorward.cli import FAILED
from doorward.cli.common import as_json, open_place, places, say_json, say_table, with_services
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.ids import new_token
from doorward.kernel.instant import to_rfc3339
from doorward.oidc import (
    AUTH_METHODS,
    AUTHORIZE,
    KINDS,
    REVOCATIONS,
    WITHOUT_SECRET,
    AuthMethod,
    Client,
    check_public_keys,
    hash_of,
)
from doorward.tokens import ALGORITHMS
from doorward.web.script import SCRIPT, load_script

LONGEST_OVERLAP = 30 * 24  # hours


@click.group("client")
def command() -> None:
    """Register apps that sign people in through Doorward."""


@command.command("add")
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(KINDS), required=True, help="What kind of app it is.")
@click.option("--id", "client_id", default="", help="Its client_id.  [default: made from the name]")
@click.option("--redirect-uri", "redirect_uris", multiple=True, metavar="URI", help="Where it takes people back to.")
@click.option("--post-logout-redirect-uri", "after_uris", multiple=True, metavar="URI", help="The same after sign-out.")
@click.option("--scope", "scopes", multiple=True, metavar="NAME", help="What it may ask for.  [default: by its type]")
@click.option("--resource", "resources", multiple=True, metavar="URI", help="An API that its tokens are for.")
@click.option("--auth", type=click.Choice(AUTH_METHODS), help="How it proves who it is.  [default: by its type]")
@click.option("--jwks", type=click.Path(exists=True, dir_okay=False), help="Its public keys, for private_key_jwt.")
@click.option("--alg", type=click.Choice(ALGORITHMS), default=ALGORITHMS[0], show_default=True, help="Of its tokens.")
@click.option("--dpop", is_flag=True, help="No token without proof of possession (RFC 9449).")
@click.option("--claim", "claims", multiple=True, metavar="FIELD", help="A custom field that its tokens carry.")
@as_json
@places
def add(  # noqa: PLR0913  the columns of a client
    data: str | None,
    config: str | None,
    name: str,
    kind: Any,  # noqa: ANN401  click has checked it
    client_id: str,
    auth: AuthMethod | None,
    jwks: str | None,
    alg: str,
    *,
    redirect_uris: tuple[str, ...],
    after_uris: tuple[str, ...],
    scopes: tuple[str, ...],
    resources: tuple[str, ...],
    claims: tuple[str, ...],
    dpop: bool,
    json_wanted: bool,
) -> None:
    """Register an app. Its secret, if it has one, is shown once."""
    public = kind in WITHOUT_SECRET
    wanted = Client(
        id=client_id,
        name=name,
        kind=kind,
        auth_method=auth or ("none" if public else "private_key_jwt" if jwks else "client_secret_basic"),
        redirect_uris=redirect_uris,
        post_logout_redirect_uris=after_uris,
        scopes=scopes,
        resources=resources,
        claims=claims,
        jwks=None if jwks is None else _keys_in(jwks),
        alg=alg,
        dpop=dpop,
    )
    made = with_services(open_place(data, config), lambda services: services.apps.clients.add(wanted, LOCAL_OPERATOR))
    if json_wanted:
        say_json({**_shown(made.client), "client_secret": made.secret})
        return
    click.echo(f"client_id      {made.client.id}")
    if made.secret is not None:
        click.echo(f"client_secret  {made.secret}\n\nKeep the secret now: it is not shown again.")


@command.command("list")
@as_json
@places
def list_clients(data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """List the apps."""
    found = with_services(open_place(data, config), lambda services: services.apps.clients.list())
    if json_wanted:
        say_json([_shown(client) for client in found])
        return
    say_table([
        {"id": one.id, "name": one.name, "type": one.kind, "auth": one.auth_method, "redirect_uris": one.redirect_uris}
        for one in found
    ])  # fmt: skip


@command.command("test")
@click.argument("client_id")
@as_json
@places
def test(data: str | None, config: str | None, client_id: str, *, json_wanted: bool) -> None:
    """Look over an app's registration and print a request to try; status 1 when something is wrong."""

    async def look(services: app.Services) -> dict[str, Any]:
        client = await services.apps.clients.find(client_id)
        if client is None:
            raise click.ClickException(f"There is no client {client_id}")
        issuer, verifier = services.tokens.issuer, new_token()
        warnings = [*services.apps.clients.wrongs(client), *_doubts(client)]
        asked = {
            "response_type": "code",
            "client_id": client.id,
            "redirect_uri": next(iter(client.redirect_uris), ""),
            "scope": "openid",
            "state": new_token(),
            "code_challenge": hash_of(verifier),
            "code_challenge_method": "S256",
        }
        return {
            "client_id": client.id,
            "warnings": warnings,
            "discovery": f"{issuer}/.well-known/openid-configuration",
            "authorize_url": f"{issuer}{AUTHORIZE}?{urlencode(asked)}" if client.redirect_uris else None,
            "code_verifier": verifier if client.redirect_uris else None,
        }

    found = with_services(open_place(data, config), look)
    if json_wanted:
        say_json(found)
    else:
        for warning in found["warnings"]:
            click.echo(f"Look at this: {warning}", err=True)
        click.echo(f"Discovery      {found['discovery']}")
        if found["authorize_url"]:
            click.echo(f"Try            {found['authorize_url']}\ncode_verifier  {found['code_verifier']}")
    sys.exit(FAILED if found["warnings"] else 0)


@command.command("remove")
@click.argument("client_id")
@places
def remove(data: str | None, config: str | None, client_id: str) -> None:
    """Forget an app; everything that it was given ends."""

    async def act(services: app.Services) -> None:
        await services.apps.clients.remove(client_id, LOCAL_OPERATOR)

    with_services(open_place(data, config), act)
    click.echo("Removed.")


@command.command("secret")
@click.argument("client_id")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, LONGEST_OVERLAP),
    default=24,
    show_default=True,
    help="How long the secret of before still works; 0 if somebody else may have it.",
)
@as_json
@places
def secret(data: str | None, config: str | None, client_id: str, *, overlap_hours: int, json_wanted: bool) -> None:
    """Give an app another secret. The one before stays good for a while, so that nothing stands still."""

    async def act(services: app.Services) -> str:
        return await services.apps.clients.new_secret(client_id, LOCAL_OPERATOR, overlap_hours * 3600)

    made = with_services(open_place(data, config), act)
    if json_wanted:
        say_json({"client_id": client_id, "client_secret": made})
    else:
        click.echo(f"client_secret  {made}\n\nKeep the secret now: it is not shown again.")


@command.command("script")
@as_json
@places
def script(data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """Print how a page loads the client for browsers, with the hash that pins it (SRI)."""
    settings = open_place(data, config).loaded.settings
    found = {"url": f"{settings.public_url}{SCRIPT}", "integrity": load_script().integrity}
    if json_wanted:
        say_json(found)
    else:
        click.echo(f'<link rel="modulepreload" href="{found["url"]}" integrity="{found["integrity"]}">')


def _keys_in(path: str) -> Any:  # noqa: ANN401  a JWK Set
    try:
        return check_public_keys(json.loads(Path(path).read_text(encoding="utf-8")))
    except ValueError as error:
        raise click.ClickException(f"{path}: {error}") from error


def _doubts(client: Client) -> list[str]:
    """What is allowed and probably not meant."""
    found = []
    for uri in client.redirect_uris:
        parts = urlsplit(uri)
        if parts.scheme == "http" and client.kind != "native":
            found.append(f"redirect-uri: {uri} is for development alone")
        if parts.path in {"", "/"}:
            found.append(f"redirect-uri: {uri} is the start page; a page of its own takes nothing else for a code")
    if client.kind == "spa" and not client.dpop:
        found.append("dpop: a script's tokens are safer bound to a key; register it with --dpop")
    verifies = client.kind == "web" or (client.kind == "service" and client.resources)
    if verifies and REVOCATIONS not in client.scopes:
        found.append(f"scope: without {REVOCATIONS} it hears of what has ended only when it asks")
    return found


def _shown(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.id,
        "name": client.name,
        "type": client.kind,
        "auth": client.auth_method,
        "redirect_uris": list(client.redirect_uris),
        "post_logout_redirect_uris": list(client.post_logout_redirect_uris),
        "scopes": list(client.scopes),
        "resources": list(client.resources),
        "claims": list(client.claims),
        "alg": client.alg,
        "dpop": client.dpop,
        "created_at": to_rfc3339(client.created_at),
    }
