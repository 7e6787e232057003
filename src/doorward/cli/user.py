"""doorward user."""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeAlias

import click

from doorward import app
from doorward.cli.common import as_json, find_user, open_place, places, say_json, say_table, with_services
from doorward.config import BUILT_IN_ROLES, Settings
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.instant import Instant, to_rfc3339
from doorward.sql import Work
from doorward.users import FORMATS, Refused, Totals, User, read_source

Change: TypeAlias = Callable[[app.Services, User], Awaitable[User]]


@click.group("user")
def command() -> None:
    """List, show, add and change users. USER is an id, a handle or a verified e-mail address."""


@command.command("list")
@click.option("--sort", metavar="FIELD", help="A sortable field; -FIELD turns it round.  [default: created_at]")
@click.option("--limit", type=int, default=50, show_default=True, help="How many.")
@click.option("--cursor", help="From the end of the page before.")
@click.option("--leaving", is_flag=True, help="Those who asked to be deleted, the next to be erased first.")
@as_json
@places
def list_users(
    data: str | None,
    config: str | None,
    sort: str | None,
    cursor: str | None,
    *,
    limit: int,
    leaving: bool,
    json_wanted: bool,
) -> None:
    """List users, a page at a time. Those who are disabled or leaving are not among them."""
    if leaving:
        if sort is not None or cursor is not None:
            raise click.UsageError("--leaving has an order of its own, and one page.")
        _list_leaving(data, config, limit, json_wanted=json_wanted)
        return

    async def find(services: app.Services) -> dict[str, Any]:
        page = await services.directory.page(sort=sort, limit=limit, cursor=cursor, admin=True)
        return page.as_json()

    page = with_services(open_place(data, config), find)
    if json_wanted:
        say_json({"data": page["data"], "next_cursor": page["next_cursor"]})
        return
    say_table(page["data"])
    if page["next_cursor"]:
        click.echo(f"More: --cursor {page['next_cursor']}")


def _list_leaving(data: str | None, config: str | None, limit: int, *, json_wanted: bool) -> None:
    found = with_services(open_place(data, config), lambda services: services.users.departures(limit))
    rows = [
        {"id": one.user_id, "uid": one.uid, "asked_at": to_rfc3339(one.asked_at), "erased_at": to_rfc3339(one.due_at)}
        for one in found
    ]
    if json_wanted:
        say_json({"data": rows})
    else:
        say_table(rows)


