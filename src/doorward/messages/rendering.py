"""Messages in words: templates, ours or the operator's, filled in the reader's language.

A mail is two files, `<name>.txt` (its first line is the subject) and `<name>.html`; a text message is `<name>.sms`.
They take what messages/model.py lists and a few words more (`Renderer`). Every link begins with public_url, never with
a Host (C23); nothing is fetched from anywhere when a mail is read.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.msgid import msgid
from doorward.kernel.startup import StartRefused
from doorward.messages.model import MAILS, TEXTS, Values
from doorward.ports.mailer import InlineImage
from doorward.web.pages import MONTHS, filled
from doorward.web.translations import Catalogues, Gettext, direction

LOGO_BYTES: Final = 100_000
LOGO_CID: Final = "logo"
_SUBJECT: Final = "Subject: "
_LONGEST_VALUE: Final = 320
_LONGEST_NAME: Final = 60
# What a mail program would make a link of, or take for an address.
_LINK_LIKE: Final = re.compile(r"[/\\@<>]|\.\S|www|https?", re.IGNORECASE)
_BREAKS: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_MAGIC: Final = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
_PARTS: Final = frozenset({"layout.html", "parts.html", "parts.txt"})  # what ours are made of; may be replaced, too


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail in words."""

    subject: str
    text: str
    html: str
    images: Sequence[InlineImage] = ()


