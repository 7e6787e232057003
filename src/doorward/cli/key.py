"""doorward key."""

import sys
from dataclasses import asdict
from typing import Any, TypeAlias

import click

from doorward import app
from doorward.cli import FAILED
from doorward.cli.common import as_json, open_place, places, say_json, say_table, with_services
from doorward.kernel.instant import to_rfc3339
from doorward.sealing import Begun, Forgotten, Prepared, Rotated, StillNeeded
from doorward.tokens import ALGORITHMS

Outcome: TypeAlias = Prepared | Rotated | Forgotten | StillNeeded

_WORDS = {Prepared: "prepared", Rotated: "rotated", Forgotten: "forgotten", StillNeeded: "not finished"}
_SHOWN_UNOPENED = 20


@click.group("key")
def command() -> None:
    """List keys, and replace the one that seals secrets."""


@command.command("list")
@as_json
@places
def list_keys(data: str | None, config: str | None, *, json_wanted: bool) -> None:
    """List keys by their ids.

    Of the keys that seal secrets in the database, the one that seals now, older ones that only open, a newer one that
    is prepared, and those that are missing here; each with the number of values that are sealed under it.
    """

    async def find(services: app.Services) -> dict[str, list[dict[str, Any]]]:
        await services.keys.ready()
        active = services.keys.signing_kids
        signing = [
            {"kid": key.kid, "alg": key.alg, "signs": key.kid in active, "from": _instant(key.active_from),
             "until": _instant(key.retired_at)}
            for key in services.keys.loaded
        ]  # fmt: skip
        sealing = [
            {"id": key.id, "standing": key.standing, "values": key.values} for key in await services.sealing.keys()
        ]
        return {"signing": signing, "sealing": sealing}

    found = with_services(open_place(data, config), find)
    if json_wanted:
        say_json(found)
        return
    click.echo("Keys that sign tokens")
    say_table(found["signing"])
    click.echo("\nKeys that seal secrets")
    say_table(found["sealing"])


@command.command("rotate")
@click.option("--alg", type=click.Choice(ALGORITHMS), help="Only keys of this algorithm.  [default: all in use]")
@as_json
@places
def rotate(data: str | None, config: str | None, alg: str | None, *, json_wanted: bool) -> None:
    """Begin to replace the keys that sign tokens, before their time; servers do it by themselves.

    The new key is published at once and signs a day later, when everybody has read it. The old one is believed until
    its last token has expired.
    """

    async def act(services: app.Services) -> list[dict[str, Any]]:
        await services.keys.ready()
        begun = [await services.keys.rotate(one) for one in ([alg] if alg else ALGORITHMS)]
        return [{"kid": key.kid, "alg": key.alg, "from": _instant(key.active_from)} for key in begun if key is not None]

    found = with_services(open_place(data, config), act)
    if json_wanted:
        say_json(found)
    elif found:
        say_table(found)
    else:
        click.echo("Nothing to begin: there is no such key, or the next one is published already.")


def _instant(at: int | None) -> str | None:
    return to_rfc3339(at) if at else None


@command.command("rotate-sealing")
@click.option("--prepare", is_flag=True, help="Only make the key, to copy it to other machines before it seals.")
@click.option("--forget-old", is_flag=True, help="Drop the old keys, now that nothing is sealed under them.")
@as_json
@places
def rotate_sealing(data: str | None, config: str | None, *, prepare: bool, forget_old: bool, json_wanted: bool) -> None:
    """Seal everything in the database under a new key, while servers run.

    With SQLite one run does all of it. With PostgreSQL the first run only makes the key, for other machines must have
    it before it seals; the second does the rest. An interrupted run is continued by the next. Status 1 when something
    is left to do.
    """
    if prepare and forget_old:
        raise click.UsageError("Choose one of --prepare and --forget-old.")
    place = open_place(data, config)
    alone = place.loaded.settings.database.url is None

    async def act(services: app.Services) -> tuple[Outcome, str]:
        sealing = services.sealing
        if prepare:
            return await sealing.prepare(), sealing.ring.place
        if forget_old:
            return await sealing.forget_old(), sealing.ring.place
        begun = await sealing.begin(alone=alone)
        if isinstance(begun, Prepared):
            return begun, sealing.ring.place
        if not json_wanted:
            _tell_begun(begun)
        return await sealing.seal_anew(begun), sealing.ring.place

    outcome, keys = with_services(place, act)
    if json_wanted:
        say_json({"outcome": _WORDS[type(outcome)], **asdict(outcome)})
    else:
        _tell(outcome, keys)
    if isinstance(outcome, StillNeeded) or (isinstance(outcome, Rotated) and outcome.unopened):
        sys.exit(FAILED)


def _tell(outcome: Outcome, keys: str) -> None:
    match outcome:
        case Prepared():
            _tell_prepared(outcome, keys)
        case Rotated():
            _tell_rotated(outcome, keys)
        case Forgotten():
            _tell_forgotten(outcome, keys)
        case StillNeeded(values):
            click.echo(
                f"Not finished. Values under another key than the one that seals now: {values}\n"
                "Run: doorward key rotate-sealing\n"
                "If that does not help, a server lacks this key and uses the old one.",
                err=True,
            )


def _tell_prepared(prepared: Prepared, keys: str) -> None:
    click.echo(f"The key {prepared.key_id} is in {keys}. It opens, and does not seal yet.")
    click.echo(
        "\nNext:\n"
        "  1. Give every other machine that uses this database a copy: mode 0600, the owner as before.\n"
        "     Running servers take it over within a second.\n"
        "  2. Back it up, apart from the database.\n"
        "  3. Here: doorward key rotate-sealing"
    )


def _tell_begun(begun: Begun) -> None:
    if begun.resumed:
        click.echo(f"Going on with the rotation to {begun.key_id} that was interrupted.")
    else:
        click.echo(f"The key {begun.key_id} seals from now on, in the place of {begun.former}.")
    click.echo("Sealing everything anew ...")


def _tell_rotated(rotated: Rotated, keys: str) -> None:
    say_table([{"table": table, "values": values} for table, values in sorted(rotated.values.items())])
    if rotated.unopened:
        click.echo(f"Open under no key here, and left as they are: {len(rotated.unopened)}", err=True)
        for row in rotated.unopened[:_SHOWN_UNOPENED]:
            click.echo(f"  {row}", err=True)
    click.echo(f"Done. Nothing else is sealed under {rotated.former}." if rotated.unopened else "Done.")
    click.echo(
        f"\nNext:\n"
        f"  1. Back up {keys}, apart from the database.\n"
        "  2. Backups of the database from before open with the old key only. When you need none of them any more,\n"
        "     or at once if somebody else may have the old key: doorward key rotate-sealing --forget-old"
    )


def _tell_forgotten(forgotten: Forgotten, keys: str) -> None:
    if not forgotten.key_ids:
        click.echo("There is no old key.")
        return
    click.echo(f"Dropped from {keys}: {', '.join(forgotten.key_ids)}.")
    click.echo("Other machines that use this database need a copy again.")
