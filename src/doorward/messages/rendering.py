"""Messages in words: the templates of `mails/`, or an operator's in their place, in the recipient's language.

A mail has two templates: NAME.txt, whose first line is the subject and whose second line is empty, and NAME.html. A
text message has NAME.sms. A name that a template uses and nobody gave is an error, never an empty string. Templates run
in a sandbox: who may write a mail need not be who runs the server.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files
from itertools import product
from pathlib import Path
from traceback import extract_tb
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from jinja2 import FileSystemLoader, StrictUndefined, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.msgid import msgid
from doorward.kernel.startup import StartRefused
from doorward.messages.addressing import greetable, isolated, one_line
from doorward.messages.model import MAILS, TEXTS, Values
from doorward.ports.mailer import InlineImage
from doorward.web.pages import MONTHS, filled
from doorward.web.translations import Catalogues, direction

LOGO_BYTES: Final = 100_000
LOGO_CID: Final = "logo"
SUBJECT_LONGEST: Final = 120  # characters
_FORMATS: Final[Sequence[tuple[bytes, Literal["png", "jpeg"]]]] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
)
# What others typed or what is not in every language; they may run the other way than the sentence around them.
_TYPED: Final = frozenset({"name", "label", "new_email", "kind", "device", "address", "place", "number", "app"})
_GREETED: Final = frozenset({"name", "label"})  # a thief may choose them, to have us carry a message
_SAID: Final = frozenset({"kind", "device"})  # may be sentences of ours
# Values of which a mail must show one, because nobody can go on without; the others only tell something.
_NEEDED: Final[Mapping[str, Sequence[str]]] = {
    "confirm_sign_up": ("link", "code"),
    "confirm_email": ("link", "code"),
    "email_changed": ("link",),
    "recovery": ("link",),
    "password_changed": ("link",),
    "phone_changed": ("link",),
    "new_device": ("link",),
    "factor_added": ("link",),
    "factor_removed": ("link",),
    "factor_failed": ("link",),
    "factors_reset": ("link",),
    "recovery_codes_made": ("link",),
    "recovery_code_used": ("link",),
    "app_ended": ("link",),
    "api_key_created": ("link",),
    "api_key_rotated": ("link",),
    "account_reported": ("link",),
    "sign_in_link": ("link", "code"),
    "password_compromised": ("link",),
    "invitation": ("link",),
}
_TAG = re.compile(r"<[^>]*>")
_EMPTY_LINES = re.compile(r"\n{3,}")

Say: TypeAlias = Callable[..., str]


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail in words."""

    subject: str  # one line
    text: str
    html: str
    images: Sequence[InlineImage] = ()