@dataclass(slots=True)
class Renderer:
    """Fills templates. `logo`: a PNG or JPEG file; `overrides`: a folder of templates that replace ours.

    Besides its values a template has site_name, support, site_url, locale, direction, logo (a cid or None), `_` to
    translate, and `moment` to write an instant in words.
    """

    public_url: str
    site_name: str
    support: str = ""
    logo: Path | None = None
    overrides: Path | None = None
    _catalogues: Catalogues = field(default_factory=Catalogues, init=False)
    _html: Environment = field(init=False)
    _plain: Environment = field(init=False)
    _images: Sequence[InlineImage] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """Open the templates. Raises StartRefused for a logo or a folder that cannot be used."""
        self._html = self._environment(autoescape=True)
        self._plain = self._environment(autoescape=False)
        self._images = () if self.logo is None else (_read_logo(self.logo),)

    def mail(self, template: str, locale: str | None, values: Values) -> RenderedMail:
        """The mail of a template. `locale` falls back to English."""
        subject, _, text = self._fill(self._plain, f"{template}.txt", locale, values).partition("\n")
        if not subject.startswith(_SUBJECT):
            raise TemplateError(f'{template}.txt must begin with "{_SUBJECT}"')
        html = self._fill(self._html, f"{template}.html", locale, values)
        return RenderedMail(_one_line(subject.removeprefix(_SUBJECT)), text.strip() + "\n", html, self._images)

    def text(self, template: str, locale: str | None, values: Values) -> str:
        """The text message of a template; its last line ties the code to our host (@host #code)."""
        return self._fill(self._plain, f"{template}.sms", locale, values).strip()

    def check(self) -> None:
        """Fill the operator's templates in every language. Raises StartRefused naming file and line."""
        for name in self._overridden():
            stem, _, suffix = name.rpartition(".")
            known = (MAILS if suffix in {"txt", "html"} else TEXTS if suffix == "sms" else {}).keys()
            if stem not in known and name not in _PARTS:
                raise StartRefused(f"[mail] templates: there is no template {name}; see docs/mail-templates.md.")
        if self.overrides is None:
            return
        for template, values in (*MAILS.items(), *TEXTS.items()):
            for locale in self._catalogues.codes:
                self._check_one(template, locale, values)

    def _check_one(self, template: str, locale: str, values: Values) -> None:
        try:
            (self.mail if template in MAILS else self.text)(template, locale, values)
        except TemplateSyntaxError as error:
            raise StartRefused(f"[mail] templates: {error.filename}, line {error.lineno}: {error.message}") from error
        except TemplateError as error:
            raise StartRefused(f"[mail] templates: {template}: {error.message}") from error

    def _overridden(self) -> list[str]:
        if self.overrides is None:
            return []
        if not self.overrides.is_dir():
            raise StartRefused(f"[mail] templates: {self.overrides} is no folder.")
        return sorted(entry.name for entry in self.overrides.iterdir() if not entry.name.startswith("."))

    def _environment(self, *, autoescape: bool) -> Environment:
        ours = FileSystemLoader(str(files(__package__).joinpath("mails")))
        loaders = [ours] if self.overrides is None else [FileSystemLoader(self.overrides), ours]
        environment = SandboxedEnvironment(
            loader=ChoiceLoader(loaders),
            autoescape=autoescape,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(
            site_name=_one_line(self.site_name),
            support=_one_line(self.support),
            site_url=self.public_url,
            site_host=urlsplit(self.public_url).hostname or "",
            logo=None if self.logo is None else LOGO_CID,
            grouped=_grouped,
        )
        return environment

    def _fill(self, environment: Environment, name: str, locale: str | None, values: Values) -> str:
        code = locale if locale in self._catalogues.codes else self._catalogues.codes[0]
        gettext = self._catalogues.gettext(code)
        say = _says(gettext) if environment is self._html else _says_plainly(gettext)
        words = {"_": say, "moment": _moment(say), "locale": code, "direction": direction(code)}
        return environment.get_template(name).render({**words, **self._shown(values)})

    def _shown(self, values: Values) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, value in values.items():
            if name == "path" or name.endswith("_path"):
                shown[name.replace("path", "link")] = f"{self.public_url}{value}"
            elif name == "name":
                shown[name] = safe_name(str(value or ""))
            else:
                shown[name] = _one_line(value)[:_LONGEST_VALUE] if isinstance(value, str) else value
        return shown


def safe_name(name: str) -> str:
    """A name for a greeting, or nothing where it could pass for a link or a message of its own.

    Whoever signs up with somebody else's address chooses what we call them in our mail to it.
    """
    plain = _one_line(name)
    return "" if len(plain) > _LONGEST_NAME or _LINK_LIKE.search(plain) else plain


def samples() -> Iterator[tuple[str, Values]]:
    """Every template with values to show it by."""
    yield from MAILS.items()
    yield from TEXTS.items()


def _one_line(text: str) -> str:
    return _BREAKS.sub(" ", text).strip()


def _grouped(code: str) -> str:
    middle = (len(code) + 1) // 2
    return f"{code[:middle]} {code[middle:]}"


def _says(gettext: Gettext) -> Callable[..., Markup]:
    def say(text: str, /, **params: Any) -> Markup:  # noqa: ANN401  anything that has a text
        return filled(gettext(text), params)

    return say


def _says_plainly(gettext: Gettext) -> Callable[..., str]:
    def say(text: str, /, **params: Any) -> str:  # noqa: ANN401  as above
        return gettext(text) % params if params else gettext(text)

    return say


def _moment(say: Callable[..., str]) -> Callable[[Instant], str]:
    """Write instants in UTC: nobody knows where a mail is read."""

    def moment(at: Instant) -> str:
        when = datetime.fromtimestamp(at // SECOND, UTC)
        month: Mapping[str, Any] = {"month": say(MONTHS[when.month - 1])}
        text = msgid("%(day)s %(month)s %(year)s, %(time)s UTC")
        return say(text, day=when.day, year=when.year, time=f"{when:%H:%M}", **month)

    return moment


def _read_logo(path: Path) -> InlineImage:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StartRefused(f"[site] logo: {path} cannot be read: {error.strerror}.") from error
    if len(content) > LOGO_BYTES:
        raise StartRefused(f"[site] logo: {path} has more than {LOGO_BYTES} bytes, which every mail would carry.")
    if content.startswith(_MAGIC["png"]):
        return InlineImage(LOGO_CID, "png", content)
    if content.startswith(_MAGIC["jpeg"]):
        return InlineImage(LOGO_CID, "jpeg", content)
    raise StartRefused(f"[site] logo: {path} is neither PNG nor JPEG.")
