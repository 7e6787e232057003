"""Pages: the templates of every room, in the visitor's language and theme.

Templates lie in the `pages/` folder of the room that shows them and are found by their file name alone. They are all
compiled when the server starts, so that a broken one is found then. A name that a template uses and nobody gave is an
error, never an empty string.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from types import CodeType
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from doorward.kernel.instant import SECOND, Instant, to_rfc3339
from doorward.kernel.msgid import msgid
from doorward.web.assets import load_assets
from doorward.web.reference import reference
from doorward.web.translations import NAMES, Catalogues, Gettext, direction

THEMES = ("system", "light", "dark")
MONTHS = (
    msgid("January"),
    msgid("February"),
    msgid("March"),
    msgid("April"),
    msgid("May"),
    msgid("June"),
    msgid("July"),
    msgid("August"),
    msgid("September"),
    msgid("October"),
    msgid("November"),
    msgid("December"),
)
# What most pages lack; a page that has it says so.
_ABSENT: Mapping[str, Any] = {"errors": (), "notice": None, "retry_after_seconds": None, "retry_at": None, "here": None,
    "unconfirmed": None, "no_way_back": None, "phones": False, "giving_up": None}  # fmt: skip
_PLACE = re.compile(r"%\((\w+)\)s|%%")


class _Compiled(BytecodeCache):
    """What templates compile to, kept for the process: the next application in it starts in a fraction of the time."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Find what a template of this name and text compiled to."""
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it."""
        if bucket.code is not None:
            self._codes[bucket.key, bucket.checksum] = bucket.code


_COMPILED = _Compiled()


class Pages:
    """Renders pages and owns the files they need."""

    def __init__(
        self, site_name: str, *, locales: Sequence[str] | None = None, support: str = "",
        directory: str = "members", mailbox: bool = False,
    ) -> None:  # fmt: skip
        """`support`: an address or a sentence for the footer. `directory`: who sees the members' page.

        `mailbox`: whether messages are shown under /dev/mail.
        """
        self._catalogues = Catalogues(locales)
        self._assets = load_assets()
        environment = Environment(
            loader=FileSystemLoader(template_folders()),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            bytecode_cache=_COMPILED,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(
            site_name=site_name,
            support=support,
            directory=directory,
            mailbox=mailbox,
            asset=self._assets.__getitem__,
            reference=reference,
            languages=[(code, NAMES[code]) for code in self._catalogues.codes],
        )
        self._templates: Mapping[str, Template] = {
            name: environment.get_template(name) for name in environment.list_templates(extensions=["html"])
        }
        self._words = {code: _words(self._catalogues, code) for code in self._catalogues.codes}

    @property
    def locales(self) -> Sequence[str]:
        """Codes of the languages on offer, the default first."""
        return self._catalogues.codes

    def render(
        self,
        template: str,
        *,
        locale: str,
        theme: str,
        user: Mapping[str, Any] | None,
        csrf_token: str,
        path: str,
        **context: Any,  # noqa: ANN401  templates take what they name
    ) -> bytes:
        """Render a page as UTF-8. `locale` and `theme` fall back to the defaults when they are not ours."""
        words = self._words.get(locale) or self._words[self.locales[0]]
        own = {"theme": theme if theme in THEMES else "system", "user": user, "csrf_token": csrf_token, "path": path}
        return self._templates[template].render({**_ABSENT, **context, **words, **own}).encode()

    def gettext_for(self, locale: str) -> Gettext:
        """The function that translates a msgid; places like %(name)s stay as they are."""
        return self._catalogues.gettext(locale)

    def negotiate(self, accept_language: str | None, chosen: str | None) -> str:
        """The language for a visitor: the one chosen (a cookie), else by Accept-Language, else the default."""
        return self._catalogues.negotiate(accept_language, chosen)

    def static_files(self) -> Mapping[str, tuple[str, bytes]]:
        """Every static file by its address, /static/doorward.<hash>.css: media type and body, which never change."""
        return {asset.url: (asset.media_type, asset.body) for asset in self._assets.values()}


def template_folders() -> Sequence[Path]:
    """The `pages/` folder of every room. Raises ValueError when two rooms use one file name."""
    folders = sorted(Path(str(files("doorward"))).glob("*/pages"))
    names = [template.name for folder in folders for template in folder.glob("*.html")]
    if len(set(names)) < len(names):
        message = f"two rooms have a template of the same name: {sorted(n for n in names if names.count(n) > 1)}"
        raise ValueError(message)
    return folders


def _words(catalogues: Catalogues, locale: str) -> Mapping[str, Any]:
    """What a template needs to speak one language."""
    gettext = catalogues.gettext(locale)

    def say(text: str, /, **params: Any) -> Markup:  # noqa: ANN401  anything that has a text
        return filled(gettext(text), params)

    return {
        "_": say,
        "moment": _moment(say),
        "locale": locale,
        "direction": direction(locale),
    }


def filled(text: str, params: Mapping[str, Any]) -> Markup:
    """Escape a sentence and put `params`, escaped too, in its %(name)s places.

    Unlike the % operator it never fails: labels and hints come from an operator's file and may hold a lone "%".
    """
    safe = escape(text)
    if not params:
        return safe
    return Markup(_PLACE.sub(lambda place: _put(place, params), str(safe)))  # noqa: S704  every part is escaped


def _put(place: re.Match[str], params: Mapping[str, Any]) -> str:
    name = place[1]
    if name is None:
        return "%"
    return str(escape(params[name])) if name in params else place[0]


def _moment(say: Callable[..., Markup]) -> Callable[[Instant], Markup]:
    """Write instants as <time>: in UTC, until the page's script tells them in the reader's own time."""

    def moment(at: Instant) -> Markup:
        when = datetime.fromtimestamp(at // SECOND, UTC)
        text = say(
            msgid("%(day)s %(month)s %(year)s, %(time)s UTC"),
            day=when.day,
            month=say(MONTHS[when.month - 1]),
            year=when.year,
            time=f"{when:%H:%M}",
        )
        return Markup('<time datetime="{}">{}</time>').format(to_rfc3339(at), text)

    return moment
