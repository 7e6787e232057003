"""What people are told of a device, by the User-Agents that today's browsers and programs send (UX-51)."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from doorward.kernel.devices import _BROWSERS, _PROGRAMS, _SYSTEMS
from doorward.sessions import describe
from tests.support.hostile import hostile_strings

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
LINUX = "Mozilla/5.0 (X11; Linux x86_64)"
ANDROID = "Mozilla/5.0 (Linux; Android 10; K)"
GALAXY = "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S918B)"
XIAOMI = "Mozilla/5.0 (Linux; U; Android 14; zh-cn; 23127PN0CC)"
PIXEL_VIEW = "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UD1A; wv)"
KINDLE = "Mozilla/5.0 (Linux; Android 11; KFTRWI)"
XBOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)"
IPAD = "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"

AGENTS = [
    # Windows
    (f"{WINDOWS} {BLINK} Chrome/138.0.0.0 Safari/537.36", "Chrome on Windows"),
    (f"{WINDOWS} {BLINK} Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0", "Edge on Windows"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"),
    (f"{WINDOWS} {BLINK} Chrome/135.0.0.0 Safari/537.36 OPR/120.0.0.0", "Opera on Windows"),
    (f"{WINDOWS} {BLINK} Chrome/134.0.0.0 Safari/537.36 Vivaldi/7.3.3635.9", "Vivaldi on Windows"),
    (f"{WINDOWS} {BLINK} Chrome/134.0.0.0 YaBrowser/25.4.0.0 Safari/537.36", "Yandex Browser on Windows"),
    (f"{WINDOWS} {BLINK} Chrome/134.0.0.0 Whale/4.31.304.16 Safari/537.36", "Whale on Windows"),
    (f"{WINDOWS} {BLINK} Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763", "Edge on Windows"),
    ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer on Windows"),
    (f"{XBOX} {BLINK} Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0", "Edge on Xbox"),
    # macOS, and iPads that claim to be one
    (f"{MAC} {WEBKIT} Version/18.5 Safari/605.1.15", "Safari on macOS"),
    (f"{MAC} {BLINK} Chrome/138.0.0.0 Safari/537.36", "Chrome on macOS"),
    (f"{MAC} {BLINK} Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0", "Edge on macOS"),
    (f"{MAC} {BLINK} Chrome/135.0.0.0 Safari/537.36 OPR/120.0.0.0", "Opera on macOS"),
    (f"{MAC} {WEBKIT} Version/18.5 Safari/605.1.15 Ddg/18.5", "DuckDuckGo on macOS"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on macOS"),
    # Linux and its relatives
    ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
    ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Ubuntu"),
    ("Mozilla/5.0 (X11; Fedora; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Fedora"),
    ("Mozilla/5.0 (X11; Debian; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Debian"),
    ("Mozilla/5.0 (X11; FreeBSD amd64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on FreeBSD"),
    (f"{LINUX} {BLINK} Chrome/138.0.0.0 Safari/537.36", "Chrome on Linux"),
    (f"{LINUX} {BLINK} Ubuntu Chromium/80.0.3987.87 Chrome/80.0.3987.87 Safari/537.36", "Chromium on Ubuntu"),
    (f"{LINUX} {BLINK} HeadlessChrome/138.0.0.0 Safari/537.36", "Headless Chrome on Linux"),
    (f"{LINUX} {WEBKIT} Version/18.0 Safari/605.1.15 Epiphany/605.1.15", "GNOME Web on Linux"),
    (f"{LINUX} {WEBKIT} Version/18.0 Safari/605.1.15", "A browser"),  # there is no Safari on Linux
    (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Chrome/138.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
    # Android
    (f"{ANDROID} {BLINK} Chrome/138.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
    (f"{ANDROID} {BLINK} Chrome/138.0.0.0 Mobile Safari/537.36 EdgA/138.0.0.0", "Edge on Android"),
    (f"{ANDROID} {BLINK} Chrome/135.0.0.0 Mobile Safari/537.36 OPR/89.0.0.0", "Opera on Android"),
    (f"{ANDROID} {BLINK} Chrome/138.0.0.0 Mobile DuckDuckGo/5 Safari/537.36", "DuckDuckGo on Android"),
    ("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox on Android"),
    (f"{GALAXY} {BLINK} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36", "Samsung Internet on Android"),
    (f"{XIAOMI} {BLINK} Version/4.0 Chrome/112.0.0.0 Mobile Safari/537.36 MiuiBrowser/18.5", "Mi Browser on Android"),
    (f"{PIXEL_VIEW} {BLINK} Version/4.0 Chrome/138.0.7204.63 Mobile Safari/537.36", "Chrome on Android"),
    (f"{KINDLE} {BLINK} Silk/138.2.1 like Chrome/138.0.0.0 Safari/537.36", "Silk on Android"),
    # iOS and iPadOS
    (f"{IPHONE} {WEBKIT} Version/18.5 Mobile/15E148 Safari/604.1", "Safari on iPhone"),
    (f"{IPHONE} {WEBKIT} CriOS/138.0.7204.53 Mobile/15E148 Safari/604.1", "Chrome on iPhone"),
    (f"{IPHONE} {WEBKIT} FxiOS/140.0 Mobile/15E148 Safari/605.1.15", "Firefox on iPhone"),
    (f"{IPHONE} {WEBKIT} Version/18.0 EdgiOS/138.0.3351.65 Mobile/15E148 Safari/604.1", "Edge on iPhone"),
    (f"{IPHONE} {WEBKIT} Version/18.5 Mobile/15E148 Safari/604.1 OPT/5.4.2", "Opera on iPhone"),
    (f"{IPHONE} {WEBKIT} GSA/373.1.772 Mobile/15E148 Safari/604.1", "Google on iPhone"),
    (f"{IPHONE} {WEBKIT} Mobile/15E148 [FBAN/FBIOS;FBAV/450.0.0.38.108]", "A browser"),
    (f"{IPAD} {WEBKIT} Version/18.5 Mobile/15E148 Safari/604.1", "Safari on iPad"),
    (f"{IPAD} {WEBKIT} CriOS/138.0.7204.53 Mobile/15E148 Safari/604.1", "Chrome on iPad"),
    # applications that are a browser inside
    (f"{WINDOWS} {BLINK} Slack/4.43.51 Chrome/134.0.6998.205 Electron/35.1.5 Safari/537.36", "A program"),
    (f"{LINUX} {BLINK} Code/1.101.2 Chrome/134.0.6998.205 Electron/35.5.1 Safari/537.36", "A program"),
    # programs
    ("curl/8.14.1", "curl"),
    ("Wget/1.25.0", "Wget"),
    ("HTTPie/3.2.4", "HTTPie"),
    ("PostmanRuntime/7.44.1", "Postman"),
    ("insomnia/11.2.0", "Insomnia"),
    ("python-requests/2.32.4", "Python"),
    ("python-httpx/0.28.1", "Python"),
    ("Python-urllib/3.13", "Python"),
    ("Python/3.13 aiohttp/3.12.13", "Python"),
    ("Go-http-client/2.0", "Go"),
    ("node", "Node.js"),
    ("undici", "Node.js"),
    ("axios/1.10.0", "Node.js"),
    ("Java-http-client/21.0.7", "Java"),
    ("Apache-HttpClient/5.4.4 (Java/21.0.7)", "Java"),
    ("okhttp/5.0.0", "Java"),
    ("GuzzleHttp/7", "PHP"),
    ("Ruby", "Ruby"),
    ("Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.26100.4652", "PowerShell"),
    ("PowerShell/7.5.2", "PowerShell"),
    ("Example/1.0 CFNetwork/3826.500.131 Darwin/24.5.0", "A program"),
    ("", "A program"),
    # what nobody knows
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "A browser"),
    ("Mozilla/5.0", "A browser"),
]

NAMES = {name for _, name in (*_PROGRAMS, *_BROWSERS)} | {"A browser", "A program"}
SAID = NAMES | {f"{name} on {system}" for name in NAMES for _, system in _SYSTEMS}


@pytest.mark.parametrize(("agent", "said"), AGENTS)
def test_people_recognise_their_devices(agent: str, said: str) -> None:
    assert describe(agent) == said


@given(
    st.lists(st.one_of(st.text(), st.sampled_from([mark for mark, _ in (*_PROGRAMS, *_BROWSERS, *_SYSTEMS)])))
    .map("".join)
    .flatmap(lambda tail: st.sampled_from(["", "Mozilla/5.0 ", "Opera/9.80 "]).map(lambda head: head + tail))
)
@example("Mozilla/5.0 (<script>alert(1)</script>) Firefox/140.0")
def test_only_our_own_words_are_said(agent: str) -> None:
    assert describe(agent) in SAID


@pytest.mark.parametrize("head", ["", "Mozilla/5.0 (X11; Linux x86_64) "])
def test_nothing_hostile_is_echoed(head: str) -> None:
    assert {describe(head + text) for text in hostile_strings()} <= SAID