class Renderer:
    """Fills templates."""

    def __init__(
        self,
        public_url: str,
        site_name: str,
        support: str = "",
        logo: Path | None = None,
        overrides: Path | None = None,
    ) -> None:
        """`public_url`: begins every link (C23). `overrides`: a folder whose files replace ours of the same name."""
        self._public_url = public_url
        self._logo = logo
        self._overrides = overrides
        self._catalogues = Catalogues()
        self._ours = Path(str(files("doorward.messages").joinpath("mails")))
        self._environment = SandboxedEnvironment(
            loader=FileSystemLoader([self._ours] if overrides is None else [overrides, self._ours]),
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            site_name=site_name, support=support, host=urlsplit(public_url).hostname or "", has_logo=logo is not None
        )

    @property
    def locales(self) -> Sequence[str]:
        """Codes of the languages that messages are written in, the default first."""
        return self._catalogues.codes

    def mail(self, template: str, locale: str | None, values: Values) -> RenderedMail:
        """The mail `template` of `MAILS`, in `locale` or, where we do not speak that, in English."""
        plain = _tidy(self._render(f"{template}.txt", locale, values))
        subject, _, text = plain.partition("\n")
        subject = one_line(subject, SUBJECT_LONGEST)
        html = self._render(f"{template}.html", locale, values, subject=subject)
        return RenderedMail(subject, text.lstrip("\n"), html, self._images)

    def text(self, template: str, locale: str | None, values: Values) -> str:
        """The text message `template` of `TEXTS`; its last line binds the code to our host."""
        return _tidy(self._render(f"{template}.sms", locale, values)).rstrip("\n")

    def check(self) -> None:
        """Look at the operator's logo and templates. Raises StartRefused naming file and line.

        Ours have been tested; only what takes their place is rendered, with samples, in every language.
        """
        _ = self._images
        if self._overrides is None:
            return
        if not self._overrides.is_dir():
            raise StartRefused(f"[mail] templates: {self._overrides} is no folder")
        given = {path.name for path in self._overrides.iterdir() if not path.name.startswith(".")}
        known = {path.name for path in self._ours.iterdir()}
        if unknown := sorted(given - known):
            names = ", ".join(sorted(known))
            raise StartRefused(f"{self._overrides / unknown[0]} replaces no template of ours; there are {names}")
        for name, locale in product(_to_check(given), self.locales):
            self._check_one(name, locale)

    def _check_one(self, name: str, locale: str) -> None:
        try:
            if name in MAILS:
                fault = self._fault_of_mail(name, self.mail(name, locale, MAILS[name]))
            else:
                fault = self._fault_of_text(name, self.text(name, locale, TEXTS[name]))
        except Exception as error:
            place = self._place(error)
            if place is None:
                raise
            raise StartRefused(f"{place}: {str(error) or type(error).__name__}") from error
        if fault is not None:
            raise StartRefused(f"{self._overrides}, template {name}: {fault}")

    def _fault_of_mail(self, name: str, mail: RenderedMail) -> str | None:
        if not mail.subject or not mail.text:
            return "the first line of the .txt file is the subject, the second one empty, the rest the mail"
        values = self._values(self.locales[0], MAILS[name], is_html=False)
        needed = [str(values[key]) for key in _NEEDED.get(name, ())]
        bare = _TAG.sub("", mail.html)
        if needed and not all(any(one in text for one in needed) for text in (mail.text, f"{mail.html}{bare}")):
            return f"neither the .txt nor the .html file may lack {' and '.join(_NEEDED[name])}"
        return None

    def _fault_of_text(self, name: str, text: str) -> str | None:
        if "code" not in TEXTS[name]:
            return None
        last = f"@{self._environment.globals['host']} #{TEXTS[name]['code']}"
        return None if text.rpartition("\n")[2] == last else "the last line must be @{{ host }} #{{ code }}"

    def _place(self, error: Exception) -> str | None:
        """File and line where a template of the operator's is wrong; None when it is not theirs."""
        if isinstance(error, TemplateSyntaxError):
            return f"{error.filename}:{error.lineno}"
        lines = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).parent == self._overrides]
        return f"{lines[-1].filename}:{lines[-1].lineno}" if lines else None

    def _render(self, name: str, locale: str | None, values: Values, **more: str) -> str:
        code = locale if locale is not None and locale in self.locales else self.locales[0]
        is_html = name.endswith(".html")
        say = self._say(code, is_html=is_html)
        words: Mapping[str, Any] = {"_": say, "locale": code, "direction": direction(code)}
        own = self._values(code, values, is_html=is_html)
        return self._environment.get_template(name).render({**own, **words, **more})

    def _say(self, locale: str, *, is_html: bool) -> Say:
        gettext = self._catalogues.gettext(locale)

        def say(text: str, /, **params: Any) -> str:  # noqa: ANN401  anything that has a text
            found = filled(gettext(text), params)
            return found if is_html else found.unescape()  # filled() escapes everything, so nothing else is undone

        return say

    def _values(self, locale: str, values: Values, *, is_html: bool) -> dict[str, Any]:
        """What a template is filled with, fit for its kind."""
        say = self._say(locale, is_html=False)
        found: dict[str, Any] = {}
        for name, value in values.items():
            if name == "path" or name.endswith("_path"):
                found[f"{name.removesuffix('path')}link"] = f"{self._public_url}{value}"
            elif name.endswith("_at") and isinstance(value, int):
                found[name] = _in_words(value, say)
            elif name in _TYPED:
                shown = _typed(name, value, say)
                found[name] = _apart(shown, direction(locale), is_html=is_html)
            else:
                found[name] = one_line(value) if isinstance(value, str) else value
        return found

    @cached_property
    def _images(self) -> Sequence[InlineImage]:
        """The operator's logo. Raises StartRefused when it is none."""
        if self._logo is None:
            return ()
        try:
            content = self._logo.read_bytes()
        except OSError as error:
            raise StartRefused(f"[site] logo: {self._logo} cannot be read ({error.strerror})") from error
        if len(content) > LOGO_BYTES:
            raise StartRefused(f"[site] logo: {self._logo} has {len(content):,} bytes; at most {LOGO_BYTES:,} are sent")
        for mark, subtype in _FORMATS:
            if content.startswith(mark):
                return (InlineImage(LOGO_CID, subtype, content),)
        raise StartRefused(f"[site] logo: {self._logo} is neither PNG nor JPEG")


def _to_check(given: set[str]) -> Iterator[str]:
    """The templates that one of the files `given` takes part in."""
    everything = (*MAILS, *TEXTS)
    stems = {name.partition(".")[0] for name in given}
    yield from (name for name in everything if name in stems or stems - set(everything))


def _typed(name: str, value: str | int | None, say: Say) -> str:
    text = one_line("" if value is None else str(value))
    if name in _GREETED:
        return greetable(text)
    return say(text) if name in _SAID else text


def _apart(text: str, way: str, *, is_html: bool) -> str:
    """Keep a text that may run the other way from turning round what stands beside it (UAX #9)."""
    if is_html:
        return Markup("<bdi>{}</bdi>").format(text) if text else ""
    return isolated(text) if way == "rtl" and text else text


def _in_words(at: Instant, say: Say) -> str:
    when = datetime.fromtimestamp(at // SECOND, UTC)
    return say(
        msgid("%(day)s %(month)s %(year)s, %(time)s UTC"),
        day=when.day,
        month=say(MONTHS[when.month - 1]),
        year=when.year,
        time=f"{when:%H:%M}",
    )


def _tidy(text: str) -> str:
    """Lines without blanks at their ends, and never two empty ones: what blocks leave behind."""
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return _EMPTY_LINES.sub("\n\n", lines) + "\n"
