"""doorward mail."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from doorward import app
from doorward.cli import FAILED
from doorward.cli.common import as_json, open_place, places, say_json, say_table, with_services
from doorward.kernel.instant import to_rfc3339
from doorward.kernel.startup import StartRefused
from doorward.kernel.text import is_plausible_email
from doorward.messages import MAILS, TEXTS, Message, MessageState
from doorward.ports.delivery import Deferred, Rejected

_STATES = ("queued", "sent", "failed")


@click.group("mail")
def command() -> None:
    """Look at mails and text messages: how they read, whether they leave, what waits and what failed."""


@command.command("preview")
@click.argument("template", type=click.Choice([*MAILS, *TEXTS]), metavar="TEMPLATE")
@click.option("--locale", metavar="LANGUAGE", help="Such as de.  [default: en]")
@click.option("--html", "html_wanted", is_flag=True, help="Show the HTML instead of the text.")
@places
def preview(template: str, locale: str | None, data: str | None, config: str | None, *, html_wanted: bool) -> None:
    """Show a message filled with samples. An unknown TEMPLATE lists those there are."""
    renderer = app.message_renderer(open_place(data, config).loaded.settings)
    renderer.check()
    if template in TEXTS:
        click.echo(renderer.text(template, locale, TEXTS[template]))
        return
    mail = renderer.mail(template, locale, MAILS[template])
    click.echo(mail.html if html_wanted else f"Subject: {mail.subject}\n\n{mail.text}")


@command.command("test")
@click.argument("address")
@places
def test(address: str, data: str | None, config: str | None) -> None:
    """Send a mail to ADDRESS now, and say what the mail server says; status 1 when it does not take it."""
    if not is_plausible_email(address):
        raise click.UsageError(f'"{address}" is not an e-mail address.')
    place = open_place(data, config)
    if place.loaded.settings.mail.url is None:
        raise StartRefused("There is no mail server: set url and from in [mail].")

    async def send(services: app.Services) -> str | None:
        try:
            values = {"happened_at": services.clock.now()}
            await services.delivery.send_now("mail", "test", address, None, values)
        except Deferred as refusal:
            return f"Not sent, and would be tried again: {refusal.reason}"
        except Rejected as refusal:
            return f"Not sent, and would be given up: {refusal.reason}"
        return None

    failure = with_services(place, send)
    if failure is not None:
        click.echo(failure, err=True)
        sys.exit(FAILED)
    click.echo(f"The mail server took the mail to {address}. Whether it arrives shows in the mailbox.")


@command.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@as_json
@places
def list_messages(
    data: str | None, config: str | None, state: MessageState | None, *, lines: int, json_wanted: bool
) -> None:
    """List messages, the newest first: to whom, what became of them, and why. Never what they say."""

    async def find(services: app.Services) -> Sequence[Message]:
        return await services.delivery.find(state, lines)

    found = [_shown(one) for one in with_services(open_place(data, config), find)]
    (say_json if json_wanted else say_table)(found)


@command.command("retry")
@click.argument("message_id", metavar="[ID]", required=False)
@click.option("--all-failed", is_flag=True, help="Every message that was given up and is still of use.")
@as_json
@places
def retry(message_id: str | None, data: str | None, config: str | None, *, all_failed: bool, json_wanted: bool) -> None:
    """Have a message tried again now: one that was given up, or that waits for its next turn."""
    if (message_id is None) is not all_failed:
        raise click.UsageError("Name a message, or --all-failed.")

    async def again(services: app.Services) -> list[str]:
        return await services.delivery.retry(message_id)

    queued = with_services(open_place(data, config), again)
    if json_wanted:
        say_json({"queued": queued})
    else:
        click.echo(f"{len(queued)} queued again; the running server sends them.")
    if message_id is not None and not queued:
        click.echo("There is no such message, or it is over, or it is just being sent.", err=True)
        sys.exit(FAILED)


def _shown(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "kind": message.kind,
        "template": message.template,
        "recipient": message.recipient,
        "state": message.state,
        "attempts": message.attempts,
        "created_at": to_rfc3339(message.created_at),
        "due_at": to_rfc3339(message.due_at) if message.state == "queued" else None,
        "done_at": None if message.done_at is None else to_rfc3339(message.done_at),
        "error": message.error,
    }
