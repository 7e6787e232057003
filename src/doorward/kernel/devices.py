"""A browser's User-Agent in words people know (UX-51). Only words of this file are said; what was sent never is.

A list of our own: it has to tell a person's devices apart, and a parser of everything that was ever sold would be more
code, and more regular expressions over hostile text, than the rest of the room.
"""

from collections.abc import Sequence
from typing import Final

from doorward.kernel.msgid import msgid

_A_BROWSER: Final = msgid("A browser")
_A_PROGRAM: Final = msgid("A program")

_Marks = Sequence[tuple[str, str]]  # the first that is found wins

_PROGRAMS: Final[_Marks] = (  # at the beginning
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("HTTPie/", "HTTPie"),
    ("PostmanRuntime/", "Postman"),
    ("insomnia/", "Insomnia"),
    ("python-requests/", "Python"),
    ("python-httpx/", "Python"),
    ("Python-urllib/", "Python"),
    ("Python/", "Python"),  # aiohttp
    ("Go-http-client/", "Go"),
    ("node", "Node.js"),
    ("undici", "Node.js"),
    ("axios/", "Node.js"),
    ("Java/", "Java"),
    ("Java-http-client/", "Java"),
    ("Apache-HttpClient/", "Java"),
    ("okhttp/", "Java"),
    ("GuzzleHttp/", "PHP"),
    ("Ruby", "Ruby"),
    ("PowerShell/", "PowerShell"),
)
_BROWSERS: Final[_Marks] = (  # most also claim to be Chrome or Safari, so these come last
    ("WindowsPowerShell/", "PowerShell"),
    ("Electron/", _A_PROGRAM),
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edge/", "Edge"),  # until 2019
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("OPX/", "Opera"),
    ("Vivaldi", "Vivaldi"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("YaBrowser/", "Yandex Browser"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("MiuiBrowser/", "Mi Browser"),
    ("UCBrowser/", "UC Browser"),
    ("Whale/", "Whale"),
    ("Silk/", "Silk"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("Epiphany/", "GNOME Web"),
    ("GSA/", "Google"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Headless Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("Trident/", "Internet Explorer"),
)
_SYSTEMS: Final[_Marks] = (
    ("Xbox", "Xbox"),
    ("PlayStation", "PlayStation"),
    ("Nintendo", "Nintendo"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),  # in its usual state it says that it is a Mac
    ("iPod", "iPod"),
    ("HarmonyOS", "HarmonyOS"),
    ("OpenHarmony", "HarmonyOS"),
    ("Tizen", "Tizen"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Ubuntu", "Ubuntu"),
    ("Debian", "Debian"),
    ("Fedora", "Fedora"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("Linux", "Linux"),
)
_OF_APPLE: Final = frozenset({"iPhone", "iPad", "iPod", "macOS"})


def describe(user_agent: str) -> str:
    """For example "Firefox on Debian"; a program is called by its name, or "A program"."""
    if not user_agent.startswith(("Mozilla/", "Opera/")):
        return next((name for mark, name in _PROGRAMS if user_agent.startswith(mark)), _A_PROGRAM)
    browser, system = _found(_BROWSERS, user_agent), _found(_SYSTEMS, user_agent)
    if browser is None or (browser == "Safari" and system not in _OF_APPLE):  # what is built on WebKit says so, too
        return _A_BROWSER
    return browser if system is None or browser in {"PowerShell", _A_PROGRAM} else f"{browser} on {system}"


def _found(marks: _Marks, user_agent: str) -> str | None:
    return next((name for mark, name in marks if mark in user_agent), None)