@command.command("show")
@click.argument("user")
@as_json
@places
def show(user: str, data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """Show everything about a user but their password."""
    _act(data, config, user, _nothing, json_wanted=json_wanted)


@command.command("add")
@click.argument("uid")
@click.option("--name", required=True, help="What others call them.")
@click.option("--email", help="An e-mail address, unverified.")
@click.option("--dob", metavar="YYYY-MM-DD", help="Date of birth.")
@click.option("--field", "fields", metavar="NAME=VALUE", multiple=True, help="A custom field; JSON, else text.")
@click.option("--role", "roles", multiple=True, help="A role; may be repeated.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@as_json
@places
def add(
    data: str | None,
    config: str | None,
    fields: Sequence[str],
    roles: Sequence[str],
    *,
    password_stdin: bool,
    json_wanted: bool,
    **core: str | None,
) -> None:
    """Add a user with the handle UID. The password is asked for, or read from standard input; never an argument."""
    place = open_place(data, config)
    _check_roles(place.loaded.settings, roles)
    body = {name: value for name, value in core.items() if value is not None} | dict(map(_field, fields))
    body["password"] = _password(from_stdin=password_stdin)

    async def create(services: app.Services) -> dict[str, Any]:
        new, password = await services.sign_up.check(body, by_operator=True)
        digest = await services.passwords.hash_new(password, context=())

        def also(user: User, _now: Instant) -> Work[None]:
            return services.passwords.set_password(user.id, digest)

        user, _ = await services.users.create(new, LOCAL_OPERATOR, also=also, roles=tuple(roles))
        return services.schema.visible(user, "admin")

    _say(with_services(place, create), json_wanted=json_wanted)


@command.command("invite")
@click.argument("address")
@click.option("--role", "roles", multiple=True, help="A role they will have; may be repeated.")
@click.option("--locale", default="", metavar="CODE", help="Language of the mail, such as de.")
@places
def invite(address: str, data: str | None, config: str | None, *, roles: Sequence[str], locale: str) -> None:
    """Mail ADDRESS a link to sign up with; it holds for seven days. A running server sends it."""
    place = open_place(data, config)
    _check_roles(place.loaded.settings, roles)

    async def send(services: app.Services) -> None:
        await services.invitations.invite(address, roles, None, LOCAL_OPERATOR, locale)

    with_services(place, send)
    click.echo(f"The invitation to {address} is queued; the server sends it.")


@command.command("uninvite")
@click.argument("address")
@places
def uninvite(address: str, data: str | None, config: str | None) -> None:
    """Call off the invitation to ADDRESS: its link no longer works."""

    async def call_off(services: app.Services) -> int:
        return await services.invitations.call_off(address, None, LOCAL_OPERATOR)

    if not with_services(open_place(data, config), call_off):
        raise click.ClickException(f"There is no invitation to {address}")
    click.echo(f"{address} is invited no more.")


@command.command("reset-factors")
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask.")
@places
def reset_factors(user: str, data: str | None, config: str | None, *, yes: bool) -> None:
    """Remove every second step of USER: app, passkeys, recovery codes. For somebody who has lost them all.

    Be sure first who is asking: from then on the password alone opens the account, or the link of a new one. The user
    is told by mail, and their sessions end.
    """
    place = open_place(data, config)
    if not yes:
        click.confirm(f"Are you sure who {user} is?", abort=True)

    async def reset(services: app.Services) -> int:
        found = await find_user(services, user)
        return await services.steps.reset_for(found.id, None, LOCAL_OPERATOR)

    removed = with_services(place, reset)
    click.echo(f"Removed: {removed}. {user} signs in without a second step now, and should set one up again.")


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from", "kind", type=click.Choice(list(FORMATS)), required=True, help="What the file is.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would happen.")
@as_json
@places
def import_users(
    file: Path, kind: str, data: str | None, config: str | None, *, dry_run: bool, json_wanted: bool
) -> None:
    """Move users in from FILE, passwords intact. Importing again adds only what is missing.

    Every record that is refused is listed with all its reasons; the rest is imported.
    """
    refused: list[dict[str, Any]] = []

    def report(record: Refused) -> None:
        reasons = [{"field": error.field, "code": error.code, "detail": error.text} for error in record.errors]
        if json_wanted:
            refused.append({"legacy_id": record.legacy_id, "uid": record.uid, "errors": reasons})
        else:
            click.echo(f"refused  {record.legacy_id}  {record.uid}  {'; '.join(e['detail'] for e in reasons)}")

    async def run(services: app.Services) -> Totals:
        return await services.importer.import_users(read_source(kind, file), report, dry_run=dry_run)

    totals = with_services(open_place(data, config), run)
    if json_wanted:
        say_json({"dry_run": dry_run, "totals": asdict(totals), "refused": refused})
        return
    verb = "would be imported" if dry_run else "imported"
    click.echo(
        f"{totals.imported} {verb}, {totals.present} here already, {totals.refused} refused, "
        f"{totals.leftover} records that belong to no user"
    )
    if totals.undeclared:
        click.echo(f"Left out, because no field is declared for them: {', '.join(totals.undeclared)}")


@command.command("set-role")
@click.argument("user")
@click.argument("roles", nargs=-1)
@as_json
@places
def set_role(user: str, roles: Sequence[str], data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """Give a user exactly ROLES; none takes all away."""
    _check_roles(open_place(data, config).loaded.settings, roles)

    async def change(services: app.Services, found: User) -> User:
        return await services.users.set_roles(found.id, roles, None, LOCAL_OPERATOR)

    _act(data, config, user, change, json_wanted=json_wanted)


@command.command("disable")
@click.argument("user")
@as_json
@places
def disable(user: str, data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """End a user's sessions and let them in no more."""
    _set_status(data, config, user, "disabled", json_wanted=json_wanted)


@command.command("enable")
@click.argument("user")
@as_json
@places
def enable(user: str, data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """Let a disabled user in again."""
    _set_status(data, config, user, "active", json_wanted=json_wanted)


@command.command("restore")
@click.argument("user")
@as_json
@places
def restore(user: str, data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """Bring back a user who asked to be deleted and has not been erased yet."""

    async def change(services: app.Services, found: User) -> User:
        now = services.clock.now()
        return await services.db.write(lambda: services.users.restore(found.id, LOCAL_OPERATOR, now, by_owner=False))

    _act(data, config, user, change, json_wanted=json_wanted)


@command.command("flag-compromised")
@click.argument("user")
@as_json
@places
def flag_compromised(user: str, data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """End a user's sessions and let their password in no more: others know it.

    Whoever signs in with it is sent a link to choose another.
    """

    async def flag(services: app.Services, found: User) -> User:
        await services.recovery.flag_compromised(found.id, LOCAL_OPERATOR)
        return found

    _act(data, config, user, flag, json_wanted=json_wanted)


def _set_status(
    data: str | None, config: str | None, user: str, status: Literal["active", "disabled"], *, json_wanted: bool
) -> None:
    async def change(services: app.Services, found: User) -> User:
        return await services.users.set_status(found.id, status, None, LOCAL_OPERATOR)

    _act(data, config, user, change, json_wanted=json_wanted)


async def _nothing(_services: app.Services, user: User) -> User:
    return user


def _act(data: str | None, config: str | None, wanted: str, change: Change, *, json_wanted: bool) -> None:
    async def run(services: app.Services) -> dict[str, Any]:
        user = await change(services, await find_user(services, wanted))
        erased_at = await services.users.leaving(user.id)
        more = {} if erased_at is None else {"erased_at": to_rfc3339(erased_at)}
        return services.schema.visible(user, "admin") | more

    _say(with_services(open_place(data, config), run), json_wanted=json_wanted)


def _say(user: Mapping[str, Any], *, json_wanted: bool) -> None:
    if json_wanted:
        say_json(user)
    else:
        say_table([{"field": name, "value": value} for name, value in user.items()])


def _check_roles(settings: Settings, roles: Sequence[str]) -> None:
    known = (*BUILT_IN_ROLES, *settings.roles)
    for role in roles:
        if role not in known:
            raise click.UsageError(
                f'There is no role "{role}"; there are {", ".join(known)} (declare others in roles).'
            )


def _field(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f'"{text}" is not NAME=VALUE.')
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        # Only the line's end goes: spaces are a part of a password (C3).
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for the password on: use --password-stdin.")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password
