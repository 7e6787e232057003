"""Languages: catalogues compiled with gettext, the choice among them, and the direction they are written in."""

from collections.abc import Callable, Mapping, Sequence
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files

DOMAIN = "doorward"
SOURCE = "en"  # the language of the msgids
# What is shipped, in the order of the choice; each language in itself (WCAG 3.1.2).
NAMES: Mapping[str, str] = {SOURCE: "English", "de": "Deutsch", "es": "Español", "ar": "العربية"}
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})
_HEADER_LIMIT = 500  # characters of Accept-Language that are looked at

Gettext = Callable[[str], str]


class Catalogues:
    """The languages this installation speaks. English always, for it needs no catalogue."""

    def __init__(self, locales: Sequence[str] | None = None) -> None:
        """`locales`: which to offer, default all that are shipped. Raises ValueError for one that is not shipped."""
        unknown = set(locales or ()) - set(NAMES)
        if unknown:
            message = f"no translation for {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}"
            raise ValueError(message)
        self.codes = tuple(locales) if locales else tuple(NAMES)
        self._translations = {code: _load(code) for code in self.codes}

    def gettext(self, locale: str) -> Gettext:
        """Translate sentences, to English when we do not speak `locale`.

        The empty msgid stays empty: gettext would answer with the catalogue's header.
        """
        translate = (self._translations.get(locale) or NullTranslations()).gettext
        return lambda msgid: translate(msgid) if msgid else ""

    def negotiate(self, accept_language: str | None, chosen: str | None) -> str:
        """The visitor's choice, else the best match for Accept-Language (RFC 4647 §3.4 lookup), else the first."""
        if chosen in self.codes:
            return chosen
        for language_range in _ranges(accept_language or ""):
            subtags = language_range.split("-")
            for length in range(len(subtags), 0, -1):
                candidate = "-".join(subtags[:length])
                for code in self.codes:
                    if code.lower() == candidate:
                        return code
        return self.codes[0]


def direction(locale: str) -> str:
    """The value of the HTML attribute `dir`."""
    return "rtl" if locale.partition("-")[0] in RIGHT_TO_LEFT else "ltr"


def _load(code: str) -> NullTranslations:
    if code == SOURCE:
        return NullTranslations()
    catalogue = files("doorward").joinpath("locale", code, "LC_MESSAGES", f"{DOMAIN}.mo")
    with catalogue.open("rb") as file:
        return GNUTranslations(file)


def _ranges(accept_language: str) -> list[str]:
    """Language ranges, most wanted first; what cannot be read is left out (RFC 9110 §12.5.4)."""
    weighted: list[tuple[float, str]] = []
    for part in accept_language[:_HEADER_LIMIT].split(","):
        language_range, _, quality = part.replace(" ", "").lower().partition(";q=")
        try:
            weight = float(quality or "1")
        except ValueError:
            continue
        if 0 < weight <= 1 and language_range:
            weighted.append((weight, language_range))
    return [language_range for _, language_range in sorted(weighted, key=lambda pair: -pair[0])]
